package otlp_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

var now = time.Unix(1_790_000_000, 0)

func str(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func num(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
}

// sample is the request that performance.md measures with: spans in four
// services, ten attributes a span, ten resource attributes, about 470 B a span.
func sample(spans int) *collectorpb.ExportTraceServiceRequest {
	rnd := rand.New(rand.NewPCG(1, 2))
	req := &collectorpb.ExportTraceServiceRequest{}
	for s := range 4 {
		res := &resourcepb.Resource{}
		for i := range 9 {
			res.Attributes = append(res.Attributes, str(fmt.Sprintf("resource.key.%d", i), fmt.Sprintf("resource-value-%d", i)))
		}
		res.Attributes = append(res.Attributes, str("service.name", fmt.Sprintf("service-%d", s)))
		scope := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "sample", Version: "1.2.3"}, SchemaUrl: "https://example.com/schema"}
		for i := range spans / 4 {
			scope.Spans = append(scope.Spans, sampleSpan(rnd, i))
		}
		req.ResourceSpans = append(req.ResourceSpans, &tracepb.ResourceSpans{Resource: res, ScopeSpans: []*tracepb.ScopeSpans{scope}})
	}
	return req
}

func sampleSpan(rnd *rand.Rand, i int) *tracepb.Span {
	start := uint64(now.UnixNano()) - uint64(rnd.IntN(1e9))
	span := &tracepb.Span{
		TraceId: id(rnd, 16), SpanId: id(rnd, 8), ParentSpanId: id(rnd, 8),
		Name: fmt.Sprintf("GET /api/v1/orders/%d", i), Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(rnd.IntN(1e8)),
		Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK}, Flags: 0x101,
	}
	for a := range 6 {
		span.Attributes = append(span.Attributes, str(fmt.Sprintf("http.attribute.%d", a), fmt.Sprintf("value-%d-%016x", a, rnd.Uint64())))
	}
	span.Attributes = append(span.Attributes,
		num("http.response.status_code", 200), num("http.response.body.size", 123_456),
		&commonpb.KeyValue{Key: "app.cached", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
		&commonpb.KeyValue{Key: "app.score", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.25}}},
	)
	return span
}

func id(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		binary.BigEndian.PutUint64(b[i:], rnd.Uint64()|1)
	}
	return b
}

// rich is a request with every field OTLP has, nested values included.
func rich() *collectorpb.ExportTraceServiceRequest {
	req := sample(8)
	span := req.ResourceSpans[0].ScopeSpans[0].Spans[0]
	span.TraceState, span.DroppedAttributesCount, span.DroppedEventsCount, span.DroppedLinksCount = "a=b", 1, 2, 3
	span.Attributes = append(span.Attributes, str("ünïcode", "日本語"), num("negative", -1),
		&commonpb.KeyValue{Key: "bytes", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255, 1}}}},
		&commonpb.KeyValue{Key: "empty", Value: &commonpb.AnyValue{}}, &commonpb.KeyValue{Key: "none"},
		&commonpb.KeyValue{Key: "array", Value: array(str("", "x").Value, num("", 7).Value, array())},
		&commonpb.KeyValue{Key: "map", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{
			KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{str("k", "v"), num("n", 0)}}}}},
	)
	span.Events = []*tracepb.Span_Event{{TimeUnixNano: span.StartTimeUnixNano, Name: "event", Attributes: []*commonpb.KeyValue{str("e", "1")}, DroppedAttributesCount: 4}}
	span.Links = []*tracepb.Span_Link{{TraceId: span.TraceId, SpanId: span.SpanId, TraceState: "c=d", Attributes: []*commonpb.KeyValue{str("l", "1")}, DroppedAttributesCount: 5, Flags: 1}}
	span.Status = &tracepb.Status{Message: "it broke", Code: tracepb.Status_STATUS_CODE_ERROR}
	req.ResourceSpans[0].SchemaUrl = "https://example.com/resource"
	req.ResourceSpans[0].Resource.EntityRefs = []*commonpb.EntityRef{{SchemaUrl: "s", Type: "service", IdKeys: []string{"service.name"}, DescriptionKeys: []string{"d"}}}
	req.ResourceSpans[0].Resource.DroppedAttributesCount = 6
	req.ResourceSpans[0].ScopeSpans[0].Scope.Attributes = []*commonpb.KeyValue{str("s", "1")}
	req.ResourceSpans[0].ScopeSpans[0].Scope.DroppedAttributesCount = 7
	return req
}

func array(values ...*commonpb.AnyValue) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
}

func encode(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.Marshal(m)
	require.NoError(tb, err)
	return b
}

func decode(tb testing.TB, b []byte) *collectorpb.ExportTraceServiceRequest {
	tb.Helper()
	req := &collectorpb.ExportTraceServiceRequest{}
	require.NoError(tb, proto.Unmarshal(b, req))
	return req
}
