package alert

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Event is the news of one change of an alert.
type Event struct {
	// ID is the same whenever the same news is told.
	ID       string           `json:"id"`
	Tenant   string           `json:"tenant"`
	AlertID  string           `json:"alert_id"`
	Change   Change           `json:"change"`
	Time     time.Time        `json:"time"`
	Profile  string           `json:"profile"`
	Title    string           `json:"title"` // of the profile: space/name/version
	Monitor  string           `json:"monitor"`
	Detector string           `json:"detector"`
	Severity profile.Severity `json:"severity"`
	// Routes name those that carry it; none means all.
	Routes []string `json:"routes,omitempty"`
	// Reason is why it was resolved, where that is not that nothing moves.
	Reason string `json:"reason,omitempty"`
	// Late tells that the alert was raised when its slot had been judged before,
	// by data that came late.
	Late bool `json:"late,omitempty"`

	// Moved are the features that moved, the worst first, at most MaxMoved; of a
	// resolved alert those that had. Count counts them all, 0 when it is over.
	Moved []Moved `json:"moved"`
	Count int     `json:"count"`

	RangeStart time.Time `json:"range_start"`
	RangeEnd   time.Time `json:"range_end"`
	Traces     []string  `json:"traces,omitempty"` // hex, the most telling first
}

// Moved is a feature that an event tells of. A threshold that has no value of its
// own is nil.
type Moved struct {
	Feature   string   `json:"feature"`
	Value     float64  `json:"value"`
	Threshold *float64 `json:"threshold,omitempty"`
	Sample    uint64   `json:"sample"`
	Reference uint64   `json:"reference,omitempty"`
	Adjusted  *float64 `json:"adjusted,omitempty"`
}

// MovedOf is what an event tells of a report.
func MovedOf(r *score.Report) Moved {
	m := Moved{Feature: r.Feature, Threshold: r.Threshold, Sample: r.Sample, Reference: r.Reference, Adjusted: r.Adjusted}
	if r.Value != nil {
		m.Value = *r.Value
	}
	return m
}

// textMoved bounds the features that a line of text names.
const textMoved = 3

// Text is the event in one line of plain words.
func (e *Event) Text() string {
	var b strings.Builder
	if e.Change == Resolved {
		fmt.Fprintf(&b, "drift in %s is over (monitor %s)", e.Title, e.Monitor)
		if e.Reason != "" {
			fmt.Fprintf(&b, ": %s", e.Reason)
		}
	} else {
		features := "features"
		if e.Count == 1 {
			features = "feature"
		}
		fmt.Fprintf(&b, "drift in %s %s (monitor %s): %d %s moved", e.Title, e.Change, e.Monitor, e.Count, features)
		if e.Late {
			fmt.Fprintf(&b, " (late: by data that came after %s to %s was judged)", e.RangeStart.UTC().Format(time.RFC3339), e.RangeEnd.UTC().Format(time.RFC3339))
		}
	}
	for i, m := range e.Moved[:min(len(e.Moved), textMoved)] {
		b.WriteString([]string{": ", ", "}[min(i, 1)])
		fmt.Fprintf(&b, "%s %s %.4g", m.Feature, e.Detector, m.Value)
		if m.Threshold != nil {
			fmt.Fprintf(&b, " against %.4g", *m.Threshold)
		}
		fmt.Fprintf(&b, " of %d values", m.Sample)
	}
	if more := e.Count - textMoved; more > 0 {
		fmt.Fprintf(&b, ", and %d more", more)
	}
	return b.String()
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
	switch {
	case e.Change == Resolved || e.Change == Acknowledged || e.Severity == profile.Info:
		level = slog.LevelInfo
	case e.Severity == profile.Critical:
		level = slog.LevelError
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

// Notifier carries each event to every route that it names, once. It is safe for
// concurrent use.
type Notifier struct {
	// Routes by name; the names are remembered, so a route keeps its own.
	Routes map[string]Route
	Memory Delivered
}

// Notify carries the event to its routes that do not have it yet. On an error
// some may have it; the same call again tries the others. A crash between
// delivery and memory can make one route hear an event twice; its ID is the
// same then.
func (n *Notifier) Notify(ctx context.Context, e *Event, now time.Time) error {
	named := func(name string) bool { return slices.Contains(e.Routes, name) }
	// An event that names none, or none that is left, goes everywhere: better
	// twice than to nobody.
	everywhere := !slices.ContainsFunc(slices.Collect(maps.Keys(n.Routes)), named)
	for name, route := range n.Routes {
		if !everywhere && !named(name) {
			continue
		}
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
