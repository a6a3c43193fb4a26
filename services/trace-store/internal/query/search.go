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
	// Range is when the span starts.
	Range Range
	// MinDuration and MaxDuration are inclusive; zero is no bound.
	MinDuration, MaxDuration time.Duration
	// Limit is how many traces; 0 is DefaultTraces.
	Limit int
	// After continues after the page that ended with it; "" begins.
	After string
}

// DefaultTraces is how many traces a search gives unless told.
const DefaultTraces = 20

// maxAttributes bounds the filters of one search.
const maxAttributes = 32

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
// first, to send in parts. more says that more match than were given.
func (q *Reader) Find(ctx context.Context, tenant string, s Search, send func(Part) error) (more bool, err error) {
	found, next, err := q.Summaries(ctx, tenant, s)
	if err != nil {
		return false, err
	}
	const chunk = 20 // traces in one statement: bounds what ClickHouse sorts
	for some := range slices.Chunk(found, chunk) {
		ids := make([]TraceID, len(some))
		for i := range some {
			ids[i] = some[i].TraceID
		}
		if err := q.traces(ctx, tenant, ids, send); err != nil {
			return false, err
		}
	}
	return next != "", nil
}

func (s *Search) check() error {
	switch {
	case s.Limit < 0:
		return fault.Invalid.New("limit must not be negative")
	case len(s.Attributes) > maxAttributes:
		return fault.Invalid.New("at most %d attributes can be asked for, not %d", maxAttributes, len(s.Attributes))
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
