package route

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// OpsGenie's address and bounds (docs.opsgenie.com/docs/alert-api): letters of a
// message, a description, a note, an entity and a tag.
const (
	opsGenieURL         = "https://api.opsgenie.com"
	opsGenieMessage     = 130
	opsGenieDescription = 15000
	opsGenieNote        = 25000
	opsGenieEntity      = 512
	opsGenieTag         = 50
	opsGenieUser        = 100
)

// opsGenie is the Route to OpsGenie, by its Alert API. The alert's id is the
// alias: a second creation counts up the first, and acknowledge and close find
// it. OpsGenie answers 202 before it has looked.
type opsGenie struct {
	to     *poster
	header http.Header
	links  links
}

func newOpsGenie(cfg Config, deps Deps) (Route, error) {
	if cfg.Key == "" {
		return nil, errors.New("key: must be an API key of an integration")
	}
	cfg.defaultURL(opsGenieURL)
	to, err := newPoster(cfg, deps.Now, cfg.Key.Reveal())
	return opsGenie{to, http.Header{"Authorization": {"GenieKey " + cfg.Key.Reveal()}}, deps.links()}, err
}

type opsGenieAlert struct {
	Message     string            `json:"message"`
	Alias       string            `json:"alias"`
	Description string            `json:"description"`
	Details     map[string]string `json:"details"`
	Entity      string            `json:"entity"`
	Source      string            `json:"source"`
	Tags        []string          `json:"tags"`
	Priority    string            `json:"priority"`
}

type opsGenieAction struct {
	User   string `json:"user,omitempty"`
	Source string `json:"source"`
	Note   string `json:"note"`
}

// priorities are the words for severities.
var priorities = map[profile.Severity]string{profile.Info: "P5", profile.Warning: "P3", profile.Critical: "P1"}

// Deliver implements Route.
func (o opsGenie) Deliver(ctx context.Context, e *alert.Event) error {
	action := map[alert.Change]string{alert.Resolved: "close", alert.Acknowledged: "acknowledge"}[e.Change]
	if action == "" {
		return o.to.post(ctx, "/v2/alerts", o.header, o.alert(e))
	}
	return o.to.post(ctx, "/v2/alerts/"+url.PathEscape(e.AlertID)+"/"+action+"?identifierType=alias", o.header, opsGenieAction{
		User: clip(e.By, opsGenieUser), Source: "driftmesh", Note: clip(e.Text(), opsGenieNote),
	})
}

func (o opsGenie) alert(e *alert.Event) opsGenieAlert {
	priority := priorities[e.Severity]
	if priority == "" {
		priority = "P3"
	}
	details := map[string]string{
		"event": e.ID, "tenant": e.Tenant, "profile": e.Title, "monitor": e.Monitor, "detector": e.Detector, "change": string(e.Change),
	}
	if page := o.links.page(e); page != "" {
		details["alert"] = page
	}
	for i, link := range o.links.traces(e) {
		details["trace "+strconv.Itoa(i+1)] = link
	}
	return opsGenieAlert{
		Message: clip(headline(e), opsGenieMessage), Alias: e.AlertID, Description: clip(e.Text()+"\n\n"+e.Details(), opsGenieDescription),
		Details: details, Entity: clip(e.Title, opsGenieEntity), Source: "driftmesh", Tags: []string{"drift", clip(e.Space(), opsGenieTag)}, Priority: priority,
	}
}
