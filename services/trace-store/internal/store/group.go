package store

import (
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// group is what spans share: a resource, or a scope. It owns its scratch
// memory, as it outlives the spans under it.
type group struct {
	parser
	attrs     list
	name      []byte // service.name of a resource, name of a scope
	version   []byte
	schemaURL []byte
	// rest is a fragment of the ResourceSpans or ScopeSpans message: field 1
	// with whatever has no column of its own.
	rest   []byte
	tokens []uint32
	bytes  int // about how much a row grows by the group

	present bool
	other   []byte
	block   uint64 // the block in which row, and the attribute column's, is valid
	row     mapRow
}

func (g *group) reset() {
	g.scratch = g.scratch[:0]
	g.attrs.reset()
	g.name, g.version, g.schemaURL = nil, nil, nil
	g.rest, g.other, g.tokens = g.rest[:0], g.other[:0], g.tokens[:0]
	g.present, g.block = false, 0
}

// resource reads what the spans of a ResourceSpans share; false means that it
// is malformed.
func (g *group) resource(resourceSpans []byte) bool {
	g.reset()
	c := wire.Of(resourceSpans)
	for c.Next() {
		switch {
		case c.Is(otlp.ResourceSpansResource, wire.Bytes):
			if !g.resourceFields(c.V) {
				return false
			}
		case c.Is(otlp.ResourceSpansSchemaURL, wire.Bytes):
			g.schemaURL = g.text(c.V)
		}
	}
	for i := range g.attrs.attrs {
		if a := &g.attrs.attrs[i]; string(a.key) == "service.name" {
			g.name = a.text
			break
		}
	}
	g.fragment()
	return !c.Bad()
}

func (g *group) resourceFields(b []byte) bool {
	g.present = true
	c := wire.Of(b)
	for c.Next() {
		if !c.Is(otlp.ResourceAttributes, wire.Bytes) {
			g.keep(&c, otlp.ResourceDroppedAttributesCount)
		} else if !g.attribute(&g.attrs, c.V) {
			return false
		}
	}
	return !c.Bad()
}

// scope reads what the spans of a ScopeSpans share; false means that it is
// malformed.
func (g *group) scope(scopeSpans []byte) bool {
	g.reset()
	c := wire.Of(scopeSpans)
	for c.Next() {
		switch {
		case c.Is(otlp.ScopeSpansScope, wire.Bytes):
			if !g.scopeFields(c.V) {
				return false
			}
		case c.Is(otlp.ScopeSpansSchemaURL, wire.Bytes):
			g.schemaURL = g.text(c.V)
		}
	}
	g.fragment()
	return !c.Bad()
}

func (g *group) scopeFields(b []byte) bool {
	g.present = true
	c := wire.Of(b)
	for c.Next() {
		switch {
		case c.Is(otlp.ScopeName, wire.Bytes):
			g.name = g.text(c.V)
		case c.Is(otlp.ScopeVersion, wire.Bytes):
			g.version = g.text(c.V)
		case c.Is(otlp.ScopeAttributes, wire.Bytes):
			if !g.attribute(&g.attrs, c.V) {
				return false
			}
		default:
			g.keep(&c, otlp.ScopeDroppedAttributesCount)
		}
	}
	return !c.Bad()
}

// keep keeps a field without a column, unless it is a count of zero.
func (g *group) keep(c *wire.Cursor, count int32) {
	if c.Is(count, wire.Varint) && c.U == 0 {
		return
	}
	g.other = append(g.other, c.Raw...)
}

// fragment makes rest: nothing if the columns alone tell the whole.
func (g *group) fragment() {
	told := len(g.attrs.attrs) > 0
	if g.present && (!told || len(g.other) > 0) {
		g.rest = wire.AppendBytes(g.rest, 1, g.other)
	}
	g.bytes = len(g.rest) + len(g.name) + len(g.version) + len(g.schemaURL)
	for i := range g.attrs.attrs {
		g.bytes += len(g.attrs.attrs[i].text) + attrOverhead
	}
}

// attrOverhead is about what an attribute takes beside its text: the index of
// its key, its length and its token.
const attrOverhead = 12
