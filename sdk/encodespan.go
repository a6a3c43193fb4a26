package sdk

import (
	"encoding/binary"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// Tags of OTLP's messages.
const (
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
