// Package tracetest makes spans for the tests of trace-store: realistic ones
// in bulk, and random ones that use every field and value type of OTLP.
package tracetest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/otlp"
)

// Random makes a request of up to a few dozen spans with random content in
// every field. All spans are valid and their ids distinct.
func Random(r *rand.Rand) *tracev1.TracesData {
	data := &tracev1.TracesData{}
	traces := make([][]byte, 1+r.IntN(3))
	for i := range traces {
		traces[i] = id(r, 16)
	}
	for range r.IntN(4) {
		rs := &tracev1.ResourceSpans{SchemaUrl: text(r)}
		if r.IntN(4) > 0 {
			rs.Resource = &resourcev1.Resource{Attributes: attributes(r, 3), DroppedAttributesCount: count(r)}
			if r.IntN(4) == 0 {
				rs.Resource.EntityRefs = []*commonv1.EntityRef{{Type: text(r), IdKeys: []string{"a", text(r)}}}
			}
			if r.IntN(2) == 0 {
				rs.Resource.Attributes = append(rs.Resource.Attributes, str("service.name", text(r)))
			}
		}
		for range r.IntN(3) {
			ss := &tracev1.ScopeSpans{SchemaUrl: text(r)}
			if r.IntN(4) > 0 {
				ss.Scope = &commonv1.InstrumentationScope{
					Name: text(r), Version: text(r), Attributes: attributes(r, 3), DroppedAttributesCount: count(r),
				}
			}
			for range r.IntN(6) {
				ss.Spans = append(ss.Spans, span(r, traces[r.IntN(len(traces))]))
			}
			rs.ScopeSpans = append(rs.ScopeSpans, ss)
		}
		data.ResourceSpans = append(data.ResourceSpans, rs)
	}
	return data
}

func span(r *rand.Rand, trace []byte) *tracev1.Span {
	s := &tracev1.Span{
		TraceId: trace, SpanId: id(r, 8), Name: text(r), TraceState: text(r),
		Kind: tracev1.Span_SpanKind(r.IntN(7)), Flags: r.Uint32() >> r.IntN(32),
		StartTimeUnixNano: 1_700_000_000_000_000_000 + r.Uint64N(1e15), EndTimeUnixNano: 1_700_000_000_000_000_000 + r.Uint64N(1e15),
		Attributes: attributes(r, 8), DroppedAttributesCount: count(r), DroppedEventsCount: count(r), DroppedLinksCount: count(r),
	}
	if r.IntN(16) == 0 {
		s.StartTimeUnixNano, s.EndTimeUnixNano, s.Kind = r.Uint64(), r.Uint64(), tracev1.Span_SpanKind(r.Int32())
	}
	if r.IntN(2) == 0 {
		s.ParentSpanId = id(r, 8)
	}
	if r.IntN(3) > 0 {
		s.Status = &tracev1.Status{Code: tracev1.Status_StatusCode(r.IntN(4)), Message: text(r)}
	}
	for range r.IntN(4) {
		s.Events = append(s.Events, &tracev1.Span_Event{
			TimeUnixNano: r.Uint64() >> r.IntN(8), Name: text(r), Attributes: attributes(r, 3), DroppedAttributesCount: count(r),
		})
	}
	for range r.IntN(3) {
		s.Links = append(s.Links, &tracev1.Span_Link{
			TraceId: id(r, 16), SpanId: id(r, 8), TraceState: text(r), Attributes: attributes(r, 3),
			DroppedAttributesCount: count(r), Flags: r.Uint32(),
		})
	}
	return s
}

func id(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if r.IntN(4) == 0 {
		b[n-1] = 0 // ends in zero bytes, which text functions like to cut
	}
	b[0] |= 1
	return b
}

func count(r *rand.Rand) uint32 {
	if r.IntN(2) == 0 {
		return 0
	}
	return r.Uint32()
}

var texts = []string{
	"", "a", "GET /orders/{id}", "Ünïcödé ✓ 𝄞", "quote \" back \\ slash", "line\nbreak\ttab\rreturn", "\x00nul\x1f", "'single'",
	"{brace}", "null", "true", "1", "1.5", "[1,2]", " space ", "\u2028\u2029", "\\N", "%s", "日本語",
}

