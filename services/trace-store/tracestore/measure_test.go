package tracestore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	otlpv1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// TestMeasureServices: a caller gets the numbers of its own spans alone.
func TestMeasureServices(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	now := time.Now().Truncate(time.Second)
	at := uint64(now.Add(-90 * time.Second).UnixNano())
	data := &otlpv1.TracesData{ResourceSpans: []*otlpv1.ResourceSpans{{
		Resource: &resourcev1.Resource{Attributes: []*commonv1.KeyValue{{Key: "service.name", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: "shop"}}}}},
		ScopeSpans: []*otlpv1.ScopeSpans{{Spans: []*otlpv1.Span{
			{TraceId: []byte("a trace, 16 byte"), SpanId: []byte("server 1"), Name: "buy", Kind: otlpv1.Span_SPAN_KIND_SERVER, StartTimeUnixNano: at, EndTimeUnixNano: at + 1e6},
			{TraceId: []byte("a trace, 16 byte"), SpanId: []byte("server 2"), Name: "buy", Kind: otlpv1.Span_SPAN_KIND_SERVER, StartTimeUnixNano: at, EndTimeUnixNano: at + 3e6,
				Status: &otlpv1.Status{Code: otlpv1.Status_STATUS_CODE_ERROR}},
			{TraceId: []byte("a trace, 16 byte"), SpanId: []byte("client 1"), Name: "pay", Kind: otlpv1.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: at, EndTimeUnixNano: at + 9e6},
		}}},
	}}}
	m.publish(m.message("acme", data), m.message("acme", data))
	r.written("acme", 6)
	req := &tracev1.MeasureServicesRequest{
		Services: []string{"shop"}, SpanKinds: []string{"server"}, ByOperation: true,
		StartTime: timestamppb.New(now.Add(-2 * time.Minute)), EndTime: timestamppb.New(now),
		Step: durationpb.New(time.Minute), Window: durationpb.New(time.Minute), Quantile: proto.Float64(0.5),
	}
	got, err := r.traces().MeasureServices(as("acme"), req)
	require.NoError(t, err)
	require.Len(t, got.GetSeries(), 1)
	s := got.GetSeries()[0]
	require.Equal(t, "shop", s.GetService())
	require.Equal(t, "buy", s.GetOperation())
	require.Equal(t, []uint64{0, 2, 0}, s.GetCalls())
	require.Equal(t, []uint64{0, 1, 0}, s.GetErrors())
	require.InDelta(t, 2e6, s.GetDurations()[1], 0)

	foreign, err := r.traces().MeasureServices(as("other"), req)
	require.NoError(t, err)
	require.Empty(t, foreign.GetSeries())

	for _, spoil := range []func(*tracev1.MeasureServicesRequest){
		func(r *tracev1.MeasureServicesRequest) { r.StartTime = nil },
		func(r *tracev1.MeasureServicesRequest) { r.EndTime = nil },
		func(r *tracev1.MeasureServicesRequest) { r.EndTime = &timestamppb.Timestamp{Seconds: 1 << 60} },
		func(r *tracev1.MeasureServicesRequest) { r.Step = nil },
		func(r *tracev1.MeasureServicesRequest) { r.Window = durationpb.New(-1) },
		func(r *tracev1.MeasureServicesRequest) { r.SpanKinds = []string{"SPAN_KIND_SERVER"} },
	} {
		bad := proto.CloneOf(req)
		spoil(bad)
		_, err := r.traces().MeasureServices(as("acme"), bad)
		require.ErrorIs(t, err, fault.Invalid)
	}
}
