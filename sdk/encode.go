package sdk

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// Tags of OTLP's messages: the field's number and how its value is written.
const (
	varint = 0
	fix64  = 1
	length = 2
	fix32  = 5

	requestResourceSpans = 1<<3 | length

	resourceSpansResource  = 1<<3 | length
	resourceSpansScope     = 2<<3 | length
	resourceSpansSchemaURL = 3<<3 | length

	resourceAttributes = 1<<3 | length

	scopeSpansScope     = 1<<3 | length
	scopeSpansSpan      = 2<<3 | length
	scopeSpansSchemaURL = 3<<3 | length

	scopeName       = 1<<3 | length
	scopeVersion    = 2<<3 | length
	scopeAttributes = 3<<3 | length

	spanTraceID           = 1<<3 | length
	spanSpanID            = 2<<3 | length
	spanTraceState        = 3<<3 | length
	spanParent            = 4<<3 | length
	spanName              = 5<<3 | length
	spanKind              = 6<<3 | varint
	spanStart             = 7<<3 | fix64
	spanEnd               = 8<<3 | fix64
	spanAttributes        = 9<<3 | length
	spanDroppedAttributes = 10<<3 | varint
	spanEvents            = 11<<3 | length
	spanDroppedEvents     = 12<<3 | varint
	spanLinks             = 13<<3 | length
	spanDroppedLinks      = 14<<3 | varint
	spanStatus            = 15<<3 | length
	spanFlags             = 16<<3 | fix32

	eventTime       = 1<<3 | fix64
	eventName       = 2<<3 | length
	eventAttributes = 3<<3 | length
	eventDropped    = 4<<3 | varint

	linkTraceID    = 1<<3 | length
	linkSpanID     = 2<<3 | length
	linkTraceState = 3<<3 | length
	linkAttributes = 4<<3 | length
	linkDropped    = 5<<3 | varint
	linkFlags      = 6<<3 | fix32

	statusMessage = 2<<3 | length
	statusCode    = 3<<3 | varint

	keyValueKey   = 1<<3 | length
	keyValueValue = 2<<3 | length

	anyString = 1<<3 | length
	anyBool   = 2<<3 | varint
	anyInt    = 3<<3 | varint
	anyDouble = 4<<3 | fix64
	anyArray  = 5<<3 | length
	anyList   = 6<<3 | length
	anyBytes  = 7<<3 | length

	arrayValues = 1<<3 | length
)

// Flags that say what is known of where a context came from (OTLP, SpanFlags).
const (
	flagHasIsRemote = 0x100
	flagIsRemote    = 0x200
)

// Status codes of OTLP, in another order than OpenTelemetry's API has them.
const (
	statusOK    = 1
	statusError = 2
)

// appendSpan writes a span. Its trace state is another one where ts is given.
func appendSpan(b []byte, s sdktrace.ReadOnlySpan, ts *trace.TraceState) []byte {
	sc, parent := s.SpanContext(), s.Parent()
	b = appendIDs(b, spanTraceID, spanSpanID, sc)
	state := sc.TraceState()
	if ts != nil {
		state = *ts
	}
	b = appendTraceState(b, spanTraceState, state)
	if id := parent.SpanID(); id.IsValid() {
		b = append(append(b, spanParent, byte(len(id))), id[:]...)
	}
	b = appendText(b, spanName, s.Name())
	if kind := s.SpanKind(); kind > trace.SpanKindUnspecified && kind <= trace.SpanKindConsumer {
		b = append(b, spanKind, byte(kind)) // the same numbers
	}
	b = appendTime(b, spanStart, s.StartTime())
	b = appendTime(b, spanEnd, s.EndTime())
	b = appendAttributes(b, spanAttributes, s.Attributes())
	b = appendCount(b, spanDroppedAttributes, s.DroppedAttributes())
	for _, e := range s.Events() {
		b = appendEvent(b, &e)
	}
	b = appendCount(b, spanDroppedEvents, s.DroppedEvents())
	for _, l := range s.Links() {
		b = appendLink(b, &l)
	}
	b = appendCount(b, spanDroppedLinks, s.DroppedLinks())
	b = appendStatus(b, s.Status())
	b = protowire.AppendVarint(b, spanFlags)
	return binary.LittleEndian.AppendUint32(b, flagsOf(sc.TraceFlags(), parent))
}

func appendEvent(b []byte, e *sdktrace.Event) []byte {
	b, at := open(b, spanEvents)
	b = appendTime(b, eventTime, e.Time)
	b = appendText(b, eventName, e.Name)
	b = appendAttributes(b, eventAttributes, e.Attributes)
	b = appendCount(b, eventDropped, e.DroppedAttributeCount)
	return shut(b, at)
}

func appendLink(b []byte, l *sdktrace.Link) []byte {
	b, at := open(b, spanLinks)
	b = appendIDs(b, linkTraceID, linkSpanID, l.SpanContext)
	b = appendTraceState(b, linkTraceState, l.SpanContext.TraceState())
	b = appendAttributes(b, linkAttributes, l.Attributes)
	b = appendCount(b, linkDropped, l.DroppedAttributeCount)
	b = binary.LittleEndian.AppendUint32(append(b, linkFlags), flagsOf(l.SpanContext.TraceFlags(), l.SpanContext))
	return shut(b, at)
}

