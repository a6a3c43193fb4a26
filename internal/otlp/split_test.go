package otlp_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/otlp"
)

// flat is one span with all that surrounds it, for comparing contents.
func flat(req *collectorpb.ExportTraceServiceRequest) []*tracepb.ResourceSpans {
	var out []*tracepb.ResourceSpans
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				s := &tracepb.ScopeSpans{Scope: ss.Scope, SchemaUrl: ss.SchemaUrl, Spans: []*tracepb.Span{span}}
				s.ProtoReflect().SetUnknown(ss.ProtoReflect().GetUnknown())
				r := &tracepb.ResourceSpans{Resource: rs.Resource, SchemaUrl: rs.SchemaUrl, ScopeSpans: []*tracepb.ScopeSpans{s}}
				r.ProtoReflect().SetUnknown(rs.ProtoReflect().GetUnknown())
				out = append(out, r)
			}
		}
	}
	return out
}

// requirePieces splits b and wants the spans of want, in order, each with its
// resource and scope, in pieces within the limit. It returns the pieces.
func requirePieces(tb testing.TB, b []byte, lim otlp.Limits, want *collectorpb.ExportTraceServiceRequest) []otlp.Piece {
	tb.Helper()
	expect := flat(want)
	var pieces []otlp.Piece
	total := 0
	rep, err := otlp.Scan(b, lim)
	require.NoError(tb, err)
	for p := range otlp.Split(b, lim, &rep) {
		pieces = append(pieces, p)
		total += len(p.Value)
		if lim.MaxMessage > 0 && len(b) > lim.MaxMessage {
			require.LessOrEqual(tb, len(p.Value), lim.MaxMessage)
		}
		got := flat(decode(tb, p.Value))
		require.Len(tb, got, p.Spans)
		require.LessOrEqual(tb, p.Spans, len(expect))
		for i := range got {
			require.True(tb, proto.Equal(expect[i], got[i]), "want %v\ngot  %v", expect[i], got[i])
		}
		expect = expect[p.Spans:]
	}
	require.Empty(tb, expect, "spans lost")
	require.LessOrEqual(tb, total, rep.Growth(len(b)))
	return pieces
}

func TestSplitCuts(t *testing.T) {
	t.Parallel()
	req := sample(400)
	b := encode(t, req)
	for _, size := range []int{1 << 30, len(b), len(b) - 1, 64 << 10, 10_000, 3_000} {
		lim := otlp.Limits{MaxMessage: size}
		rep, err := otlp.Scan(b, lim)
		require.NoError(t, err)
		require.Zero(t, rep.Rejected, rep.Message())
		pieces := requirePieces(t, b, lim, req)
		if size >= len(b) {
			require.Len(t, pieces, 1)
			require.Len(t, pieces[0].Value, len(b))
			continue
		}
		require.Greater(t, len(pieces), 1)
		for _, p := range pieces[:len(pieces)-1] {
			require.Greater(t, len(p.Value), size-1200, "pieces are filled")
		}
	}
}

func TestSplitRefusesWhatFitsNoMessage(t *testing.T) {
	t.Parallel()
	req := sample(12)
	req.ResourceSpans[0].ScopeSpans[0].Spans[1].Name = strings.Repeat("x", 9_000)
	req.ResourceSpans[3].SchemaUrl = strings.Repeat("y", 2_500)
	b, lim := encode(t, req), otlp.Limits{MaxMessage: 8_000}
	rep, err := otlp.Scan(b, lim)
	require.NoError(t, err)
	require.Equal(t, 4, rep.Rejected)
	require.Equal(t, 1, rep.ByReason[otlp.SpanTooLarge])
	require.Equal(t, 3, rep.ByReason[otlp.ResourceTooLarge])
	require.Contains(t, rep.Message(), "resource_spans[0].scope_spans[0].spans[1]: is 9")
	require.Contains(t, rep.Message(), "resource_spans[3]: takes 2877 bytes")
	spans := req.ResourceSpans[0].ScopeSpans[0].Spans
	req.ResourceSpans[0].ScopeSpans[0].Spans = append(spans[:1:1], spans[2])
	req.ResourceSpans = req.ResourceSpans[:3]
	requirePieces(t, b, lim, req)
}

