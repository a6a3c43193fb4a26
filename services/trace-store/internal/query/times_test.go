package query_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// TestAbsurdTimesAreKeptAndMarked: a span keeps the times it came with, however
// absurd, says what is wrong with them, and is found by that and near the time
// it was accepted. None makes a partition of its own, nor a negative duration.
func TestAbsurdTimesAreKeptAndMarked(t *testing.T) {
	f := setup(t, query.Limits{})
	const accepted = uint64(1_795_000_000_000_000_000) // of fixture.message
	year := uint64(365 * 24 * time.Hour)
	cases := []struct {
		start, end, duration uint64
		mark                 string
	}{
		{accepted, accepted + 5, 5, ""},
		{accepted, accepted, 0, ""},
		{accepted - 8*year, accepted, 8 * year, ""},
		{0, accepted, 0, "start_missing"},
		{0, 0, 0, "start_missing"},
		{accepted, 0, 0, "end_missing"},
		{accepted, accepted - 5, 0, "end_before_start"},
		{7, 12, 5, "start_out_of_range"}, // a device whose clock began in 1970
		{accepted + year, accepted + year + 9, 9, "start_out_of_range"},
		{1<<64 - 9, 1<<64 - 1, 8, "start_out_of_range"},
		{1 << 63, 3, 0, "start_out_of_range"},
		{accepted, 1<<64 - 1, 0, "end_out_of_range"},
	}
	data := &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource:   &resourcev1.Resource{Attributes: []*commonv1.KeyValue{{Key: "service.name", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: "clock"}}}}},
		ScopeSpans: []*tracev1.ScopeSpans{{}},
	}}}
	for i, c := range cases {
		data.ResourceSpans[0].ScopeSpans[0].Spans = append(data.ResourceSpans[0].ScopeSpans[0].Spans, &tracev1.Span{
			TraceId: fmt.Appendf(nil, "trace-%010d", i), SpanId: []byte("01234567"), Name: "s", StartTimeUnixNano: c.start, EndTimeUnixNano: c.end,
		})
	}
	for _, e := range f.write(f.message("acme", data)) {
		require.Empty(t, e.Rejected)
	}
	for i, c := range cases {
		want := proto.CloneOf(data.ResourceSpans[0].ScopeSpans[0].Spans[i])
		got := f.trace("acme", want.TraceId).ResourceSpans[0].ScopeSpans[0].Spans[0]
		require.Equal(t, c.mark, attribute(got.Attributes, otlp.MarkTime), "%v", c)
		got.Attributes = nil
		require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)

		var start int64
		var duration uint64
		require.NoError(t, f.db.QueryRow(t.Context(), "SELECT toUnixTimestamp64Nano(Timestamp), Duration FROM spans WHERE TraceId = toFixedString('"+string(want.TraceId)+"', 16)").Scan(&start, &duration))
		require.Equal(t, c.duration, duration, "%v", c)
		if c.mark == "" || c.start == accepted {
			require.Equal(t, c.start, uint64(start))
		} else {
			require.InDelta(t, accepted, start, 1000, "%v", c)
		}
		if c.mark == "" {
			continue
		}
		found, _, err := f.reader.Summaries(t.Context(), "acme", query.Search{
			Service: "clock", Attributes: map[string]string{otlp.MarkTime: c.mark},
			Range: query.Range{Start: time.Unix(0, int64(accepted)).Add(-time.Minute), End: time.Unix(0, int64(accepted)).Add(time.Minute)},
		})
		require.NoError(t, err)
		var ids []query.TraceID
		for _, s := range found {
			ids = append(ids, s.TraceID)
		}
		require.Contains(t, ids, query.TraceID(want.TraceId), "%v", c)
	}
	var partitions uint64
	require.NoError(t, f.db.QueryRow(t.Context(), "SELECT uniqExact(partition) FROM system.parts WHERE database = currentDatabase() AND table IN ('spans', 'span_index')").Scan(&partitions))
	require.EqualValues(t, 1, partitions)
}

// TestMarkedOnce: a span with an absurd time that was exported as OTLP/JSON and
// is sent again, also more than once, has its mark once, and is the same span.
func TestMarkedOnce(t *testing.T) {
	f := setup(t, query.Limits{})
	sent := newSpan("01234567", "", "device", asServer, 0)
	sent.StartTimeUnixNano, sent.EndTimeUnixNano = 7, 12
	sent.Attributes = []*commonv1.KeyValue{text("a", "1"), text("z", "2")}
	f.write(f.message("acme", spansOf("clock", sent)))
	first := f.trace("acme", sent.TraceId)
	for range 3 {
		exported, err := otlp.ToJSON(tracetest.Marshal(f.trace("acme", sent.TraceId)))
		require.NoError(t, err)
		posted, err := otlp.FromJSON(exported)
		require.NoError(t, err)
		again := &tracev1.TracesData{}
		require.NoError(t, proto.Unmarshal(posted, again))
		f.write(f.message("acme", again))
		got := f.trace("acme", sent.TraceId)
		require.True(t, proto.Equal(first, got), "want %v\ngot  %v", first, got)
	}
	require.Len(t, first.ResourceSpans[0].ScopeSpans[0].Spans[0].Attributes, 3)

	// One that was stored with two of them is mended when it comes again, and
	// what is wrong now is what is said.
	twice := first.ResourceSpans[0].ScopeSpans[0].Spans[0]
	twice.Attributes = append([]*commonv1.KeyValue{text(otlp.MarkTime, "end_missing")}, twice.Attributes...)
	f.write(f.message("acme", spansOf("clock", twice)))
	got := f.trace("acme", sent.TraceId).ResourceSpans[0].ScopeSpans[0].Spans[0]
	require.Len(t, got.Attributes, 3)
	require.Equal(t, "start_out_of_range", attribute(got.Attributes, otlp.MarkTime))
	require.Equal(t, "1", attribute(got.Attributes, "a"))
	require.Equal(t, "2", attribute(got.Attributes, "z"))
}
