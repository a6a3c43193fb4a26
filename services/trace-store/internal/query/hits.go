package query

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

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
	// ClickHouse stops reading early for a LIMIT, but not for a LIMIT BY. So
	// the newest spans are read first, as many as are usually enough.
	enough := spansPerTrace * n
	hits, all, err := q.newest(ctx, w, enough, "")
	if err == nil && !all && len(hits) < n {
		hits, _, err = q.newest(ctx, w, n, "LIMIT 1 BY TraceId")
	}
	return hits[:min(n, len(hits))], err
}

// spansPerTrace is how many matching spans of one trace candidates expects.
const spansPerTrace = 32

// newest reads the newest limit matching spans and gives their traces; all
// says that there are no more.
func (q *Reader) newest(ctx context.Context, w *where, limit int, by string) (hits []hit, all bool, err error) {
	args := append(slices.Clone(w.args), clickhouse.Named("n", uint64(limit)))
	rows, err := q.query(ctx, `SELECT TraceId, toUnixTimestamp64Nano(Timestamp)
FROM span_index
`+w.any()+`
ORDER BY Timestamp DESC, TraceId DESC
`+by+`
LIMIT {n:UInt64}`, args)
	if err != nil {
		return nil, false, fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
	read, seen := 0, map[TraceID]bool{}
	for ; rows.Next(); read++ {
		var id string
		var h hit
		if err := rows.Scan(&id, &h.at); err != nil {
			return nil, false, fmt.Errorf("read hit: %w", err)
		}
		copy(h.id[:], id)
		if !seen[h.id] {
			seen[h.id] = true
			hits = append(hits, h)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("search: %w", err)
	}
	return hits, read < limit, nil
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
			condition = alternative + " OR " + condition // the cheap one first: the other is then not computed
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
