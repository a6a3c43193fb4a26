package query

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
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

// Summaries gives the matching traces in one line each, those with the newest
// matching span first unless told, and what Search.After has to be for the next page: ""
// if this is the last.
//
// Traces are found in span_index, whose tokens can collide and whose rows can
// be of versions of a span that stand no longer. So each trace is looked at in
// spans, and more are fetched for those that only seemed to match.
func (q *Reader) Summaries(ctx context.Context, tenant string, s Search) (found []Summary, next string, err error) {
	if err := s.check(); err != nil {
		return nil, "", err
	}
	limit := min(cmp.Or(s.Limit, DefaultTraces), q.limits.MaxTraces)
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
		matching, err := q.matching(ctx, tenant, &s, page)
		if err != nil {
			return nil, "", err
		}
		for _, h := range page {
			if sum, ok := matching[h.id]; ok {
				sum.Place = Place{time.Unix(0, h.at), h.id}
				found = append(found, *sum)
			}
		}
		if !more {
			return found, "", nil
		}
		if len(found) == limit {
			return found, after, nil
		}
	}
}

// candidates are the first n traces after a token, in the order of the search.
func (q *Reader) candidates(ctx context.Context, tenant string, s *Search, after string, n int) ([]hit, error) {
	w := newWhere(tenant)
	s.filters(w)
	s.indexAttributes(w)
	if len(s.Traces) > 0 {
		w.traceIDs(s.Traces)
	}
	if s.OldestFirst {
		return q.oldest(ctx, w, after, n)
	}
	if err := w.after(after); err != nil {
		return nil, err
	}
	// ClickHouse stops reading early for a LIMIT, but not for a LIMIT BY. So
	// the newest spans are read first, as many as are usually enough: of a long time
	// those of its end, as spans of many services do not lie in the order of time.
	enough := spansPerTrace * n
	if from, ok := s.end(after); ok {
		hits, _, err := q.newest(ctx, w.since(from), enough, "")
		if err != nil || len(hits) >= n {
			return hits[:min(n, len(hits))], err
		}
	}
	hits, all, err := q.newest(ctx, w, enough, "")
	if err == nil && !all && len(hits) < n {
		hits, _, err = q.newest(ctx, w, n, "LIMIT 1 BY TraceId")
	}
	return hits[:min(n, len(hits))], err
}

// end is when the end of a long time begins, before which a page ended.
func (s *Search) end(after string) (from time.Time, long bool) {
	end := s.Range.End
	if h, err := parseToken(after); err == nil {
		end = time.Unix(0, h.at)
	} else if now := time.Now(); end.IsZero() || end.After(now) {
		end = now
	}
	return end.Add(-nearEnd), s.Range.Start.IsZero() || end.Sub(s.Range.Start) > 4*nearEnd
}

// nearEnd is how much of a long time is looked at first.
const nearEnd = time.Hour

// spansPerTrace is how many matching spans of one trace candidates expects.
const spansPerTrace = 32

// oldest gives the first n traces whose newest matching span starts after the
// token's, by that. The newest of those after it is the newest of all.
func (q *Reader) oldest(ctx context.Context, w *where, after string, n int) (hits []hit, err error) {
	if after != "" {
		h, err := parseToken(after)
		if err != nil {
			return nil, err
		}
		w.place(h)
		w.add("(Timestamp > " + placeTime + " OR Timestamp = " + placeTime + " AND TraceId > " + placeID + ")")
	}
	rows, err := q.query(ctx, `SELECT TraceId, toUnixTimestamp64Nano(max(Timestamp)) AS Newest
FROM span_index
`+w.any()+`
GROUP BY TraceId
ORDER BY Newest, TraceId
LIMIT {n:UInt64}`, append(slices.Clone(w.args), clickhouse.Named("n", uint64(n)))) //nolint:gosec // not negative
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
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
