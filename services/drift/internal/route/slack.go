package route

import (
	"context"
	"strings"

	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// Bounds of Slack's blocks (docs.slack.dev/reference/block-kit/blocks): letters
// of a header and of the text of a section.
const (
	slackHeader  = 150
	slackSection = 3000
)

// slack is the Route to a channel of Slack, by an incoming webhook. Slack knows
// no key: an event that is sent twice is seen twice. It takes a message a second
// and answers 429 with Retry-After beyond that.
type slack struct {
	to    *poster
	links links
}

func newSlack(cfg Config, deps Deps) (Route, error) {
	to, err := newPoster(cfg, deps.Now)
	return slack{to, deps.links()}, err
}

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

type slackMessage struct {
	Text        string       `json:"text"` // for notifications
	Blocks      []slackBlock `json:"blocks"`
	UnfurlLinks bool         `json:"unfurl_links"`
}

// Deliver implements Route.
func (s slack) Deliver(ctx context.Context, e *alert.Event) error {
	return s.to.post(ctx, "", nil, s.message(e))
}

func (s slack) message(e *alert.Event) slackMessage {
	m := slackMessage{Text: clip(escapeSlack(e.Text()), slackSection), Blocks: []slackBlock{
		{Type: "header", Text: &slackText{"plain_text", clip(headline(e), slackHeader)}},
	}}
	if details := e.Details(); details != "" {
		const fence = "```"
		room := slackSection - 2*len(fence) - 2
		m.Blocks = append(m.Blocks, slackBlock{Type: "section", Text: &slackText{"mrkdwn", fence + "\n" + clip(escapeSlack(details), room) + "\n" + fence}})
	}
	var ways []string
	if page := s.links.page(e); page != "" {
		ways = append(ways, "<"+page+"|alert>")
	}
	for i, link := range s.links.traces(e) {
		ways = append(ways, "<"+link+"|trace "+e.Traces[i][:min(len(e.Traces[i]), 8)]+">")
	}
	ways = append(ways, escapeSlack(e.Tenant+", monitor "+e.Monitor+", "+e.RangeStart.UTC().Format("2006-01-02 15:04")+" to "+e.RangeEnd.UTC().Format("2006-01-02 15:04 MST")))
	m.Blocks = append(m.Blocks, slackBlock{Type: "context", Elements: []slackText{{"mrkdwn", clip(strings.Join(ways, " · "), slackSection)}}})
	return m
}

// escapeSlack escapes what Slack takes for its own.
func escapeSlack(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// headline is the event in a few words.
func headline(e *alert.Event) string {
	mark := map[alert.Change]string{alert.Resolved: "✅ ", alert.Acknowledged: "👀 "}[e.Change]
	if mark == "" {
		mark = "⚠️ "
	}
	what := "drift"
	if e.Finding != "" {
		what = e.Finding + ","
	}
	text := e.Title + ": " + what + " " + string(e.Change)
	if e.Severity != "" && !e.Closes() {
		text = e.Title + ": " + string(e.Severity) + " " + what + " " + string(e.Change)
	}
	if e.Finding != "" {
		text = e.Title + ": " + e.Finding + ", " + string(e.Change)
	}
	if e.By != "" {
		text += " by " + e.By
	}
	return mark + text
}
