package sdk

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const (
	hexTrace = "0af7651916cd43dd8448eb211c80319c"
	hexSpan  = "b7ad6b7169203331"
)

func TestHeaderMapGoesBothWays(t *testing.T) {
	t.Parallel()
	_, in := recorder(t)
	ctx, span := Start(t.Context(), "a", in)
	headers := Headers(ctx)
	traceID, spanID := span.ID()
	require.Equal(t, map[string]string{
		"trace_id": traceID, "span_id": spanID, "is_sampled": "true", "traceparent": "00-" + traceID + "-" + spanID + "-01",
	}, headers)
	require.Empty(t, Headers(t.Context()), "outside a trace")

	back := trace.SpanContextFromContext(FromHeaders(t.Context(), map[string]string{"Trace_ID": strings.ToUpper(hexTrace), "SPAN_ID": hexSpan, "is_sampled": "False"}))
	require.Equal(t, hexTrace, back.TraceID().String())
	require.Equal(t, hexSpan, back.SpanID().String())
	require.False(t, back.IsSampled())
	require.True(t, back.IsRemote())
	back = trace.SpanContextFromContext(FromHeaders(t.Context(), map[string]string{"trace_id": hexTrace, "span_id": hexSpan}))
	require.True(t, back.IsSampled(), "it says nothing of it")

	w3c := map[string]string{"trace_id": hexTrace, "span_id": hexSpan, "is_sampled": "false", "traceparent": "00-1" + hexTrace[1:] + "-" + hexSpan + "-01", "tracestate": "a=b"}
	back = trace.SpanContextFromContext(FromHeaders(t.Context(), w3c))
	require.Equal(t, "1"+hexTrace[1:], back.TraceID().String(), "W3C wins")
	require.Equal(t, "a=b", back.TraceState().String())
	w3c["traceparent"] = "broken"
	require.Equal(t, hexTrace, trace.SpanContextFromContext(FromHeaders(t.Context(), w3c)).TraceID().String())

	for _, bad := range []map[string]string{
		nil, {"trace_id": hexTrace}, {"span_id": hexSpan}, {"trace_id": "x", "span_id": hexSpan}, {"trace_id": hexTrace, "span_id": strings.Repeat("0", 16)},
	} {
		require.False(t, trace.SpanContextFromContext(FromHeaders(t.Context(), bad)).IsValid(), bad)
	}
}

func TestUnsampledGoesAlong(t *testing.T) {
	t.Parallel()
	ctx := FromHeaders(context.Background(), map[string]string{"trace_id": hexTrace, "span_id": hexSpan, "is_sampled": "false"})
	carrier := propagation.MapCarrier{}
	Propagator().Inject(ctx, carrier)
	require.Equal(t, "false", carrier["is_sampled"])
	require.Equal(t, "00-"+hexTrace+"-"+hexSpan+"-00", carrier["traceparent"])
	require.ElementsMatch(t, []string{"trace_id", "span_id", "is_sampled", "traceparent", "tracestate", "baggage"}, Propagator().Fields())
}
