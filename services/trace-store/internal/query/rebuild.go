package query

import (
	"strings"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// builder gathers spans into one OTLP TracesData, under their resources and
// scopes in the order in which these appear.
type builder struct {
	resources []*resourceSpans
	byKey     map[string]*resourceSpans
	spans     int
	size      int // about how many bytes the message has
}

type resourceSpans struct {
	head   []byte // the message but for its scopes
	scopes []*scopeSpans
	byKey  map[string]*scopeSpans
}

type scopeSpans struct {
	head  []byte // the message but for its spans
	spans []byte
}

func newBuilder() *builder { return &builder{byKey: map[string]*resourceSpans{}} }

// add adds one span.
func (b *builder) add(r *row) error {
	res, err := b.resource(r)
	if err != nil {
		return err
	}
	scope, err := res.scope(r)
	if err != nil {
		return err
	}
	span, err := r.appendSpan(nil)
	if err != nil {
		return err
	}
	scope.spans = wire.AppendBytes(scope.spans, otlp.ScopeSpansSpans, span)
	b.spans++
	b.size += len(span) + 4
	return nil
}

func (b *builder) resource(r *row) (*resourceSpans, error) {
	key := groupKey(&r.resource, r.resourceURL, r.resourceRest)
	if g := b.byKey[key]; g != nil {
		return g, nil
	}
	attrs, err := r.resource.append(nil, otlp.ResourceAttributes)
	if err != nil {
		return nil, err
	}
	g := &resourceSpans{byKey: map[string]*scopeSpans{}}
	if len(attrs) > 0 {
		g.head = wire.AppendBytes(g.head, otlp.ResourceSpansResource, attrs)
	}
	// The rest is a fragment of the same message; protobuf merges the two.
	g.head = append(g.head, r.resourceRest...)
	g.head = wire.AppendString(g.head, otlp.ResourceSpansSchemaURL, r.resourceURL)
	b.byKey[key] = g
	b.resources = append(b.resources, g)
	b.size += len(g.head)
	return g, nil
}

func (g *resourceSpans) scope(r *row) (*scopeSpans, error) {
	key := groupKey(&r.scope, r.scopeURL, r.scopeRest, r.scopeName, r.scopeVersion)
	if s := g.byKey[key]; s != nil {
		return s, nil
	}
	var scope []byte
	scope = wire.AppendString(scope, otlp.ScopeName, r.scopeName)
	scope = wire.AppendString(scope, otlp.ScopeVersion, r.scopeVersion)
	scope, err := r.scope.append(scope, otlp.ScopeAttributes)
	if err != nil {
		return nil, err
	}
	s := &scopeSpans{}
	if len(scope) > 0 {
		s.head = wire.AppendBytes(s.head, otlp.ScopeSpansScope, scope)
	}
	s.head = append(s.head, r.scopeRest...)
	s.head = wire.AppendString(s.head, otlp.ScopeSpansSchemaURL, r.scopeURL)
	g.byKey[key] = s
	g.scopes = append(g.scopes, s)
	return s, nil
}

// groupKey is equal for equal parts only: each is closed by its length.
func groupKey(a *attributes, more ...string) string {
	var k strings.Builder
	part := func(s string) {
		var n [10]byte
		k.WriteString(s)
		k.Write(append(n[:0], byte(len(s)), byte(len(s)>>8), byte(len(s)>>16), byte(len(s)>>24)))
	}
	part(a.types)
	for i := range a.keys {
		part(a.keys[i])
		part(a.vals[i])
	}
	for _, s := range more {
		part(s)
	}
	return k.String()
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
