package otlp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

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
			rep, err := otlp.Scan(encode(t, req), now, otlp.Limits{})
			require.NoError(t, err)
			require.Zero(t, rep.Rejected, rep.Message())
			require.Empty(t, rep.Message())
			first := req.ResourceSpans[0].ScopeSpans[0].Spans[0]
			require.Equal(t, first.TraceId, rep.TraceID[:])
			require.Equal(t, first.SpanId, rep.SpanID[:])
			require.Equal(t, rep.Spans, rep.Accepted())
		})
	}
	rep, err := otlp.Scan(encode(t, sample(100)), now, otlp.Limits{})
	require.NoError(t, err)
	require.Equal(t, 100, rep.Spans)
}

func TestScanEmpty(t *testing.T) {
	t.Parallel()
	rep, err := otlp.Scan(nil, now, otlp.Limits{})
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
	{"no start", func(s *tracepb.Span) { s.StartTimeUnixNano = 0 }, "start_time_missing", "start_time_unix_nano: must be set"},
	{"end before start", func(s *tracepb.Span) { s.EndTimeUnixNano = s.StartTimeUnixNano - 1 }, "end_before_start", "end_time_unix_nano: must not be before start_time_unix_nano"},
	{"no end", func(s *tracepb.Span) { s.EndTimeUnixNano = 0 }, "end_before_start", "end_time_unix_nano: must not be before"},
	{"ten years ago", func(s *tracepb.Span) { s.StartTimeUnixNano -= uint64(10 * 365 * 24 * time.Hour) }, "time_out_of_range", "start_time_unix_nano: must not be more than 78840h0m0s in the past"},
	{"ten years ahead", func(s *tracepb.Span) {
		s.StartTimeUnixNano += uint64(10 * 365 * 24 * time.Hour)
		s.EndTimeUnixNano = s.StartTimeUnixNano
	}, "time_out_of_range", "start_time_unix_nano: must not be more than 24h0m0s in the future"},
	{"ends in two days", func(s *tracepb.Span) { s.EndTimeUnixNano += uint64(48 * time.Hour) }, "time_out_of_range", "end_time_unix_nano: must not be more than 24h0m0s in the future"},
	{"end beyond clocks", func(s *tracepb.Span) { s.EndTimeUnixNano = 1<<64 - 1 }, "time_out_of_range", "end_time_unix_nano: must not"},
	{"100,000 attributes", func(s *tracepb.Span) {
		for range 100_000 {
			s.Attributes = append(s.Attributes, str("k", "v"))
		}
	}, "too_many_attributes", "attributes: more than 10000 attributes"},
	{"10 MB attribute", func(s *tracepb.Span) { s.Attributes = append(s.Attributes, str("big", strings.Repeat("x", 10<<20))) },
		"attribute_too_large", "attributes[10]: is 10485775 bytes, the limit is 1048576"},
	{"link trace id", func(s *tracepb.Span) { s.Links = []*tracepb.Span_Link{{TraceId: s.TraceId[:3], SpanId: s.SpanId}} },
		"link_id_invalid", "links[0].trace_id: must be 16 bytes, is 3"},
	{"link span id", func(s *tracepb.Span) {
		good := &tracepb.Span_Link{TraceId: s.TraceId, SpanId: s.SpanId}
		s.Links = []*tracepb.Span_Link{good, {TraceId: s.TraceId, SpanId: s.SpanId[:7]}}
	}, "link_id_invalid", "links[1].span_id: must be 8 bytes, is 7"},
	{"link zero", func(s *tracepb.Span) { s.Links = []*tracepb.Span_Link{{TraceId: make([]byte, 16), SpanId: s.SpanId}} },
		"link_id_invalid", "links[0].trace_id: must not be empty or all zero"},
	{"deep", func(s *tracepb.Span) {
		v := array()
		for range 40 {
			v = array(v)
		}
		s.Attributes = []*commonpb.KeyValue{{Key: "deep", Value: v}}
	}, "nested_too_deep", "attributes[0].value.array_value.values[0].array_value"},
	{"event attributes", func(s *tracepb.Span) {
		e := &tracepb.Span_Event{Name: "e"}
		for range 10_001 {
			e.Attributes = append(e.Attributes, num("k", 1))
		}
		s.Events = []*tracepb.Span_Event{{}, e}
	}, "too_many_attributes", "events[1].attributes: more than 10000 attributes"},
}

