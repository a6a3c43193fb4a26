package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/spantree"
)

// Dependency says how often one service called another.
type Dependency struct {
	Parent, Child string
	Calls         uint64
}

// Dependencies counts the spans that start within r and whose parent, as
// package spantree has it, is a span of another service; sorted by parent, then
// child. It gives at most 10,000, and whether there are more.
//
// ClickHouse hands out trace by trace, in the order of its table, a string of
// what the tree needs of each span: memory holds some traces at a time, here
// and there.
func (q *Reader) Dependencies(ctx context.Context, tenant string, r Range) (calls []Dependency, truncated bool, err error) {
	if r.End.Before(r.Start) {
		return nil, false, fault.Invalid.New("end_time is before start_time")
	}
	w := newWhere(tenant)
	w.arg("start", nanos(r.Start))
	w.arg("end", nanos(r.End))
	rows, err := q.query(ctx, dependenciesSQL, w.args)
	if err != nil {
		return nil, false, fmt.Errorf("read dependencies: %w", err)
	}
	defer rows.Close()
	c := callCounter{names: map[uint64]string{}, calls: map[call]uint64{}}
	for rows.Next() {
		var spans string
		var services []string
		if err := rows.Scan(&spans, &services); err != nil {
			return nil, false, fmt.Errorf("read dependencies: %w", err)
		}
		c.trace(spans, services)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("read dependencies: %w", err)
	}
	calls = c.sorted()
	return calls[:min(len(calls), maxNames)], len(calls) > maxNames, nil
}

// dependenciesSQL gives for each trace with a span in the range the spans, each
// as callSize bytes, and the names of the services.
const dependenciesSQL = `SELECT arrayStringConcat(groupArray(concat(SpanId, ParentSpanId, reinterpretAsFixedString(xxHash64(ServiceName)),
        reinterpretAsFixedString(toUInt8(SpanKind)),
        if(Timestamp >= fromUnixTimestamp64Nano({start:Int64}) AND Timestamp < fromUnixTimestamp64Nano({end:Int64}), '1', '0')))),
    groupUniqArray(ServiceName)
FROM spans FINAL
WHERE Tenant = {tenant:String} AND TraceId IN (
    SELECT TraceId FROM span_index WHERE Tenant = {tenant:String}
        AND Timestamp >= fromUnixTimestamp64Nano({start:Int64}) AND Timestamp < fromUnixTimestamp64Nano({end:Int64}))
GROUP BY Tenant, TraceId
HAVING uniq(ServiceName) > 1
SETTINGS optimize_aggregation_in_order = 1`

// callSize is the two ids, the hash of the service, the kind, and whether the
// span is within the range.
const callSize = 8 + 8 + 8 + 1 + 1

type call struct{ parent, child string }

// callCounter counts calls from trace to trace.
type callCounter struct {
	names  map[uint64]string // by hash
	calls  map[call]uint64
	spans  []spantree.Span
	within []bool
}

func (c *callCounter) trace(spans string, services []string) {
	for _, s := range services {
		if h := xxhash.Sum64String(s); c.names[h] == "" {
			c.names[h] = cmp.Or(s, MissingService)
		}
	}
	c.spans, c.within = c.spans[:0], c.within[:0]
	for ; len(spans) >= callSize; spans = spans[callSize:] {
		var hash uint64
		for i, b := range []byte(spans[16:24]) {
			hash |= uint64(b) << (8 * i)
		}
		s := spantree.Span{Service: c.names[hash], Kind: int32(spans[24])}
		copy(s.ID[:], spans)
		copy(s.Parent[:], spans[8:])
		c.spans = append(c.spans, s)
		c.within = append(c.within, spans[25] == '1')
	}
	for i, n := range spantree.Build(c.spans).Nodes {
		if n.Parent < 0 || !c.within[i] {
			continue
		}
		if parent, child := c.spans[n.Parent].Service, c.spans[i].Service; parent != child {
			c.calls[call{parent, child}]++
		}
	}
}

func (c *callCounter) sorted() []Dependency {
	out := make([]Dependency, 0, len(c.calls))
	for k, n := range c.calls {
		out = append(out, Dependency{Parent: k.parent, Child: k.child, Calls: n})
	}
	slices.SortFunc(out, func(a, b Dependency) int {
		return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.Child, b.Child))
	})
	return out
}
