package query

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Search says which spans match: those for which every filter that is set
// holds. A trace is found when one of its spans matches.
type Search struct {
	Service, Operation string
	// Attributes of the span or its resource, compared as text. As Jaeger has
	// it, error=true also finds the status ERROR, and span.kind the kind.
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
const statusError = 2

var kinds = []string{"unspecified", "internal", "server", "client", "producer", "consumer"}

// KindName is the lower-case name of a span kind.
func KindName(kind int32) string {
	if kind < 0 || int(kind) >= len(kinds) {
		return kinds[0]
	}
	return kinds[kind]
}

// Summary is a trace in one line.
type Summary struct {
	TraceID                    TraceID
	RootService, RootOperation string
	Start                      time.Time
	Duration                   time.Duration
	Spans, Errors              int
	Services                   []string
}

// Find gives the whole traces that match, those with the newest matching span
// first, to send in parts.
func (q *Reader) Find(ctx context.Context, tenant string, s Search, send func(Part) error) error {
	hits, _, err := q.hits(ctx, tenant, s)
	if err != nil {
		return err
	}
	const chunk = 20 // traces in one statement: bounds what ClickHouse sorts
	for ids := range slices.Chunk(hits, chunk) {
		if err := q.traces(ctx, tenant, idsOf(ids), send); err != nil {
			return err
		}
	}
	return nil
}

// Summaries gives the matching traces in one line each, those with the newest
// matching span first, and what Search.After has to be for the next page: ""
// if this is the last.
func (q *Reader) Summaries(ctx context.Context, tenant string, s Search) ([]Summary, string, error) {
	hits, next, err := q.hits(ctx, tenant, s)
	if err != nil || len(hits) == 0 {
		return nil, "", err
	}
	byID, err := q.summaries(ctx, tenant, idsOf(hits))
	if err != nil {
		return nil, "", err
	}
	out := make([]Summary, 0, len(hits))
	for _, h := range hits {
		if sum, ok := byID[h.id]; ok {
			out = append(out, sum)
		}
	}
	return out, next, nil
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
		w.add("ServiceName = {service:String}")
		w.arg("service", s.Service)
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

// summaries describes the traces.
func (q *Reader) summaries(ctx context.Context, tenant string, ids []TraceID) (map[TraceID]Summary, error) {
	w := newWhere(tenant)
	w.traceIDs(ids)
	rows, err := q.query(ctx, `SELECT TraceId,
    argMin(ServiceName, (ParentSpanId != toFixedString('', 8), Timestamp)),
    argMin(SpanName, (ParentSpanId != toFixedString('', 8), Timestamp)),
    toUnixTimestamp64Nano(min(Timestamp)) AS first,
    max(toUnixTimestamp64Nano(Timestamp) + if(Duration > 9223372036854775807, 0, Duration)) AS last,
    count(), countIf(StatusCode = 2), arraySort(groupUniqArray(ServiceName))
FROM (`+once("TraceId, ServiceName, SpanName, ParentSpanId, Timestamp, Duration, StatusCode", w)+`)
GROUP BY TraceId`, w.args)
	if err != nil {
		return nil, fmt.Errorf("read summaries: %w", err)
	}
	defer rows.Close()
	out := make(map[TraceID]Summary, len(ids))
	for rows.Next() {
		var id string
		var s Summary
		var first, last int64
		var spans, errors uint64
		if err := rows.Scan(&id, &s.RootService, &s.RootOperation, &first, &last, &spans, &errors, &s.Services); err != nil {
			return nil, fmt.Errorf("read summary: %w", err)
		}
		copy(s.TraceID[:], id)
		s.Start, s.Duration = time.Unix(0, first), time.Duration(last-first)
		s.Spans, s.Errors = int(spans), int(errors)
		out[s.TraceID] = s
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read summaries: %w", err)
	}
	return out, nil
}
