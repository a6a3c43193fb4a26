package query

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// AttributeQuery says whose attributes are listed, and which.
type AttributeQuery struct {
	Search
	// Key is the only one; "" is all.
	Key string
	// Containing is what keys, or values where Key is set, have in them, whatever the
	// case of letters.
	Containing string
	// Keys and Values are how many keys, and values of each; 0 is 50 and 10.
	Keys, Values int
}

// AttributeList is what spans and their resources have.
type AttributeList struct {
	// Attributes are those that most spans have first.
	Attributes []AttributeTally
	Truncated  bool
	// Spans is how many match, and LookedAt at how many the store looked. If these
	// differ, Spans is about right, and counts are estimates.
	Spans, LookedAt uint64
}

// AttributeTally is a key, how many spans have it, and the values that most have.
type AttributeTally struct {
	Key        string
	Spans      uint64
	Values     []ValueTally
	MoreValues bool
}

// ValueTally is how many spans have a value.
type ValueTally struct {
	Text  string
	Spans uint64
}

const (
	maxListed = 500
	// maxValueBytes is how long a value may be to be listed.
	maxValueBytes = 256
	// places is at how many places among the ids of the traces that match some are
	// looked at. Ids are random, as a rule; those that begin with a time are not.
	places = 4
	// mostTraces is how many are looked at.
	mostTraces = 1200
)

// Attributes lists them. Spans lie in the order of their traces' ids, so traces that
// follow one another cost little to read: when there are too many for all, some
// such runs are looked at.
func (q *Reader) Attributes(ctx context.Context, tenant string, a AttributeQuery) (*AttributeList, error) {
	a.Keys, a.Values = cmp.Or(a.Keys, 50), cmp.Or(a.Values, 10)
	if err := a.check(); err != nil {
		return nil, err
	}
	w, matching := a.versions(tenant)
	ids, rows, err := q.sample(ctx, w, matching)
	if err != nil {
		return nil, err
	}
	t := &tallying{query: &a, keys: map[string]*keyTally{}}
	if len(ids) > 0 {
		if err := q.lookAt(ctx, tenant, &a.Search, ids, t); err != nil {
			return nil, err
		}
	}
	if rows == 0 { // all were looked at
		rows = t.spans
	}
	return t.list(max(rows, t.spans)), nil
}

func (a *AttributeQuery) check() error {
	switch {
	case a.Keys < 1 || a.Keys > maxListed:
		return fault.Invalid.New("keys must be from 1 to %d, not %d", maxListed, a.Keys)
	case a.Values < 1 || a.Values > maxListed:
		return fault.Invalid.New("values must be from 1 to %d, not %d", maxListed, a.Values)
	}
	return a.Search.check()
}

// sample gives the ids of all traces that have a span that matches, or of some of
// them, and then how many rows match.
func (q *Reader) sample(ctx context.Context, w *where, matching string) (ids []TraceID, rows uint64, err error) {
	where := "FROM span_index " + w.any() + " AND " + matching
	var all uint64
	var at []string
	// Whatever order rows are read in, several equal questions have the same answer: the
	// places are those whose hashes are nearest to some numbers.
	const chosen = `SELECT count(), [argMin(TraceId, Hash), argMax(TraceId, Hash), argMin(TraceId, bitXor(Hash, 0x5555555555555555)), argMin(TraceId, bitXor(Hash, 0xAAAAAAAAAAAAAAAA))]
FROM (SELECT TraceId, cityHash64(TraceId, Timestamp) AS Hash `
	if err := q.row(ctx, chosen+where+")", w.args, &rows, &at); err != nil {
		return nil, 0, fmt.Errorf("count: %w", err)
	}
	if rows == 0 {
		return nil, 0, nil
	}
	if err := q.row(ctx, "SELECT count() FROM span_index WHERE Tenant = {tenant:String}", w.args, &all); err != nil {
		return nil, 0, fmt.Errorf("count: %w", err)
	}
	// Between two spans that match lie all/rows that are read with them.
	most := min(float64(q.limits.AttributeRows), max(float64(q.limits.AttributeScan)*float64(rows)/float64(all), 100))
	var found []string
	if float64(rows) <= most {
		err = q.row(ctx, "SELECT groupUniqArray(TraceId) "+where, w.args, &found)
		if len(found) <= mostTraces {
			rows = 0
		}
	} else {
		n := int(most / places)
		var runs []string
		args := slices.Clone(w.args)
		for i, id := range at {
			p := "place" + strconv.Itoa(i)
			runs = append(runs, fmt.Sprintf("groupArraySortedIf(%d)(TraceId, TraceId >= toFixedString(unhex({%s:String}), 16))", n, p))
			args = append(args, clickhouse.Named(p, TraceID([]byte(id)).String()))
		}
		err = q.row(ctx, "SELECT arrayDistinct(arrayConcat("+strings.Join(runs, ", ")+")) "+where, args, &found)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("choose traces: %w", err)
	}
	slices.Sort(found)
	if len(found) > mostTraces { // every n-th, so that each place has its share
		every := (len(found) + mostTraces - 1) / mostTraces
		kept := found[:0]
		for i := 0; i < len(found); i += every {
			kept = append(kept, found[i])
		}
		found = kept
	}
	for _, id := range found {
		ids = append(ids, TraceID([]byte(id)))
	}
	return ids, rows, nil
}

