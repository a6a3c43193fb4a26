package otlp_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
)

func TestScanGood(t *testing.T) {
	t.Parallel()
	for name, req := range map[string]*collectorpb.ExportTraceServiceRequest{"sample": sample(100), "rich": rich()} {
		t.Run(name, func(t *testing.T) {
			rep, err := otlp.Scan(encode(t, req), otlp.Limits{})
			require.NoError(t, err)
			require.Zero(t, rep.Rejected, rep.Message())
			require.Empty(t, rep.Message())
			first := req.ResourceSpans[0].ScopeSpans[0].Spans[0]
			require.Equal(t, first.TraceId, rep.TraceID[:])
			require.Equal(t, first.SpanId, rep.SpanID[:])
			require.Equal(t, rep.Spans, rep.Accepted())
		})
	}
	rep, err := otlp.Scan(encode(t, sample(100)), otlp.Limits{})
	require.NoError(t, err)
	require.Equal(t, 100, rep.Spans)
}

func TestScanEmpty(t *testing.T) {
	t.Parallel()
	rep, err := otlp.Scan(nil, otlp.Limits{})
	require.NoError(t, err)
	require.Equal(t, otlp.Report{}, rep)
}

// badSpans are the rules for one span: what breaks it, and what is said.
var badSpans = []struct {
	name   string
	mutate func(*tracepb.Span)
	reason string
	says   string // after resource_spans[1].scope_spans[0].spans[1].
}{
	{"trace id short", func(s *tracepb.Span) { s.TraceId = s.TraceId[:8] }, "trace_id_length", "trace_id: must be 16 bytes, is 8"},
	{"trace id absent", func(s *tracepb.Span) { s.TraceId = nil }, "trace_id_length", "trace_id: must be 16 bytes, is 0"},
	{"trace id zero", func(s *tracepb.Span) { s.TraceId = make([]byte, 16) }, "trace_id_zero", "trace_id: must not be all zero"},
	{"span id long", func(s *tracepb.Span) { s.SpanId = make([]byte, 9) }, "span_id_length", "span_id: must be 8 bytes, is 9"},
	{"span id zero", func(s *tracepb.Span) { s.SpanId = make([]byte, 8) }, "span_id_zero", "span_id: must not be all zero"},
	{"parent short", func(s *tracepb.Span) { s.ParentSpanId = []byte{1} }, "parent_span_id_length", "parent_span_id: must be empty or 8 bytes, is 1"},
}

func TestScanBadSpan(t *testing.T) {
	t.Parallel()
	for _, tc := range badSpans {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			req := sample(12)
			tc.mutate(req.ResourceSpans[1].ScopeSpans[0].Spans[1])
			b := encode(t, req)
			rep, err := otlp.Scan(b, otlp.Limits{})
			require.NoError(t, err)
			requireOneBad(t, rep, tc.reason, "resource_spans[1].scope_spans[0].spans[1]."+tc.says)

			spans := req.ResourceSpans[1].ScopeSpans[0].Spans
			req.ResourceSpans[1].ScopeSpans[0].Spans = append(spans[:1:1], spans[2:]...)
			requirePieces(t, b, otlp.Limits{}, req)
		})
	}
}

func requireOneBad(t *testing.T, rep otlp.Report, reason, says string) {
	t.Helper()
	require.Equal(t, 12, rep.Spans)
	require.Equal(t, 1, rep.Rejected)
	require.Equal(t, 11, rep.Accepted())
	require.Len(t, rep.Violations, 1)
	v := rep.Violations[0]
	require.Equal(t, reason, v.Reason.String())
	require.Equal(t, 1, rep.ByReason[v.Reason])
	require.Contains(t, v.String(), says)
	require.Contains(t, rep.Message(), "1 of 12 spans rejected: "+v.String())
}