func TestScanBadSpan(t *testing.T) {
	t.Parallel()
	for _, tc := range badSpans {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			req := sample(12)
			tc.mutate(req.ResourceSpans[1].ScopeSpans[0].Spans[1])
			b := encode(t, req)
			rep, err := otlp.Scan(b, now, otlp.Limits{})
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

// TestScanInvalidUTF8 breaks every string of a request in turn. Strings are
// found by their marker on the wire, as the generated code refuses to write
// what is not UTF-8.
func TestScanInvalidUTF8(t *testing.T) {
	t.Parallel()
	const mark = "@@@@"
	for field, put := range map[string]func(*tracepb.Span){
		"name":                       func(s *tracepb.Span) { s.Name = mark },
		"trace_state":                func(s *tracepb.Span) { s.TraceState = mark },
		"status.message":             func(s *tracepb.Span) { s.Status.Message = mark },
		"attributes[10].key":         func(s *tracepb.Span) { s.Attributes = append(s.Attributes, str(mark, "v")) },
		"attributes[0].value":        func(s *tracepb.Span) { s.Attributes[0] = str("key", mark) },
		"attributes[3].value.string": func(s *tracepb.Span) { s.Attributes[3] = str("key", mark+strings.Repeat("x", 300)) },
		"attributes[4].key":          func(s *tracepb.Span) { s.Attributes[4] = num(mark, 4) },
		"attributes[5].value.array_value.values[1].string_value": func(s *tracepb.Span) {
			s.Attributes[5].Value = array(num("", 1).Value, str("", mark).Value)
		},
		"events[0].name": func(s *tracepb.Span) { s.Events = []*tracepb.Span_Event{{Name: mark}} },
		"events[0].attributes[0].key": func(s *tracepb.Span) {
			s.Events = []*tracepb.Span_Event{{Attributes: []*commonpb.KeyValue{str(mark, "")}}}
		},
		"links[0].trace_state": func(s *tracepb.Span) {
			s.Links = []*tracepb.Span_Link{{TraceId: s.TraceId, SpanId: s.SpanId, TraceState: mark}}
		},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			req := sample(12)
			put(req.ResourceSpans[1].ScopeSpans[0].Spans[1])
			b := []byte(strings.Replace(string(encode(t, req)), mark, "@\xff@@", 1))
			rep, err := otlp.Scan(b, now, otlp.Limits{})
			require.NoError(t, err)
			requireOneBad(t, rep, "invalid_utf8", "resource_spans[1].scope_spans[0].spans[1]."+field)
			require.Contains(t, rep.Message(), "must be valid UTF-8")
		})
	}
}

func TestScanBadResourceAndScope(t *testing.T) {
	t.Parallel()
	const mark = "@@@@"
	for field, put := range map[string]func(*tracepb.ResourceSpans){
		"resource.attributes[0].key": func(r *tracepb.ResourceSpans) { r.Resource.Attributes[0] = str(mark, "v") },
		"schema_url":                 func(r *tracepb.ResourceSpans) { r.SchemaUrl = mark },
		"resource.entity_refs[0].id_keys[1]": func(r *tracepb.ResourceSpans) {
			r.Resource.EntityRefs = []*commonpb.EntityRef{{IdKeys: []string{"a", mark}}}
		},
		"scope_spans[0].scope.name": func(r *tracepb.ResourceSpans) { r.ScopeSpans[0].Scope.Name = mark },
		"scope_spans[0].schema_url": func(r *tracepb.ResourceSpans) { r.ScopeSpans[0].SchemaUrl = mark },
		"scope_spans[0].scope.attributes[0].value": func(r *tracepb.ResourceSpans) {
			r.ScopeSpans[0].Scope.Attributes = []*commonpb.KeyValue{str("k", mark)}
		},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			req := sample(12)
			put(req.ResourceSpans[1])
			b := []byte(strings.Replace(string(encode(t, req)), mark, "@\xff@@", 1))
			rep, err := otlp.Scan(b, now, otlp.Limits{})
			require.NoError(t, err)
			require.Equal(t, 3, rep.Rejected)
			require.Equal(t, 3, rep.ByReason[otlp.InvalidUTF8])
			require.Len(t, rep.Violations, 1)
			require.Contains(t, rep.Message(), "3 of 12 spans rejected: resource_spans[1]."+field)
			req.ResourceSpans = append(req.ResourceSpans[:1:1], req.ResourceSpans[2:]...)
			requirePieces(t, b, otlp.Limits{}, req)
		})
	}
}

func TestScanToleratesWhatOTLPAllows(t *testing.T) {
	t.Parallel()
	req := sample(12)
	spans := req.ResourceSpans[0].ScopeSpans[0].Spans
	spans[0].ParentSpanId = make([]byte, 8) // means none
	spans[1].EndTimeUnixNano = spans[1].StartTimeUnixNano
	spans[2].Links = []*tracepb.Span_Link{{TraceState: "a=b"}, {Attributes: []*commonpb.KeyValue{str("a", "b")}}}
	spans[2].Kind = 77
	b := protowire.AppendTag(encode(t, req), 99, protowire.StartGroupType) // unknown field
	b = protowire.AppendTag(b, 99, protowire.EndGroupType)
	rep, err := otlp.Scan(b, now, otlp.Limits{})
	require.NoError(t, err)
	require.Zero(t, rep.Rejected, rep.Message())
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
	rep, err := otlp.Scan(encode(t, req), now, otlp.Limits{})
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
			_, err := otlp.Scan(b[:n], now, otlp.Limits{})
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
	_, err := otlp.Scan(b, now, otlp.Limits{})
	wire, ok := errors.AsType[*otlp.MalformedError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "resource_spans[2].scope_spans[0].spans[1].attributes[7].key", wire.Field)
	require.EqualError(t, err, wire.Field+": is truncated or not valid protobuf")
}

func TestScanAllocatesNothing(t *testing.T) {
	for _, spans := range []int{4, 100, 1000} {
		b := encode(t, sample(spans))
		allocs := testing.AllocsPerRun(20, func() {
			if rep, err := otlp.Scan(b, now, otlp.Limits{}); err != nil || rep.Rejected != 0 {
				t.Fatal(rep, err)
			}
		})
		require.Zero(t, allocs, "%d spans", spans)
	}
	b := encode(t, rich())
	require.Zero(t, testing.AllocsPerRun(20, func() { _, _ = otlp.Scan(b, now, otlp.Limits{}) }))
}

func BenchmarkScan(b *testing.B) {
	data := encode(b, sample(100))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if rep, err := otlp.Scan(data, now, otlp.Limits{}); err != nil || rep.Spans != 100 {
			b.Fatal(rep, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/span")
}
