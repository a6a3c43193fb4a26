package jaeger

import (
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/spantree"
)

// What the mesh had to mark is a warning in Jaeger's UI, and stays a tag that
// one can search for.
func TestMarksAreWarnings(t *testing.T) {
	t.Parallel()
	text := func(key, value string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
	}
	span := spanOf(&tracepb.Span{
		TraceId: make([]byte, 16), SpanId: make([]byte, 8), StartTimeUnixNano: 9, EndTimeUnixNano: 5,
		Attributes: []*commonpb.KeyValue{text("a", "b"), text(otlp.MarkTime, "end_before_start"), text(otlp.MarkMended, "attribute p cut from 9 to 5 bytes")},
	}, nil, &spantree.Node{})
	require.Equal(t, []string{"end_before_start", "attribute p cut from 9 to 5 bytes"}, span.Warnings)
	require.Zero(t, span.Duration)
	require.Len(t, span.Tags, 3)
}
