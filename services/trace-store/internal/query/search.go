package query

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Search says which spans match: those for which every filter that is set
// holds. A trace is found when one of its spans matches.
type Search struct {
	Service, Operation string
	// Attributes of the span, its events, links, scope or resource, compared as
	// text. Some keys mean more; see columnCondition.
	Attributes map[string]string
	// Any are attributes of which one at least must hold besides; empty is no bound.
	Any []Attribute
	// Traces are those that are looked at; empty is all.
	Traces []TraceID
	// Range is when the span starts.
	Range Range
	// MinDuration and MaxDuration are inclusive; zero is no bound.
	MinDuration, MaxDuration time.Duration
	// Limit is how many traces; 0 is DefaultTraces.
	Limit int
	// After continues after the page that ended with it; "" begins.
	After string
	// OldestFirst turns the order round: what comes after a page is then newer.
	OldestFirst bool
}

// Attribute is a key and a value as text.
type Attribute struct{ Key, Text string }

// Place is where a trace stands among those that a search finds: when its newest
// matching span starts, then its id.
type Place struct {
	At time.Time
	ID TraceID
}

// Token is the place as Search.After has it.
func (p Place) Token() string { return hit{p.ID, p.At.UnixNano()}.token() }

// DefaultTraces is how many traces a search gives unless told.
const DefaultTraces = 20

// maxAttributes bounds the filters of one search.
const maxAttributes = 32

// maxTraceIDs bounds the traces that one search looks at.
const maxTraceIDs = 1500

// Statuses and kinds of OTLP.
var statuses = []string{"unset", "ok", "error"}

var kinds = []string{"unspecified", "internal", "server", "client", "producer", "consumer"}

// KindName is the lower-case name of a span kind.
func KindName(kind int32) string {
	if kind < 0 || int(kind) >= len(kinds) {
		return kinds[0]
	}
	return kinds[kind]
}

// Find gives the whole traces that match, those with the newest matching span
// first unless told, to send in parts. more says that more match than were given.
func (q *Reader) Find(ctx context.Context, tenant string, s Search, send func(Part) error) (more bool, err error) {
	found, next, err := q.Summaries(ctx, tenant, s)
	if err != nil {
		return false, err
	}
	const chunk = 20 // traces in one statement: bounds what ClickHouse sorts
	for some := range slices.Chunk(found, chunk) {
		ids, places := make([]TraceID, len(some)), make(map[TraceID]Place, len(some))
		for i := range some {
			ids[i] = some[i].TraceID
			places[ids[i]] = some[i].Place
		}
		if err := q.traces(ctx, tenant, ids, func(p Part) error {
			p.Place = places[p.TraceID]
			return send(p)
		}); err != nil {
			return false, err
		}
	}
	return next != "", nil
}

func (s *Search) check() error {
	switch {
	case s.Limit < 0:
		return fault.Invalid.New("limit must not be negative")
	case len(s.Attributes) > maxAttributes, len(s.Any) > maxAttributes:
		return fault.Invalid.New("at most %d attributes can be asked for, not %d", maxAttributes, max(len(s.Attributes), len(s.Any)))
	case len(s.Traces) > maxTraceIDs:
		return fault.Invalid.New("at most %d trace_ids can be asked for, not %d", maxTraceIDs, len(s.Traces))
	case s.MaxDuration > 0 && s.MinDuration > s.MaxDuration:
		return fault.Invalid.New("min_duration is above max_duration")
	case !s.Range.Start.IsZero() && !s.Range.End.IsZero() && s.Range.End.Before(s.Range.Start):
		return fault.Invalid.New("end_time is before start_time")
	}
	return nil
}

// filters adds what can be said about a span in both tables.
func (s *Search) filters(w *where) {
	if s.Service != "" {
		w.service(s.Service)
	}
	if s.Operation != "" {
		w.add("SpanName = {operation:String}")
		w.arg("operation", s.Operation)
	}
	w.timeRange("Timestamp", s.Range)
	if s.MinDuration > 0 || s.MaxDuration > 0 {
		// A span that ends before it starts has a duration beyond int64.
		longest := int64(math.MaxInt64)
		if s.MaxDuration > 0 {
			longest = s.MaxDuration.Nanoseconds()
		}
		w.add("Duration BETWEEN {shortest:UInt64} AND {longest:UInt64}")
		w.arg("shortest", uint64(max(s.MinDuration, 0)))
		w.arg("longest", uint64(longest))
	}
}
