package query

import (
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// builder gathers spans into one OTLP TracesData, under their resources and
// scopes in the order in which these appear.
type builder struct {
	resources []*resourceSpans
	byText    map[string]*resourceSpans
	spans     int
	size      int // about how many bytes the message has
}

type resourceSpans struct {
	head   string // the message but for its scopes
	scopes []*scopeSpans
	byText map[string]*scopeSpans
}

type scopeSpans struct {
	head  string // the message but for its spans
	spans []byte
}

func newBuilder() *builder { return &builder{byText: map[string]*resourceSpans{}} }

// add adds one span.
func (b *builder) add(r *row) error {
	span, err := r.appendSpan(nil)
	if err != nil {
		return err
	}
	scope := b.resource(r.resource).scope(r.scope)
	scope.spans = wire.AppendBytes(scope.spans, otlp.ScopeSpansSpans, span)
	b.spans++
	b.size += len(span) + 4
	return nil
}

func (b *builder) resource(text string) *resourceSpans {
	g := b.byText[text]
	if g == nil {
		g = &resourceSpans{head: text, byText: map[string]*scopeSpans{}}
		b.byText[text] = g
		b.resources = append(b.resources, g)
		b.size += len(text)
	}
	return g
}

func (g *resourceSpans) scope(text string) *scopeSpans {
	s := g.byText[text]
	if s == nil {
		s = &scopeSpans{head: text}
		g.byText[text] = s
		g.scopes = append(g.scopes, s)
	}
	return s
}

// bytes is the TracesData message.
func (b *builder) bytes() []byte {
	out := make([]byte, 0, b.size+b.size/8)
	var res, scope []byte
	for _, g := range b.resources {
		res = append(res[:0], g.head...)
		for _, s := range g.scopes {
			scope = append(append(scope[:0], s.head...), s.spans...)
			res = wire.AppendBytes(res, otlp.ResourceSpansScopeSpans, scope)
		}
		out = wire.AppendBytes(out, otlp.RequestResourceSpans, res)
	}
	return out
}
