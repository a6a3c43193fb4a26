package route

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// Alertmanager keeps alerts in memory and takes one for resolved when its endsAt
// is past, which it sets itself, to resolve_timeout from now, where none is
// given. So alerts that are open are told anew, each time with an endsAt of ours
// that is far enough away for an outage of the mesh not to look like the end of
// an alert, and near enough for one that nobody will ever close to go.
const (
	alertmanagerRefresh = time.Minute
	alertmanagerExpire  = 4 * time.Hour
	// alertmanagerAtOnce bounds the alerts of one request.
	alertmanagerAtOnce = 100
)

// alertmanager is the Route to one Alertmanager, by its API v2. Its labels name
// an alert for good; one that comes again is the same. A cluster needs a route
// for each of its members.
type alertmanager struct {
	to              *poster
	refresh, expire time.Duration
	links           links
	now             func() time.Time
}

func newAlertmanager(cfg Config, deps Deps) (Route, error) {
	a := alertmanager{refresh: cfg.Refresh, expire: cfg.Expire, links: deps.links(), now: deps.Now}
	if a.refresh == 0 {
		a.refresh = alertmanagerRefresh
	}
	if a.expire == 0 {
		a.expire = max(alertmanagerExpire, 4*a.refresh)
	}
	if a.refresh < time.Second || a.expire < 2*a.refresh {
		return nil, errors.New("refresh: must be at least 1s, and expire at least twice that")
	}
	var err error
	a.to, err = newPoster(cfg, deps.Now)
	return a, err
}

type alertmanagerAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Wants implements Choosy: Alertmanager knows no acknowledgement.
func (alertmanager) Wants(c alert.Change) bool { return c != alert.Acknowledged }

// Every implements Refresher.
func (a alertmanager) Every() time.Duration { return a.refresh }

// Deliver implements Route.
func (a alertmanager) Deliver(ctx context.Context, e *alert.Event) error {
	return a.to.post(ctx, "/api/v2/alerts", nil, []alertmanagerAlert{a.alert(e)})
}

// Refresh implements Refresher.
func (a alertmanager) Refresh(ctx context.Context, open []*alert.Event) error {
	for len(open) > 0 {
		n := min(len(open), alertmanagerAtOnce)
		batch := make([]alertmanagerAlert, n)
		for i, e := range open[:n] {
			batch[i] = a.alert(e)
		}
		if err := a.to.post(ctx, "/api/v2/alerts", nil, batch); err != nil {
			return err
		}
		open = open[n:]
	}
	return nil
}

func (a alertmanager) alert(e *alert.Event) alertmanagerAlert {
	now := a.now().UTC()
	severity := e.Severity
	if severity == "" {
		severity = profile.Warning
	}
	out := alertmanagerAlert{
		Labels: map[string]string{
			"alertname": "Drift", "alert_id": e.AlertID, "tenant": e.Tenant, "space": e.Space(), "profile": e.Name(), "version": e.Version(),
			"monitor": e.Monitor, "detector": e.Detector, "severity": string(severity),
		},
		Annotations: map[string]string{
			"summary": e.Text(), "description": e.Details(), "moved": strconv.Itoa(e.Count), "event": e.ID, "change": string(e.Change),
		},
		StartsAt: e.Raised.UTC(), EndsAt: now.Add(a.expire), GeneratorURL: a.links.page(e),
	}
	if e.Raised.IsZero() {
		out.StartsAt = e.Time.UTC()
	}
	if e.Change == alert.Resolved {
		// By Alertmanager's clock it must be past, and not before it began.
		out.EndsAt = e.Time.UTC()
		if out.EndsAt.Before(out.StartsAt) {
			out.EndsAt = out.StartsAt
		}
	}
	for i, link := range a.links.traces(e) {
		out.Annotations["trace_"+strconv.Itoa(i+1)] = link
	}
	return out
}
