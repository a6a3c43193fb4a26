package sdk

import (
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// encoder writes spans as ExportTraceServiceRequests, without messages in between.
// It is used again, by one goroutine at a time.
type encoder struct {
	buf    []byte // spans, one behind the other
	groups []group
	byKey  map[groupKey]int
	heads  map[*resource.Resource][]byte // encoded resources, of one program mostly one
}

// groupKey is a scope of a resource.
type groupKey struct {
	resource *resource.Resource
	scope    instrumentation.Scope
}

// group is the spans of one scope of one resource.
type group struct {
	groupKey
	resourceHead []byte
	scopeHead    []byte
	spans        []piece
}

// piece is where an encoded span stands in the buffer.
type piece struct{ from, to int }

func (p piece) size() int { return p.to - p.from }

// written is a request of so many spans.
type written struct {
	body  []byte
	spans int
}

// maxHeads bounds the resources that an encoder remembers.
const maxHeads = 16

// frame is more than the tags and lengths around one span take.
const frame = 6

// encode writes requests of at most batch bytes, or of one span, with all spans but
// those that alone are larger than most, which it counts. Spans of one scope keep
// their order. Where state is given it says with which trace state a span goes.
func (e *encoder) encode(spans []sdktrace.ReadOnlySpan, batch, most int, state func(sdktrace.ReadOnlySpan) *trace.TraceState) (out []written, tooLarge int) {
	e.buf = e.buf[:0]
	for i := range e.groups {
		e.groups[i].spans = e.groups[i].spans[:0]
	}
	e.groups = e.groups[:0]
	clear(e.byKey)
	var last *group
	for _, s := range spans {
		if scope := s.InstrumentationScope(); last == nil || last.resource != s.Resource() || last.scope != scope {
			last = e.group(groupKey{s.Resource(), scope})
		}
		var ts *trace.TraceState
		if state != nil {
			ts = state(s)
		}
		from := len(e.buf)
		e.buf = appendSpan(e.buf, s, ts)
		if len(e.buf)-from+frame+last.overhead() > most {
			e.buf = e.buf[:from]
			tooLarge++
			continue
		}
		last.spans = append(last.spans, piece{from, len(e.buf)})
	}
	return e.requests(batch), tooLarge
}

// group finds the group of a scope, or makes it.
func (e *encoder) group(key groupKey) *group {
	i, known := e.byKey[key]
	if !known {
		if e.byKey == nil {
			e.byKey = map[groupKey]int{}
		}
		i = len(e.groups)
		e.byKey[key] = i
		if len(e.groups) < cap(e.groups) { // with the room of one that was there before
			e.groups = e.groups[:i+1]
		} else {
			e.groups = append(e.groups, group{})
		}
		g := &e.groups[i]
		g.groupKey, g.resourceHead = key, e.head(key.resource)
		g.scopeHead, g.spans = appendScope(g.scopeHead[:0], &key.scope), g.spans[:0]
	}
	return &e.groups[i]
}

// head is a resource as it stands at the beginning of its spans.
func (e *encoder) head(r *resource.Resource) []byte {
	if head, known := e.heads[r]; known {
		return head
	}
	if len(e.heads) >= maxHeads || e.heads == nil {
		e.heads = map[*resource.Resource][]byte{}
	}
	head, at := open(nil, resourceSpansResource)
	for iter := r.Iter(); iter.Next(); {
		kv := iter.Attribute()
		head = appendAttribute(head, resourceAttributes, &kv)
	}
	head = shut(head, at)
	head = appendText(head, resourceSpansSchemaURL, r.SchemaURL())
	e.heads[r] = head
	return head
}

// appendScope writes a scope as it stands at the beginning of its spans.
func appendScope(b []byte, scope *instrumentation.Scope) []byte {
	if *scope == (instrumentation.Scope{}) {
		return b
	}
	b, at := open(b, scopeSpansScope)
	b = appendText(b, scopeName, scope.Name)
	b = appendText(b, scopeVersion, scope.Version)
	for iter := scope.Attributes.Iter(); iter.Next(); {
		kv := iter.Attribute()
		b = appendAttribute(b, scopeAttributes, &kv)
	}
	b = shut(b, at)
	return appendText(b, scopeSpansSchemaURL, scope.SchemaURL)
}

// overhead is more than what stands around the group's spans takes.
func (g *group) overhead() int { return len(g.resourceHead) + len(g.scopeHead) + 3*frame }

// stretch is a run of a group's spans in one request.
type stretch struct {
	g      *group
	pieces []piece
	size   int // of the scope's message
}

// requests puts the encoded spans into requests of at most maxBytes, or of one.
func (e *encoder) requests(maxBytes int) (out []written) {
	var now []stretch
	size := 0
	end := func() {
		if len(now) > 0 {
			out = append(out, assemble(now, e.buf))
		}
		now, size = now[:0], 0
	}
	for i := range e.groups {
		g := &e.groups[i]
		for from := 0; from < len(g.spans); {
			if size > 0 && size+g.overhead()+g.spans[from].size()+frame > maxBytes {
				end()
			}
			size += g.overhead()
			to := from
			for to < len(g.spans) && (to == from || size+g.spans[to].size()+frame <= maxBytes) {
				size += g.spans[to].size() + frame
				to++
			}
			now = append(now, stretch{g: g, pieces: g.spans[from:to]})
			from = to
		}
	}
	end()
	return out
}

// assemble writes one request into memory of its exact size.
func assemble(list []stretch, buf []byte) written {
	total, spans := 0, 0
	for i := range list {
		s := &list[i]
		s.size = len(s.g.scopeHead)
		for _, p := range s.pieces {
			s.size += 1 + protowire.SizeBytes(p.size())
		}
		spans += len(s.pieces)
	}
	for at := 0; at < len(list); {
		n, size := oneResource(list[at:])
		total += 1 + protowire.SizeBytes(size)
		at += n
	}
	b := make([]byte, 0, total)
	for at := 0; at < len(list); {
		n, size := oneResource(list[at:])
		b = protowire.AppendVarint(append(b, requestResourceSpans), uint64(size))
		b = append(b, list[at].g.resourceHead...)
		for _, s := range list[at : at+n] {
			b = protowire.AppendVarint(append(b, resourceSpansScope), uint64(s.size))
			b = append(b, s.g.scopeHead...)
			for _, p := range s.pieces {
				b = protowire.AppendBytes(append(b, scopeSpansSpan), buf[p.from:p.to])
			}
		}
		at += n
	}
	return written{body: b, spans: spans}
}

// oneResource is how many stretches at the beginning are of one resource, and the
// size of its message.
func oneResource(list []stretch) (n, size int) {
	size = len(list[0].g.resourceHead)
	for n < len(list) && list[n].g.resource == list[0].g.resource {
		size += 1 + protowire.SizeBytes(list[n].size)
		n++
	}
	return n, size
}
