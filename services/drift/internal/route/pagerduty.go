package route

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// PagerDuty's address and bounds (developer.pagerduty.com/docs/events-api-v2):
// the key has 32 letters, a summary 1,024, an event 512 KB.
const (
	pagerDutyURL     = "https://events.pagerduty.com"
	pagerDutyPath    = "/v2/enqueue"
	pagerDutyKey     = 32
	pagerDutySummary = 1024
)

// pagerDuty is the Route to a service of PagerDuty by its Events API v2. The
// alert's id is the dedup_key: what is sent twice is one incident, and
// acknowledge and resolve find it.
type pagerDuty struct {
	to    *poster
	key   string
	links links
}

func newPagerDuty(cfg Config, deps Deps) (Route, error) {
	if len(cfg.Key.Reveal()) != pagerDutyKey {
		return nil, errors.New("key: must be an integration key (routing key) of 32 letters")
	}
	cfg.defaultURL(pagerDutyURL)
	to, err := newPoster(cfg, deps.Now, cfg.Key.Reveal())
	return pagerDuty{to, cfg.Key.Reveal(), deps.links()}, err
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type pagerDutyPayload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Timestamp string         `json:"timestamp"`
	Component string         `json:"component"`
	Group     string         `json:"group"`
	Class     string         `json:"class"`
	Details   map[string]any `json:"custom_details"`
}

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"` // not needed but to trigger
}

// pagerDutySeverities are the words for severities.
var pagerDutySeverities = map[profile.Severity]string{
	profile.Info: "info", profile.Warning: "warning", profile.Critical: "critical",
}

// Deliver implements Route.
func (p pagerDuty) Deliver(ctx context.Context, e *alert.Event) error {
	return p.to.post(ctx, pagerDutyPath, nil, p.event(e))
}

func (p pagerDuty) event(e *alert.Event) pagerDutyEvent {
	out := pagerDutyEvent{RoutingKey: p.key, Action: "trigger", DedupKey: e.AlertID}
	if action := map[alert.Change]string{alert.Resolved: "resolve", alert.Acknowledged: "acknowledge"}[e.Change]; action != "" {
		out.Action = action
		return out
	}
	severity := pagerDutySeverities[e.Severity]
	if severity == "" {
		severity = "warning"
	}
	out.Client, out.ClientURL = "driftmesh", p.links.page(e)
	for i, link := range p.links.traces(e) {
		out.Links = append(out.Links, pagerDutyLink{link, "trace " + e.Traces[i]})
	}
	out.Payload = &pagerDutyPayload{
		Summary: clip(e.Text(), pagerDutySummary), Source: "driftmesh/" + e.Tenant, Severity: severity,
		Timestamp: e.Time.UTC().Format(time.RFC3339), Component: e.Title, Group: e.Space(), Class: e.Detector,
		Details: map[string]any{
			"event": e.ID, "alert": e.AlertID, "change": e.Change, "monitor": e.Monitor, "details": e.Details(), "moved": moved(e), "moved_count": e.Count,
			"range_start": e.RangeStart, "range_end": e.RangeEnd,
		},
	}
	return out
}

// moved are the features that moved without their pictures.
func moved(e *alert.Event) []alert.Moved {
	out := make([]alert.Moved, len(e.Moved))
	copy(out, e.Moved)
	for i := range out {
		out[i].Bins, out[i].States = nil, nil
	}
	return out
}
