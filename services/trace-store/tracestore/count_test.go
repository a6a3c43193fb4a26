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

// TestCountSpansAndAttributes: a caller gets the numbers of its own spans alone, as the
// API has them.
func TestCountSpansAndAttributes(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	now := time.Now().Truncate(time.Second)
	at := uint64(now.Add(-90 * time.Second).UnixNano())
	text := func(key, v string) *commonv1.KeyValue {
		return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: v}}}
	}
	data := &otlpv1.TracesData{ResourceSpans: []*otlpv1.ResourceSpans{{
		Resource: &resourcev1.Resource{Attributes: []*commonv1.KeyValue{text("service.name", "shop"), text("zone", "a")}},
		ScopeSpans: []*otlpv1.ScopeSpans{{Spans: []*otlpv1.Span{
			{TraceId: []byte("a trace, 16 byte"), SpanId: []byte("server 1"), Name: "buy", StartTimeUnixNano: at, EndTimeUnixNano: at + 1e6, Attributes: []*commonv1.KeyValue{text("plan", "pro")}},
			{TraceId: []byte("a trace, 16 byte"), SpanId: []byte("server 2"), Name: "buy", StartTimeUnixNano: at, EndTimeUnixNano: at + 3e6,
				Attributes: []*commonv1.KeyValue{text("plan", "free")}, Status: &otlpv1.Status{Code: otlpv1.Status_STATUS_CODE_ERROR}},
			{TraceId: []byte("another 16 bytes"), SpanId: []byte("client 1"), Name: "pay", StartTimeUnixNano: at, EndTimeUnixNano: at + 9e6},
		}}},
	}}}
	m.publish(m.message("acme", data), m.message("acme", data))
	r.written("acme", 6)
	query := &tracev1.TraceQuery{Service: "shop", StartTime: timestamppb.New(now.Add(-2 * time.Minute)), EndTime: timestamppb.New(now)}
	req := &tracev1.CountSpansRequest{Query: query, TimeBuckets: 4, DurationBuckets: 4}
	got, err := r.traces().CountSpans(as("acme"), req)
	require.NoError(t, err)
	total := &tracev1.SpanTally{Spans: 3, Errors: 1, Traces: 2, ErrorTraces: 1}
	want := &tracev1.CountSpansResponse{
		Total: total, Sampled: 1, Step: durationpb.New(30 * time.Second),
		Services: []*tracev1.NamedTally{{Name: "shop", Tally: total}},
		Operations: []*tracev1.NamedTally{
			{Name: "buy", Tally: &tracev1.SpanTally{Spans: 2, Errors: 1, Traces: 1, ErrorTraces: 1}}, {Name: "pay", Tally: &tracev1.SpanTally{Spans: 1, Traces: 1}},
		},
		Rows: []*tracev1.DurationRow{
			{From: durationpb.New(time.Millisecond), To: durationpb.New(2150 * time.Microsecond), Spans: []uint32{0, 1, 0, 0}, Errors: make([]uint32, 4)},
			{From: durationpb.New(2150 * time.Microsecond), To: durationpb.New(4640 * time.Microsecond), Spans: []uint32{0, 1, 0, 0}, Errors: []uint32{0, 1, 0, 0}},
			{From: durationpb.New(4640 * time.Microsecond), To: durationpb.New(10 * time.Millisecond), Spans: []uint32{0, 1, 0, 0}, Errors: make([]uint32, 4)},
		},
	}
	require.Equal(t, want.String(), got.String())

	list := &tracev1.ListAttributesRequest{Query: query, Containing: "PLA"}
	attributes, err := r.traces().ListAttributes(as("acme"), list)
	require.NoError(t, err)
	require.Equal(t, (&tracev1.ListAttributesResponse{Spans: 3, LookedAt: 3, Attributes: []*tracev1.AttributeTally{
		{Key: "plan", Spans: 2, Values: []*tracev1.ValueTally{{Value: "free", Spans: 1}, {Value: "pro", Spans: 1}}},
	}}).String(), attributes.String())

	found, err := r.traces().SearchTraces(as("acme"), &tracev1.SearchTracesRequest{Query: query})
	require.NoError(t, err)
	shape := found.GetTraces()[0].GetServiceCounts()[0]
	require.Equal(t, time.Duration(0), shape.GetOffset().AsDuration())
	require.Positive(t, shape.GetDuration().AsDuration())

	foreign, err := r.traces().CountSpans(as("other"), req)
	require.NoError(t, err)
	require.Zero(t, foreign.GetTotal().GetSpans())
	none, err := r.traces().ListAttributes(as("other"), list)
	require.NoError(t, err)
	require.Empty(t, none.GetAttributes())

	bad := proto.CloneOf(req)
	bad.Query.EndTime = nil
	_, err = r.traces().CountSpans(as("acme"), bad)
	require.ErrorIs(t, err, fault.Invalid)
	_, err = r.traces().ListAttributes(as("acme"), &tracev1.ListAttributesRequest{Keys: 501})
	require.ErrorIs(t, err, fault.Invalid)
}