func TestScanToleratesWhatOTLPAllows(t *testing.T) {
	t.Parallel()
	req := sample(12)
	spans := slices.Concat(req.ResourceSpans[0].ScopeSpans[0].Spans, req.ResourceSpans[1].ScopeSpans[0].Spans)
	spans[0].ParentSpanId = make([]byte, 8) // means none
	spans[1].EndTimeUnixNano = spans[1].StartTimeUnixNano
	spans[2].Links = []*tracepb.Span_Link{{TraceState: "a=b"}, {Attributes: []*commonpb.KeyValue{str("a", "b")}}}
	spans[2].Kind = 77
	spans[3].EndTimeUnixNano = spans[3].StartTimeUnixNano - 1 // times are kept as they are
	spans[4].StartTimeUnixNano, spans[4].EndTimeUnixNano = 0, 1<<64-1
	b := protowire.AppendTag(encode(t, req), 99, protowire.StartGroupType) // unknown field
	b = protowire.AppendTag(b, 99, protowire.EndGroupType)
	rep, err := otlp.Scan(b, otlp.Limits{})
	require.NoError(t, err)
	require.Zero(t, rep.Rejected, rep.Message())
	require.True(t, rep.Intact())
	require.Equal(t, 12, rep.Spans)
}

func TestScanDescribesFewAndCountsAll(t *testing.T) {
	t.Parallel()
	req := sample(100)
	for _, rs := range req.ResourceSpans {
		for _, s := range rs.ScopeSpans[0].Spans {
			s.SpanId = nil
		}
	}
	rep, err := otlp.Scan(encode(t, req), otlp.Limits{})
	require.NoError(t, err)
	require.Equal(t, 100, rep.Rejected)
	require.Equal(t, 100, rep.ByReason[otlp.SpanIDLength])
	require.Len(t, rep.Violations, otlp.MaxViolations)
	require.Contains(t, rep.Message(), "and 92 more")
}

func TestScanTruncated(t *testing.T) {
	t.Parallel()
	for name, req := range map[string]*collectorpb.ExportTraceServiceRequest{"sample": sample(4), "rich": rich()} {
		b := encode(t, req)
		whole := map[int]bool{0: true} // cuts between resource spans leave a request
		for n, size := 0, 0; n < len(req.ResourceSpans); n++ {
			one := encode(t, &collectorpb.ExportTraceServiceRequest{ResourceSpans: req.ResourceSpans[n : n+1]})
			size += len(one)
			whole[size] = true
		}
		for n := range b {
			_, err := otlp.Scan(b[:n], otlp.Limits{})
			if whole[n] {
				require.NoError(t, err, "%s cut at %d", name, n)
				continue
			}
			require.Error(t, err, "%s cut at %d", name, n)
			require.ErrorIs(t, err, fault.Invalid)
		}
	}
}

func TestScanNamesWhereItIsMalformed(t *testing.T) {
	t.Parallel()
	req := sample(12)
	spans := req.ResourceSpans[2].ScopeSpans[0].Spans
	spans[1].Attributes[7] = str("@@@@", "v")
	b := []byte(strings.Replace(string(encode(t, req)), "\x0a\x04@@@@", "\x0a\x7f@@@@", 1))
	require.Error(t, proto.Unmarshal(b, &collectorpb.ExportTraceServiceRequest{}))
	_, err := otlp.Scan(b, otlp.Limits{})
	wire, ok := errors.AsType[*otlp.MalformedError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "resource_spans[2].scope_spans[0].spans[1].attributes[7].key", wire.Field)
	require.EqualError(t, err, wire.Field+": is truncated or not valid protobuf")
}

func TestScanAllocatesNothing(t *testing.T) {
	for _, spans := range []int{4, 100, 1000} {
		b := encode(t, sample(spans))
		allocs := testing.AllocsPerRun(20, func() {
			if rep, err := otlp.Scan(b, otlp.Limits{}); err != nil || rep.Rejected != 0 {
				t.Fatal(rep, err)
			}
		})
		require.Zero(t, allocs, "%d spans", spans)
	}
	b := encode(t, rich())
	require.Zero(t, testing.AllocsPerRun(20, func() { _, _ = otlp.Scan(b, otlp.Limits{}) }))
}

func BenchmarkScan(b *testing.B) {
	data := encode(b, sample(100))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if rep, err := otlp.Scan(data, otlp.Limits{}); err != nil || rep.Spans != 100 {
			b.Fatal(rep, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/span")
}
