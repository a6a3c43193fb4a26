package query

import (
	"cmp"
	"encoding/hex"
	"slices"

	"github.com/driftmesh/driftmesh/internal/spantree"
)

// Warning is one odd thing about one span.
type Warning struct {
	// SpanID is 16 hex digits. Service and Kind tell spans with one id apart.
	SpanID, Service, Kind string
	Oddity                spantree.Oddity
}

// cutter makes parts of a sequence of spans.
type cutter struct {
	limits Limits
	send   func(Part) error
	id     string
	seen   int // spans of the trace
	b      *builder
	tree   []spantree.Span
	cut    bool // there were more spans than are given
}

func (c *cutter) add(r *row) error {
	if r.traceID != c.id {
		if err := c.end(); err != nil {
			return err
		}
		c.id, c.seen, c.cut = r.traceID, 0, false
	}
	c.seen++
	if c.seen > c.limits.MaxSpans {
		c.cut = true
		return nil
	}
	if c.b != nil && c.b.size >= c.limits.PartBytes {
		if err := c.send(c.part()); err != nil {
			return err
		}
	}
	if c.b == nil {
		c.b = newBuilder()
	}
	c.tree = append(c.tree, r.node())
	return c.b.add(r)
}

// end sends the last part of a trace.
func (c *cutter) end() error {
	if c.b == nil {
		return nil
	}
	p := c.part()
	p.Truncated, p.Warnings = c.cut, c.warnings()
	c.tree = c.tree[:0]
	return c.send(p)
}

// part is what has been gathered; the next one begins.
func (c *cutter) part() Part {
	p := Part{Traces: c.b.bytes(), Spans: c.b.spans}
	copy(p.TraceID[:], c.id)
	c.b = nil
	return p
}

func (c *cutter) warnings() []Warning {
	var out []Warning
	tree := spantree.Build(c.tree)
	for i, n := range tree.Nodes {
		s := &c.tree[i]
		odd := n.Oddities
		if c.cut { // the parent may be among those that are not given
			odd = slices.DeleteFunc(odd, func(o spantree.Oddity) bool { return o.Kind == spantree.Orphan })
		}
		for _, o := range odd {
			out = append(out, Warning{
				SpanID: hex.EncodeToString(s.ID[:]), Service: cmp.Or(s.Service, MissingService), Kind: KindName(s.Kind), Oddity: o,
			})
		}
	}
	return out
}