// lookAt tallies the spans of the traces that truly match, in the version that stands.
func (q *Reader) lookAt(ctx context.Context, tenant string, s *Search, ids []TraceID, t *tallying) error {
	w := newWhere(tenant)
	w.traceIDs(ids)
	m := &where{}
	s.filters(m)
	s.spanAttributes(m)
	w.args = append(w.args, m.args...)
	w.arg("longest", uint64(maxValueBytes))
	w.arg("most", uint64(4*q.limits.AttributeRows)) //nolint:gosec // not negative
	match := cmp.Or(strings.Join(m.conditions, " AND "), "1")
	rows, err := q.query(ctx, `SELECT toString(ResourceAttributes), mapKeys(SpanAttributes), arrayMap(v -> if(length(v) > {longest:UInt64}, NULL, v), mapValues(SpanAttributes))
FROM (
`+once("ResourceAttributes, SpanAttributes, "+match+" AS Match", w)+`
)
WHERE Match
LIMIT {most:UInt64}
SETTINGS query_plan_execute_functions_after_sorting = 0`, w.args)
	if err != nil {
		return fmt.Errorf("read attributes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var resource string
		var keys []string
		var values []*string
		if err := rows.Scan(&resource, &keys, &values); err != nil {
			return fmt.Errorf("read attributes: %w", err)
		}
		if err := t.add(resource, keys, values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read attributes: %w", err)
	}
	return nil
}

// tallying counts attributes.
type tallying struct {
	query     *AttributeQuery
	spans     uint64
	keys      map[string]*keyTally
	resources map[string][][2]string // what they say, by text
}

type keyTally struct {
	spans  uint64
	last   uint64 // the span that had it last
	values map[string]*valueTally
}

type valueTally struct{ spans, last uint64 }

// maxTallied bounds how many keys, and values of each, are kept apart.
const maxTallied = 20_000

func (t *tallying) add(resource string, keys []string, values []*string) error {
	pairs, ok := t.resources[resource]
	if !ok {
		if resource != "" {
			if err := json.Unmarshal([]byte(resource), &pairs); err != nil {
				return fmt.Errorf("read resource: %w", err)
			}
		}
		if len(t.resources) >= maxTallied || t.resources == nil {
			t.resources = map[string][][2]string{}
		}
		t.resources[resource] = pairs
	}
	t.spans++
	for i, key := range keys {
		t.count(key, values[i])
	}
	for _, p := range pairs {
		value := &p[1]
		if len(p[1]) > maxValueBytes {
			value = nil
		}
		t.count(p[0], value)
	}
	return nil
}

// count counts a key and a value once for the span at hand; nil is a value that is
// too long.
func (t *tallying) count(key string, value *string) {
	if t.query.Key != "" && key != t.query.Key || t.query.Key == "" && !contains(key, t.query.Containing) {
		return
	}
	k := t.keys[key]
	if k == nil {
		if len(t.keys) >= maxTallied {
			return
		}
		k = &keyTally{values: map[string]*valueTally{}}
		t.keys[key] = k
	}
	if k.last != t.spans {
		k.spans++
		k.last = t.spans
	}
	if value == nil || t.query.Key != "" && !contains(*value, t.query.Containing) {
		return
	}
	v := k.values[*value]
	if v == nil {
		if len(k.values) >= maxTallied {
			return
		}
		v = &valueTally{}
		k.values[*value] = v
	}
	if v.last != t.spans {
		v.spans++
		v.last = t.spans
	}
}

func contains(text, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// list is the answer where so many spans match.
func (t *tallying) list(spans uint64) *AttributeList {
	out := &AttributeList{Spans: spans, LookedAt: t.spans}
	of := func(n uint64) uint64 {
		if t.spans == spans {
			return n
		}
		return uint64(math.Round(float64(n) * float64(spans) / float64(t.spans)))
	}
	for _, key := range slices.SortedFunc(maps.Keys(t.keys), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.keys[b].spans, t.keys[a].spans), cmp.Compare(a, b))
	}) {
		if len(out.Attributes) == t.query.Keys {
			out.Truncated = true
			break
		}
		k := t.keys[key]
		a := AttributeTally{Key: key, Spans: of(k.spans)}
		for _, text := range slices.SortedFunc(maps.Keys(k.values), func(a, b string) int {
			return cmp.Or(cmp.Compare(k.values[b].spans, k.values[a].spans), cmp.Compare(a, b))
		}) {
			if len(a.Values) == t.query.Values {
				a.MoreValues = true
				break
			}
			a.Values = append(a.Values, ValueTally{text, of(k.values[text].spans)})
		}
		out.Attributes = append(out.Attributes, a)
	}
	return out
}
