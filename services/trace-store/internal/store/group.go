package store

import (
	"github.com/cespare/xxhash/v2"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/value"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// group is what spans share: a resource, or a scope. It owns its scratch
// memory, as it outlives the spans under it.
type group struct {
	parser
	attrs   list
	name    []byte // service.name of a resource, name of a scope
	version []byte
	// message is the ResourceSpans or ScopeSpans without the spans: what the
	// reader puts around them again.
	message []byte
	// pairs are the attributes as [["key","text"],…].
	pairs  []byte
	tokens []uint32

	dirty bool     // something in it is not UTF-8
	other []byte   // fields beside attributes, name and version
	block uint64   // the block in which at is valid
	at    groupRow // where its texts lie
}

// groupRow are indexes into dictionaries.
type groupRow struct{ message, pairs, name, version uint32 }

func (g *group) reset() {
	g.scratch = g.scratch[:0]
	g.attrs.reset()
	g.name, g.version = nil, nil
	g.message, g.pairs, g.tokens, g.other = g.message[:0], g.pairs[:0], g.tokens[:0], g.other[:0]
	g.dirty, g.block = false, 0
}

// bytes is about how much a row grows by the group.
func (g *group) bytes() int { return 4 * len(g.tokens) }

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
			g.message = append(g.message, c.Raw...)
		case c.Is(otlp.ResourceSpansSchemaURL, wire.Bytes):
			g.schemaURL(&c)
		}
	}
	for i := range g.attrs.attrs {
		if a := &g.attrs.attrs[i]; string(a.key) == "service.name" {
			g.name = a.text
			break
		}
	}
	g.listAttributes()
	if g.dirty {
		g.mend(otlp.ResourceSpansResource, otlp.ResourceAttributes)
	}
	return !c.Bad()
}

// listAttributes writes the attributes as pairs and tokens.
func (g *group) listAttributes() {
	g.pairs = append(g.pairs, '[')
	for i := range g.attrs.attrs {
		a := &g.attrs.attrs[i]
		if i > 0 {
			g.pairs = append(g.pairs, ',')
		}
		g.pairs = value.AppendPair(g.pairs, a.key, a.text)
		g.tokens = append(g.tokens, token(xxhash.Sum64(a.key), xxhash.Sum64(a.text)))
	}
	g.pairs = append(g.pairs, ']')
}

func (g *group) resourceFields(b []byte) bool {
	c := wire.Of(b)
	for c.Next() {
		if !c.Is(otlp.ResourceAttributes, wire.Bytes) {
			g.keep(&c)
		} else if !g.add(c.V) {
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
			g.message = append(g.message, c.Raw...)
		case c.Is(otlp.ScopeSpansSchemaURL, wire.Bytes):
			g.schemaURL(&c)
		}
	}
	g.listAttributes()
	g.tokens = append(g.tokens, token(xxhash.Sum64String(ScopeName), xxhash.Sum64(g.name)), token(xxhash.Sum64String(ScopeVersion), xxhash.Sum64(g.version)))
	if g.dirty {
		g.mend(otlp.ScopeSpansScope, otlp.ScopeAttributes)
	}
	return !c.Bad()
}

func (g *group) scopeFields(b []byte) bool {
	c := wire.Of(b)
	for c.Next() {
		switch {
		case c.Is(otlp.ScopeName, wire.Bytes):
			g.name = g.own(&c)
		case c.Is(otlp.ScopeVersion, wire.Bytes):
			g.version = g.own(&c)
		case c.Is(otlp.ScopeAttributes, wire.Bytes):
			if !g.add(c.V) {
				return false
			}
		default:
			g.keep(&c)
		}
	}
	return !c.Bad()
}

func (g *group) add(keyValue []byte) bool {
	g.dirty = g.dirty || !value.Valid(keyValue)
	return g.attribute(&g.attrs, keyValue)
}

// own is the text of a field that is kept also if the group has to be mended.
func (g *group) own(c *wire.Cursor) []byte {
	text := g.text(c.V)
	g.dirty = g.dirty || len(text) != len(c.V)
	g.other = wire.AppendString(g.other, c.Num, text)
	return text
}

func (g *group) schemaURL(c *wire.Cursor) {
	// Both messages have it as field 3. One that is not UTF-8 is no URL.
	if text := g.text(c.V); len(text) == len(c.V) {
		g.message = append(g.message, c.Raw...)
	}
}

// keep keeps a field for mend. Nested messages are left out, as nobody looked
// at their text.
func (g *group) keep(c *wire.Cursor) {
	if c.Type != wire.Bytes {
		g.other = append(g.other, c.Raw...)
	}
}

// mend writes the message anew, with what is not UTF-8 replaced.
func (g *group) mend(field, attributes int32) {
	body := appendAttributes(append([]byte(nil), g.other...), attributes, &g.attrs)
	g.message = wire.AppendBytes(g.message[:0], field, body)
}