func text(r *rand.Rand) string {
	if r.IntN(8) == 0 {
		return fmt.Sprint("v", r.IntN(1e6))
	}
	return texts[r.IntN(len(texts))]
}

func attributes(r *rand.Rand, most int) []*commonv1.KeyValue {
	var out []*commonv1.KeyValue
	for range r.IntN(most + 1) {
		out = append(out, &commonv1.KeyValue{Key: text(r), Value: anyValue(r, 0)})
	}
	if len(out) > 0 && r.IntN(8) == 0 { // duplicate key
		out = append(out, &commonv1.KeyValue{Key: out[0].Key, Value: anyValue(r, 0)})
	}
	return out
}

var doubles = []float64{
	0, math.Copysign(0, -1), 1, -1.5, 0.1, 1e21, 1e-7, 123456789.125, math.MaxFloat64, math.SmallestNonzeroFloat64,
	math.Inf(1), math.Inf(-1), math.NaN(),
}

func anyValue(r *rand.Rand, depth int) *commonv1.AnyValue {
	kind := r.IntN(10)
	if depth > 3 {
		kind %= 6
	}
	switch kind {
	case 0, 1:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: text(r)}}
	case 2:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: int64(r.Uint64()) >> r.IntN(64)}}
	case 3:
		f := doubles[r.IntN(len(doubles))]
		if r.IntN(2) == 0 {
			f = r.NormFloat64()
		}
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_DoubleValue{DoubleValue: f}}
	case 4:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: r.IntN(2) == 0}}
	case 5:
		if r.IntN(2) == 0 {
			return nil
		}
		return &commonv1.AnyValue{}
	case 6:
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: id(r, 1+r.IntN(9))}}
	case 7, 8:
		list := &commonv1.ArrayValue{}
		for range r.IntN(4) {
			v := anyValue(r, depth+1)
			if v == nil { // a list holds no absent values
				v = &commonv1.AnyValue{}
			}
			list.Values = append(list.Values, v)
		}
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: list}}
	}
	list := &commonv1.KeyValueList{}
	for range r.IntN(4) {
		list.Values = append(list.Values, &commonv1.KeyValue{Key: text(r), Value: anyValue(r, depth+1)})
	}
	return &commonv1.AnyValue{Value: &commonv1.AnyValue_KvlistValue{KvlistValue: list}}
}

func str(key, v string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: v}}}
}

func num(key string, v int64) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: v}}}
}

// Canonical is the same spans as a list of one-span requests, sorted by trace
// and span id: two sets of requests hold equal spans, with equal resources and
// scopes, if their canonical forms are equal. What the store says of absurd
// times, of which random spans have many, is left out.
func Canonical(all ...*tracev1.TracesData) []*tracev1.ResourceSpans {
	var out []*tracev1.ResourceSpans
	for _, data := range all {
		for _, rs := range data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					if marked := func(kv *commonv1.KeyValue) bool { return kv.Key == otlp.MarkTime }; slices.ContainsFunc(s.Attributes, marked) {
						s = proto.CloneOf(s)
						s.Attributes = slices.DeleteFunc(s.Attributes, marked)
					}
					out = append(out, &tracev1.ResourceSpans{
						Resource: rs.Resource, SchemaUrl: rs.SchemaUrl,
						ScopeSpans: []*tracev1.ScopeSpans{{Scope: ss.Scope, SchemaUrl: ss.SchemaUrl, Spans: []*tracev1.Span{s}}},
					})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *tracev1.ResourceSpans) int {
		x, y := a.ScopeSpans[0].Spans[0], b.ScopeSpans[0].Spans[0]
		return cmp.Or(slices.Compare(x.TraceId, y.TraceId), slices.Compare(x.SpanId, y.SpanId))
	})
	return out
}

// Marshal is data as protobuf.
func Marshal(data *tracev1.TracesData) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(data)
	if err != nil {
		panic(err) // random content is valid by construction
	}
	return raw
}