func TestSplitStopsWhenAsked(t *testing.T) {
	t.Parallel()
	n := 0
	b, lim := encode(t, sample(400)), otlp.Limits{MaxMessage: 5_000}
	rep, err := otlp.Scan(b, lim)
	require.NoError(t, err)
	for range otlp.Split(b, lim, &rep) {
		n++
		break
	}
	require.Equal(t, 1, n)
}

func TestSplitAllBad(t *testing.T) {
	t.Parallel()
	req := sample(4)
	for _, rs := range req.ResourceSpans {
		rs.ScopeSpans[0].Spans[0].TraceId = nil
	}
	for p := range otlp.Split(encode(t, req), otlp.Limits{}, &otlp.Report{}) {
		t.Fatalf("unexpected piece of %d spans", p.Spans)
	}
}

// FuzzScan holds Scan against the generated decoder: what Scan accepts whole
// decodes, to as many spans; what does not decode is refused or is in a span
// that is; and Split keeps exactly the good spans.
func FuzzScan(f *testing.F) {
	f.Add(encode(f, sample(4)), 0)
	f.Add(encode(f, rich()), 2_000)
	f.Add([]byte("\x0a\x04\x12\x02\x12\x00"), 100)
	f.Add([]byte("\x0a\x02\x0b\x0c"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		lim := otlp.Limits{MaxMessage: size}
		rep, err := otlp.Scan(b, lim)
		req := &collectorpb.ExportTraceServiceRequest{}
		decodeErr := proto.Unmarshal(b, req)
		if err != nil {
			require.Error(t, decodeErr, "Scan: %v", err)
			return
		}
		require.LessOrEqual(t, len(rep.Violations), otlp.MaxViolations)
		if rep.Intact() {
			require.NoError(t, decodeErr)
			require.Len(t, flat(req), rep.Spans)
		}
		good := 0
		total := 0
		for p := range otlp.Split(b, lim, &rep) {
			again, err := otlp.Scan(p.Value, otlp.Limits{})
			require.NoError(t, err)
			require.True(t, again.Intact(), "what is mended is whole")
			total += len(p.Value)
			require.Equal(t, p.Spans, again.Spans)
			require.Len(t, flat(decode(t, p.Value)), p.Spans)
			if size > 0 {
				require.LessOrEqual(t, len(p.Value), max(size, len(b)))
			}
			if size > 0 && (len(b) > size || rep.Mended > 0) {
				require.LessOrEqual(t, len(p.Value), size)
			}
			good += p.Spans
		}
		require.LessOrEqual(t, total, rep.Growth(len(b)))
		require.Equal(t, rep.Accepted(), good)
	})
}

// FuzzSplit cuts readable requests at any size and wants the same content.
func FuzzSplit(f *testing.F) {
	f.Add(encode(f, sample(20)), uint16(3_000), uint8(3))
	f.Add(encode(f, rich()), uint16(5_000), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, size uint16, spoil uint8) {
		req := &collectorpb.ExportTraceServiceRequest{}
		if proto.Unmarshal(b, req) != nil {
			return
		}
		lim := otlp.Limits{MaxMessage: int(size)}
		if rep, err := otlp.Scan(b, lim); err != nil || !rep.Intact() {
			return
		}
		n := 0
		spoilt, want := proto.CloneOf(req), proto.CloneOf(req)
		for i, rs := range spoilt.ResourceSpans {
			for j, ss := range rs.ScopeSpans {
				keep := want.ResourceSpans[i].ScopeSpans[j]
				keep.Spans = nil
				for _, span := range ss.Spans {
					if n++; spoil > 0 && n%int(spoil) == 0 {
						span.TraceId = []byte{1}
						continue
					}
					keep.Spans = append(keep.Spans, span)
				}
			}
		}
		requirePieces(t, encode(t, spoilt), otlp.Limits{MaxMessage: int(size) * 2}, want)
	})
}