func appendStatus(b []byte, s sdktrace.Status) []byte {
	if s == (sdktrace.Status{}) {
		return b
	}
	b, at := open(b, spanStatus)
	b = appendText(b, statusMessage, s.Description)
	switch s.Code {
	case codes.Ok:
		b = append(b, statusCode, statusOK)
	case codes.Error:
		b = append(b, statusCode, statusError)
	case codes.Unset:
	}
	return shut(b, at)
}

// flagsOf are the flags of a span with that parent, or of a link.
func flagsOf(own trace.TraceFlags, from trace.SpanContext) uint32 {
	flags := uint32(own) | flagHasIsRemote
	if from.IsRemote() {
		flags |= flagIsRemote
	}
	return flags
}

// appendIDs writes a trace id and a span id, also those that are not valid.
func appendIDs(b []byte, traceTag, spanTag byte, sc trace.SpanContext) []byte {
	tid, sid := sc.TraceID(), sc.SpanID()
	b = append(append(b, traceTag, byte(len(tid))), tid[:]...)
	return append(append(b, spanTag, byte(len(sid))), sid[:]...)
}

func appendTraceState(b []byte, tag byte, ts trace.TraceState) []byte {
	if ts.Len() == 0 {
		return b
	}
	return appendText(b, tag, ts.String())
}

func appendTime(b []byte, tag byte, t time.Time) []byte {
	nanos := max(t.UnixNano(), 0)
	if nanos == 0 {
		return b
	}
	return binary.LittleEndian.AppendUint64(append(b, tag), uint64(nanos))
}

func appendCount(b []byte, tag byte, n int) []byte {
	if n <= 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag), uint64(min(n, math.MaxUint32)))
}

func appendAttributes(b []byte, tag byte, list []attribute.KeyValue) []byte {
	for i := range list {
		b = appendAttribute(b, tag, &list[i])
	}
	return b
}

func appendAttribute(b []byte, tag byte, kv *attribute.KeyValue) []byte {
	b, at := open(b, tag)
	b = appendText(b, keyValueKey, string(kv.Key))
	b = appendValue(b, keyValueValue, &kv.Value)
	return shut(b, at)
}

// appendValue writes an AnyValue, whose alternatives stand there even when they are
// zero.
func appendValue(b []byte, tag byte, v *attribute.Value) []byte {
	b, at := open(b, tag)
	switch v.Type() {
	case attribute.EMPTY:
	case attribute.BOOL:
		b = appendBool(b, v.AsBool())
	case attribute.INT64:
		b = appendInt(b, v.AsInt64())
	case attribute.FLOAT64:
		b = appendFloat(b, v.AsFloat64())
	case attribute.STRING:
		b = appendString(b, anyString, v.AsString())
	case attribute.BYTESLICE:
		b = protowire.AppendBytes(append(b, anyBytes), v.AsByteSlice())
	case attribute.MAP:
		b = appendMap(b, v.AsMap())
	default:
		b = appendArray(b, v)
	}
	return shut(b, at)
}

func appendMap(b []byte, list []attribute.KeyValue) []byte {
	b, at := open(b, anyList)
	b = appendAttributes(b, arrayValues, list)
	return shut(b, at)
}

func appendArray(b []byte, v *attribute.Value) []byte {
	b, at := open(b, anyArray)
	switch v.Type() {
	case attribute.BOOLSLICE:
		b = appendElements(b, v.AsBoolSlice(), appendBool)
	case attribute.INT64SLICE:
		b = appendElements(b, v.AsInt64Slice(), appendInt)
	case attribute.FLOAT64SLICE:
		b = appendElements(b, v.AsFloat64Slice(), appendFloat)
	case attribute.STRINGSLICE:
		b = appendElements(b, v.AsStringSlice(), func(b []byte, s string) []byte { return appendString(b, anyString, s) })
	case attribute.SLICE:
		for _, e := range v.AsSlice() {
			b = appendValue(b, arrayValues, &e)
		}
	default: // of an OpenTelemetry that knows more than we do
		b, inner := open(b[:at-2], anyString)
		return shut(append(b, v.String()...), inner)
	}
	return shut(b, at)
}

func appendElements[E any](b []byte, list []E, write func([]byte, E) []byte) []byte {
	for _, e := range list {
		var at int
		b, at = open(b, arrayValues)
		b = shut(write(b, e), at)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	return append(b, anyBool, byte(protowire.EncodeBool(v)))
}

func appendInt(b []byte, v int64) []byte {
	return protowire.AppendVarint(append(b, anyInt), uint64(v)) //nolint:gosec // as protobuf has it
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, anyDouble), math.Float64bits(v))
}

// appendText writes a string that stands there only when it is not empty.
func appendText(b []byte, tag byte, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(b, tag, s)
}

// appendString writes a string, mended where it is not UTF-8: protobuf's readers
// refuse the whole request for one that is not.
func appendString(b []byte, tag byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = append(b, tag)
	if len(s) < 1<<7 {
		b = append(b, byte(len(s)))
	} else {
		b = protowire.AppendVarint(b, uint64(len(s)))
	}
	return append(b, s...)
}

// open begins a message of unknown length, for which one byte is left free.
func open(b []byte, tag byte) (opened []byte, at int) {
	return append(b, tag, 0), len(b) + 2
}

// shut ends the message that began at at, and makes room where its length takes
// more than a byte.
func shut(b []byte, at int) []byte {
	n := len(b) - at
	if n < 1<<7 {
		b[at-1] = byte(n)
		return b
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	b = slices.Grow(b, more)[:len(b)+more]
	copy(b[at+more:], b[at:at+n])
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}

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
