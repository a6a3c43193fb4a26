package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/spantree"
)

// MissingService is how the service of spans without service.name is called.
const MissingService = spantree.MissingService

// Summary is a trace in one line.
type Summary struct {
	TraceID TraceID
	// RootService and RootOperation are of the earliest span without a parent;
	// without any, which HasRoot tells, of the earliest span.
	RootService, RootOperation string
	HasRoot                    bool
	Start                      time.Time
	// Duration is from the earliest start to the latest end.
	Duration      time.Duration
	Spans, Errors int
	// Services are those that take part, sorted by name.
	Services []ServiceCount
	// Place is where it stands in the search.
	Place Place
}

// ServiceCount is the share of a service in a trace.
type ServiceCount struct {
	Service       string
	Spans, Errors int
	// Start is of its first span, and Duration until the latest end.
	Start    time.Time
	Duration time.Duration
}

// share is what one service has of a trace, as the store tells it.
type share struct {
	id                      string
	service                 string
	spans, errors, matching uint64
	first, last             int64
	firstName               string
	roots                   uint64
	rootStart               int64
	rootName                string
}

// matching describes those of the traces that truly have a matching span, in
// the version of it that stands.
func (q *Reader) matching(ctx context.Context, tenant string, s *Search, hits []hit) (map[TraceID]*Summary, error) {
	if len(hits) == 0 {
		return nil, nil
	}
	w := newWhere(tenant)
	w.traceIDs(idsOf(hits))
	m := &where{}
	s.filters(m)
	s.spanAttributes(m)
	w.args = append(w.args, m.args...)
	match := cmp.Or(strings.Join(m.conditions, " AND "), "1")
	rows, err := q.query(ctx, `SELECT TraceId, ServiceName, count(), countIf(StatusCode = 2), countIf(Match),
    min(Start), max(Start + if(Duration > 9223372036854775807, 0, Duration)), argMin(SpanName, Start),
    countIf(Root), minIf(Start, Root), argMinIf(SpanName, Start, Root)
FROM (
`+once(`TraceId, ServiceName, SpanName, ParentSpanId = toFixedString('', 8) AS Root,
    toUnixTimestamp64Nano(Timestamp) AS Start, Duration, StatusCode, `+match+` AS Match`, w)+`
)
GROUP BY TraceId, ServiceName
SETTINGS query_plan_execute_functions_after_sorting = 0`, w.args) // Match is narrower than what it is made of
	if err != nil {
		return nil, fmt.Errorf("read summaries: %w", err)
	}
	defer rows.Close()
	traces := map[TraceID]*summing{}
	for rows.Next() {
		var p share
		if err := rows.Scan(&p.id, &p.service, &p.spans, &p.errors, &p.matching,
			&p.first, &p.last, &p.firstName, &p.roots, &p.rootStart, &p.rootName); err != nil {
			return nil, fmt.Errorf("read summary: %w", err)
		}
		p.service = cmp.Or(p.service, MissingService)
		id := TraceID([]byte(p.id))
		if traces[id] == nil {
			traces[id] = &summing{}
		}
		traces[id].shares = append(traces[id].shares, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read summaries: %w", err)
	}
	out := make(map[TraceID]*Summary, len(traces))
	for id, t := range traces {
		if sum := t.summary(id); sum != nil {
			out[id] = sum
		}
	}
	return out, nil
}

// summing is a trace whose shares are being added up.
type summing struct{ shares []share }

// summary is nil when no span matches.
func (t *summing) summary(id TraceID) *Summary {
	slices.SortFunc(t.shares, func(a, b share) int { return cmp.Compare(a.service, b.service) })
	out := &Summary{TraceID: id}
	first, last, rootStart := t.shares[0].first, t.shares[0].last, int64(0)
	matching := uint64(0)
	for i, p := range t.shares {
		matching += p.matching
		out.Spans += int(p.spans)
		out.Errors += int(p.errors)
		out.addService(p)
		last = max(last, p.last)
		if !out.HasRoot && (i == 0 || p.first < first) {
			out.RootService, out.RootOperation = p.service, p.firstName
		}
		first = min(first, p.first)
		if p.roots > 0 && (!out.HasRoot || p.rootStart < rootStart) {
			out.HasRoot, rootStart = true, p.rootStart
			out.RootService, out.RootOperation = p.service, p.rootName
		}
	}
	if matching == 0 {
		return nil
	}
	out.Start, out.Duration = time.Unix(0, first), time.Duration(last-first)
	return out
}

// addService adds the next share; two may have one name, when a service is
// called as those are that have none.
func (s *Summary) addService(p share) {
	if n := len(s.Services); n > 0 && s.Services[n-1].Service == p.service {
		s.Services[n-1].Spans += int(p.spans)
		have := &s.Services[n-1]
		have.Errors += int(p.errors)
		last := max(have.Start.Add(have.Duration).UnixNano(), p.last)
		have.Start = time.Unix(0, min(have.Start.UnixNano(), p.first))
		have.Duration = time.Duration(last - have.Start.UnixNano())
		return
	}
	s.Services = append(s.Services, ServiceCount{
		Service: p.service, Spans: int(p.spans), Errors: int(p.errors), Start: time.Unix(0, p.first), Duration: time.Duration(p.last - p.first),
	})
}
