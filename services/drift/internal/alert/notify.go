package alert

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Event is the news of one change of an alert.
type Event struct {
	// ID is the same whenever the same news is told.
	ID       string    `json:"id"`
	Tenant   string    `json:"tenant"`
	AlertID  string    `json:"alert_id"`
	Change   Change    `json:"change"`
	Time     time.Time `json:"time"`
	Profile  string    `json:"profile"`
	Title    string    `json:"title"` // of the profile: space/name/version
	Feature  string    `json:"feature"`
	Detector string    `json:"detector"`

	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold"`
	Sample    uint64  `json:"sample"`

	RangeStart time.Time `json:"range_start"`
	RangeEnd   time.Time `json:"range_end"`
	Traces     []string  `json:"traces,omitempty"` // hex, the most telling first
}

// Text is the event in one line of plain words.
func (e *Event) Text() string {
	if e.Change == Resolved {
		return fmt.Sprintf("drift of %s in %s is over: %s %.4g, threshold %.4g, %d values", e.Feature, e.Title, e.Detector, e.Value, e.Threshold, e.Sample)
	}
	return fmt.Sprintf("drift of %s in %s %s: %s %.4g above %.4g, %d values", e.Feature, e.Title, e.Change, e.Detector, e.Value, e.Threshold, e.Sample)
}

// Route carries events to people.
type Route interface {
	// Deliver carries one event, and returns nil only when it has arrived. It
	// may be called again with the same event after an error or a crash. A fault
	// that is not retryable means that it never will arrive.
	Deliver(ctx context.Context, e *Event) error
}

// consoleTraces bounds the traces that a line of the log names.
const consoleTraces = 3

// Console is the Route to the log of the process.
type Console struct {
	Log *slog.Logger
	// TraceURL, if set, is where one trace is seen, with {trace} for its id.
	TraceURL string
}

var _ Route = Console{}

// Deliver implements Route.
func (c Console) Deliver(ctx context.Context, e *Event) error {
	level := slog.LevelWarn
	if e.Change == Resolved || e.Change == Acknowledged {
		level = slog.LevelInfo
	}
	c.Log.Log(ctx, level, e.Text(), slog.String("tenant", e.Tenant), slog.String("profile", e.Profile), slog.String("alert", e.AlertID),
		slog.Time("range_start", e.RangeStart), slog.Time("range_end", e.RangeEnd), slog.Any("traces", Links(c.TraceURL, e.Traces[:min(len(e.Traces), consoleTraces)])))
	return nil
}

// Links is where the traces are seen: url with each id in place of {trace}; the
// ids themselves when url is "".
func Links(url string, traces []string) []string {
	links := make([]string, len(traces))
	for i, id := range traces {
		links[i] = id
		if url != "" {
			links[i] = strings.ReplaceAll(url, "{trace}", id)
		}
	}
	return links
}

// Delivered remembers which events went to which route.
type Delivered interface {
	// WasDelivered tells whether the event went to the route.
	WasDelivered(ctx context.Context, event, route string) (bool, error)
	// SetDelivered remembers that it did.
	SetDelivered(ctx context.Context, event, route string, at time.Time) error
}

// Notifier carries each event to every route once. It is safe for concurrent
// use.
type Notifier struct {
	// Routes by name; the names are remembered, so a route keeps its own.
	Routes map[string]Route
	Memory Delivered
}

// Notify carries the event to the routes that do not have it yet. On an error
// some may have it; the same call again tries the others. A crash between
// delivery and memory can make one route hear an event twice; its ID is the
// same then.
func (n *Notifier) Notify(ctx context.Context, e *Event, now time.Time) error {
	for name, route := range n.Routes {
		had, err := n.Memory.WasDelivered(ctx, e.ID, name)
		if err != nil {
			return fmt.Errorf("look up deliveries: %w", err)
		}
		if had {
			continue
		}
		if err := route.Deliver(ctx, e); err != nil {
			return fmt.Errorf("deliver to %s: %w", name, err)
		}
		if err := n.Memory.SetDelivered(ctx, e.ID, name, now); err != nil {
			return fmt.Errorf("remember delivery: %w", err)
		}
	}
	return nil
}
