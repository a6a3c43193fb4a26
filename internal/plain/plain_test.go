package plain_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/plain"
)

func TestKind(t *testing.T) {
	for kind, want := range map[tracepb.Span_SpanKind]string{
		tracepb.Span_SPAN_KIND_UNSPECIFIED: "", tracepb.Span_SPAN_KIND_INTERNAL: "internal", tracepb.Span_SPAN_KIND_SERVER: "server",
		tracepb.Span_SPAN_KIND_CLIENT: "client", tracepb.Span_SPAN_KIND_PRODUCER: "producer", tracepb.Span_SPAN_KIND_CONSUMER: "consumer",
		6: "", -1: "", math.MaxInt32: "",
	} {
		require.Equal(t, want, plain.Kind(kind))
	}
}

func TestText(t *testing.T) {
	str := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "a <b>"}}
	for want, v := range map[string]*commonpb.AnyValue{
		"":              nil,
		"a <b>":         str,
		"true":          {Value: &commonpb.AnyValue_BoolValue{BoolValue: true}},
		"-7":            {Value: &commonpb.AnyValue_IntValue{IntValue: -7}},
		"0.5":           {Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}},
		`"NaN"`:         {Value: &commonpb.AnyValue_DoubleValue{DoubleValue: math.NaN()}},
		"cmF3":          {Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("raw")}},
		`["a <b>"]`:     {Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{str}}}},
		`{"k":"a <b>"}`: {Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{{Key: "k", Value: str}}}}},
	} {
		require.Equal(t, want, plain.Text(v))
	}
}
