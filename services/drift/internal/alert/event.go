package alert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Event is the news of one change of an alert.
type Event struct {
	// ID is the same whenever the same news is told.
	ID      string `json:"id"`
	Tenant  string `json:"tenant"`
	AlertID string `json:"alert_id"`
	// Sequence numbers the events of one alert from 1; 0 is one of a release that
	// did not count.
	Sequence int64            `json:"sequence,omitempty"`
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
	// Finding is what was found, where that is not that features moved.
	Finding string `json:"finding,omitempty"`
	// Late tells that the alert was raised when its slot had been judged before,
	// by data that came late.
	Late bool `json:"late,omitempty"`
	// By is who took the alert on.
	By string `json:"by,omitempty"`
	// Raised is when the alert was.
	Raised time.Time `json:"raised"`

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
	Rate      *float64 `json:"rate,omitempty"`
	// Bins and States are the shares behind it, of the first few features.
	Bins   []Share `json:"bins,omitempty"`
	States []Share `json:"states,omitempty"`
}

// Share is a bin, or neighbouring ones together, of the reference and of the
// sample: 0 to 1.
type Share struct {
	Label    string  `json:"label"`
	Expected float64 `json:"expected"`
	Observed float64 `json:"observed"`
}

// MovedOf is what an event tells of a report.
func MovedOf(r *score.Report) Moved {
	m := Moved{Feature: r.Feature, Threshold: r.Threshold, Sample: r.Sample, Reference: r.Reference, Adjusted: r.Adjusted, Rate: r.Rate}
	if r.Value != nil {
		m.Value = *r.Value
	}
	return m
}

// Space is the profile's space.
func (e *Event) Space() string { return e.part(0) }

// Name is the profile's name.
func (e *Event) Name() string { return e.part(1) }

// Version is the profile's version.
func (e *Event) Version() string { return e.part(2) }

func (e *Event) part(i int) string {
	if parts := strings.Split(e.Title, "/"); i < len(parts) {
		return parts[i]
	}
	return ""
}

// Closes reports whether the event ends something or takes it on: it matters to
// those who heard of the alert before, and to nobody else.
func (e *Event) Closes() bool { return e.Change == Resolved || e.Change == Acknowledged }

// textMoved bounds the features that a line of text names.
const textMoved = 3

// Text is the event in one line of plain words.
func (e *Event) Text() string {
	var b strings.Builder
	if e.Finding != "" {
		return e.findingText()
	}
	if e.Change == Resolved {
		fmt.Fprintf(&b, "drift in %s is over (monitor %s)", e.Title, e.Monitor)
		if e.Reason != "" {
			fmt.Fprintf(&b, ": %s", e.Reason)
		}
	} else {
		moved := fmt.Sprintf("%d features moved", e.Count)
		switch {
		case e.together():
			moved = "features moved together"
		case e.Count == 1:
			moved = "1 feature moved"
		}
		fmt.Fprintf(&b, "drift in %s %s (monitor %s): %s", e.Title, e.Change, e.Monitor, moved)
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
		if e.together() && len(m.Bins) > 0 {
			fmt.Fprintf(&b, ", most of it %s", strings.Join(m.most(), ", "))
		}
	}
	if more := e.Count - textMoved; more > 0 {
		fmt.Fprintf(&b, ", and %d more", more)
	}
	return b.String()
}

// together reports whether features moved as one.
func (e *Event) together() bool {
	m := profile.Monitor{Detector: e.Detector}
	return m.Together()
}

// most are the features of several together that have the greatest part of it, up to
// half of all.
func (m *Moved) most() (names []string) {
	parts := slices.SortedStableFunc(slices.Values(m.Bins), func(a, b Share) int { return cmp.Compare(b.Observed, a.Observed) })
	told := 0.0
	for _, p := range parts {
		if len(names) == textMoved || told >= 0.5 {
			break
		}
		names, told = append(names, p.Label), told+p.Observed
	}
	return names
}

func (e *Event) findingText() string {
	text := fmt.Sprintf("%s (monitor %s) %s: %s", e.Title, e.Monitor, e.Change, e.Finding)
	if e.Change == Resolved {
		text += "; " + e.Reason
	}
	return text
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
