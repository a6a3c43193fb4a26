package query

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
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

// hit is a trace that matches, and when its newest matching span starts.
type hit struct {
	id TraceID
	at int64
}

func (h hit) token() string {
	return strconv.FormatInt(h.at, 36) + "." + h.id.String()
}

func parseToken(token string) (hit, error) {
	var h hit
	at, id, ok := strings.Cut(token, ".")
	n, err := strconv.ParseInt(at, 36, 64)
	raw, hexErr := hex.DecodeString(id)
	if !ok || err != nil || hexErr != nil || len(raw) != len(h.id) {
		return h, fault.Invalid.New("page_token is not one that this service gave")
	}
	h.at = n
	copy(h.id[:], raw)
	return h, nil
}

func idsOf(hits []hit) []TraceID {
	ids := make([]TraceID, len(hits))
	for i := range hits {
		ids[i] = hits[i].id
	}
	return ids
}

// hits finds traces in span_index. Tokens of attributes can lie, so hits by
// attribute are looked at in spans, and more are fetched for those that lied.
func (q *Reader) hits(ctx context.Context, tenant string, s Search) (found []hit, next string, err error) {
	if err := s.check(); err != nil {
		return nil, "", err
	}
	limit := cmp.Or(s.Limit, DefaultTraces)
	limit = min(limit, q.limits.MaxTraces)
	after := s.After
	for {
		page, err := q.candidates(ctx, tenant, &s, after, limit-len(found)+1)
		if err != nil {
			return nil, "", err
		}
		more := len(page) > limit-len(found)
		if more {
			page = page[:limit-len(found)]
			after = page[len(page)-1].token()
		}
		if len(s.Attributes) > 0 {
			if page, err = q.verify(ctx, tenant, &s, page); err != nil {
				return nil, "", err
			}
		}
		found = append(found, page...)
		if !more {
			return found, "", nil
		}
		if len(found) == limit {
			return found, after, nil
		}
	}
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

// special is the condition that an attribute stands for beside itself, "" for
// none.
func special(key, text string) string {
	switch key {
	case "error":
		if text == "true" {
			return fmt.Sprintf("StatusCode = %d", statusError)
		}
	case "span.kind":
		if i := slices.Index(kinds, strings.ToLower(text)); i >= 0 {
			return fmt.Sprintf("SpanKind = %d", i)
		}
	case "otel.status_code":
		if i := slices.Index([]string{"UNSET", "OK", "ERROR"}, strings.ToUpper(text)); i >= 0 {
			return fmt.Sprintf("StatusCode = %d", i)
		}
	}
	return ""
}

// candidates are the first n traces after a token, the newest first.
func (q *Reader) candidates(ctx context.Context, tenant string, s *Search, after string, n int) ([]hit, error) {
	w := newWhere(tenant)
	s.filters(w)
	for i, key := range slices.Sorted(maps.Keys(s.Attributes)) {
		name := "token" + strconv.Itoa(i)
		condition := "has(Tags, {" + name + ":UInt32})"
		if alternative := special(key, s.Attributes[key]); alternative != "" {
			condition = "(" + alternative + " OR " + condition + ")"
		}
		w.add(condition)
		w.arg(name, store.Token(key, s.Attributes[key]))
	}
	if err := w.after(after); err != nil {
		return nil, err
	}
	w.arg("n", uint64(n))
	rows, err := q.query(ctx, `SELECT TraceId, toUnixTimestamp64Nano(Timestamp)
FROM span_index
`+w.any()+`
ORDER BY Timestamp DESC, TraceId DESC
LIMIT 1 BY TraceId
LIMIT {n:UInt64}`, w.args)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
	var hits []hit
	for rows.Next() {
		var id string
		var h hit
		if err := rows.Scan(&id, &h.at); err != nil {
			return nil, fmt.Errorf("read hit: %w", err)
		}
		copy(h.id[:], id)
		hits = append(hits, h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return hits, nil
}

// after leaves out what earlier pages gave: traces whose newest match comes
// before the token's.
func (w *where) after(token string) error {
	if token == "" {
		return nil
	}
	h, err := parseToken(token)
	if err != nil {
		return err
	}
	w.arg("at", h.at)
	w.arg("last", h.id.String())
	const at, last = "fromUnixTimestamp64Nano({at:Int64})", "toFixedString(unhex({last:String}), 16)"
	earlier := "SELECT TraceId FROM span_index " + w.any() +
		" AND (Timestamp > " + at + " OR Timestamp = " + at + " AND TraceId >= " + last + ")"
	w.add("(Timestamp < " + at + " OR Timestamp = " + at + " AND TraceId < " + last + ")")
	w.add("TraceId NOT IN (" + earlier + ")")
	return nil
}

// verify keeps the hits of which a span truly has the attributes.
func (q *Reader) verify(ctx context.Context, tenant string, s *Search, hits []hit) ([]hit, error) {
	if len(hits) == 0 {
		return nil, nil
	}
	w := newWhere(tenant)
	w.traceIDs(idsOf(hits))
	s.filters(w)
	for i, key := range slices.Sorted(maps.Keys(s.Attributes)) {
		k, v := "key"+strconv.Itoa(i), "text"+strconv.Itoa(i)
		condition := "arrayExists((k, v) -> k = {" + k + ":String} AND v = {" + v + ":String}, mapKeys(SpanAttributes), mapValues(SpanAttributes))" +
			" OR has(JSONExtract(ResourceAttributes, 'Array(Tuple(String, String))'), ({" + k + ":String}, {" + v + ":String}))"
		if alternative := special(key, s.Attributes[key]); alternative != "" {
			condition += " OR " + alternative
		}
		w.add("(" + condition + ")")
		w.arg(k, key)
		w.arg(v, s.Attributes[key])
	}
	rows, err := q.query(ctx, "SELECT DISTINCT TraceId FROM spans "+w.sql(), w.args)
	if err != nil {
		return nil, fmt.Errorf("verify hits: %w", err)
	}
	defer rows.Close()
	confirmed := map[TraceID]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read verified hit: %w", err)
		}
		var t TraceID
		copy(t[:], id)
		confirmed[t] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("verify hits: %w", err)
	}
	return slices.DeleteFunc(hits, func(h hit) bool { return !confirmed[h.id] }), nil
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
