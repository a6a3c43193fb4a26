package otlp_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/otlp"
)

const marker = "@@@@" // becomes a text that is not UTF-8, which the generated code refuses to write

func spoilt(tb testing.TB, req *collectorpb.ExportTraceServiceRequest) []byte {
	return []byte(strings.Replace(string(encode(tb, req)), marker, "@\xff@@", 1))
}

// mend passes a request through Scan and Split, wants nothing refused and one
// piece, and gives what is left.
func mend(tb testing.TB, b []byte, lim otlp.Limits, mended int, what otlp.Mend) *collectorpb.ExportTraceServiceRequest {
	tb.Helper()
	rep, err := otlp.Scan(b, lim)
	require.NoError(tb, err)
	require.Zero(tb, rep.Rejected, rep.Message())
	require.Equal(tb, mended, rep.Mended)
	require.Equal(tb, mended, rep.ByMend[what], what)
	require.False(tb, rep.Intact())
	out := &collectorpb.ExportTraceServiceRequest{}
	total := 0
	for p := range otlp.Split(b, lim, &rep) {
		total += len(p.Value)
		if lim.MaxMessage > 0 {
			require.LessOrEqual(tb, len(p.Value), lim.MaxMessage)
		}
		again, err := otlp.Scan(p.Value, otlp.Limits{})
		require.NoError(tb, err)
		require.True(tb, again.Intact())
		out.ResourceSpans = append(out.ResourceSpans, decode(tb, p.Value).ResourceSpans...)
	}
	require.LessOrEqual(tb, total, rep.Growth(len(b)))
	return out
}

// takeMark takes the mark off a list of attributes.
func takeMark(tb testing.TB, attrs []*commonpb.KeyValue) ([]*commonpb.KeyValue, string) {
	tb.Helper()
	last := len(attrs) - 1
	require.GreaterOrEqual(tb, last, 0)
	require.Equal(tb, otlp.MarkMended, attrs[last].Key)
	return attrs[:last], attrs[last].Value.GetStringValue()
}

// TestTextThatIsNotUTF8IsReplacedAndMarked breaks every string of a span in
// turn: nothing else changes, and the span says so.
func TestTextThatIsNotUTF8IsReplacedAndMarked(t *testing.T) {
	t.Parallel()
	for field, put := range map[string]func(*tracepb.Span, string){
		"name":           func(s *tracepb.Span, v string) { s.Name = v },
		"trace_state":    func(s *tracepb.Span, v string) { s.TraceState = v },
		"status.message": func(s *tracepb.Span, v string) { s.Status.Message = v },
		"attribute key":  func(s *tracepb.Span, v string) { s.Attributes = append(s.Attributes, str(v, "v")) },
		"attribute":      func(s *tracepb.Span, v string) { s.Attributes[3] = str("key", v+strings.Repeat("x", 300)) },
		"array":          func(s *tracepb.Span, v string) { s.Attributes[5].Value = array(num("", 1).Value, str("", v).Value) },
		"event name":     func(s *tracepb.Span, v string) { s.Events = []*tracepb.Span_Event{{Name: v, TimeUnixNano: 7}} },
		"event attribute": func(s *tracepb.Span, v string) {
			s.Events = []*tracepb.Span_Event{{Attributes: []*commonpb.KeyValue{str(v, "")}}}
		},
		"link trace_state": func(s *tracepb.Span, v string) {
			s.Links = []*tracepb.Span_Link{{TraceId: s.TraceId, SpanId: s.SpanId, TraceState: v}}
		},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			req, want := sample(12), sample(12)
			put(req.ResourceSpans[1].ScopeSpans[0].Spans[1], marker)
			put(want.ResourceSpans[1].ScopeSpans[0].Spans[1], "@\uFFFD@@")
			got := mend(t, spoilt(t, req), otlp.Limits{}, 1, otlp.TextReplaced)
			span := got.ResourceSpans[1].ScopeSpans[0].Spans[1]
			var mark string
			span.Attributes, mark = takeMark(t, span.Attributes)
			require.Equal(t, "text that is not UTF-8 replaced", mark)
			require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
		})
	}
}

func TestTextAroundSpansIsReplacedAndMarked(t *testing.T) {
	t.Parallel()
	req, want := sample(12), sample(12)
	req.ResourceSpans[1].Resource.Attributes[0] = str("k", marker)
	want.ResourceSpans[1].Resource.Attributes[0] = str("k", "@\uFFFD@@")
	got := mend(t, spoilt(t, req), otlp.Limits{}, 3, otlp.TextReplaced)
	r := got.ResourceSpans[1].Resource
	r.Attributes, _ = takeMark(t, r.Attributes)
	require.True(t, proto.Equal(want, got))

	req, want = sample(12), sample(12)
	req.ResourceSpans[2].ScopeSpans[0].Scope.Name = marker
	want.ResourceSpans[2].ScopeSpans[0].Scope.Name = "@\uFFFD@@"
	got = mend(t, spoilt(t, req), otlp.Limits{}, 3, otlp.TextReplaced)
	s := got.ResourceSpans[2].ScopeSpans[0].Scope
	s.Attributes, _ = takeMark(t, s.Attributes)
	require.True(t, proto.Equal(want, got))

	req, want = sample(12), sample(12)
	req.ResourceSpans[3].SchemaUrl = marker
	want.ResourceSpans[3].SchemaUrl = "@\uFFFD@@"
	require.True(t, proto.Equal(want, mend(t, spoilt(t, req), otlp.Limits{}, 3, otlp.TextReplaced)))
}

// Whatever kind of value is too large, its beginning is kept, and the span says
// that it was cut and how long it was.
func TestLargeAttributesAreCutAndSayHowLongTheyWere(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	items := make([]*commonpb.AnyValue, 0, 3000)
	pairs := make([]*commonpb.KeyValue, 0, 3000)
	for i := range 3000 {
		items = append(items, str("", strings.Repeat("ü", 500)+fmt.Sprint(i)).Value)
		pairs = append(pairs, str(fmt.Sprint("key-", i), strings.Repeat("ü", 500)))
	}
	kvlist := &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: pairs}}}
	for name, tc := range map[string]struct {
		value *commonpb.AnyValue
		check func(v *commonpb.AnyValue)
	}{
		"string": {str("", strings.Repeat("日本", size/6)).Value, func(v *commonpb.AnyValue) {
			require.True(t, strings.HasPrefix(strings.Repeat("日本", size/6), v.GetStringValue()))
			require.True(t, utf8.ValidString(v.GetStringValue()))
		}},
		"bytes": {
			&commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: make([]byte, size)}},
			func(v *commonpb.AnyValue) { require.NotEmpty(t, v.GetBytesValue()) },
		},
		"array": {array(items...), func(v *commonpb.AnyValue) {
			got := v.GetArrayValue().Values
			require.Greater(t, len(got), 1000)
			require.True(t, proto.Equal(array(items[:len(got)-1]...), array(got[:len(got)-1]...)))
		}},
		"map": {kvlist, func(v *commonpb.AnyValue) {
			got := v.GetKvlistValue().Values
			require.Greater(t, len(got), 1000)
			require.Equal(t, "key-7", got[7].Key)
			require.True(t, proto.Equal(pairs[7], got[7]))
		}},
		"map in an array": {array(kvlist), func(v *commonpb.AnyValue) {
			require.Greater(t, len(v.GetArrayValue().Values[0].GetKvlistValue().Values), 1000)
		}},
	} {
		req := sample(12)
		span := req.ResourceSpans[1].ScopeSpans[0].Spans[1]
		span.Attributes = append(span.Attributes, &commonpb.KeyValue{Key: "gen_ai.prompt", Value: tc.value}, str("after", "it"))
		was := proto.Size(span.Attributes[10])
		got := mend(t, encode(t, req), otlp.Limits{}, 1, otlp.AttributeCut).ResourceSpans[1].ScopeSpans[0].Spans[1]
		attrs, mark := takeMark(t, got.Attributes)
		kept := proto.Size(attrs[10])
		require.Equal(t, fmt.Sprintf("attribute gen_ai.prompt cut from %d to %d bytes", was, kept), mark, name)
		require.LessOrEqual(t, kept, 1<<20)
		require.Greater(t, kept, 1<<20-2000, name)
		require.Equal(t, "it", attrs[11].Value.GetStringValue())
		tc.check(attrs[10].Value)
	}
}

// A span that is larger than a message is cut until it fits, wherever in it the
// large attributes are.
func TestSpanLargerThanAMessageIsCutToFit(t *testing.T) {
	t.Parallel()
	req := sample(12)
	span := req.ResourceSpans[1].ScopeSpans[0].Spans[1]
	for i := range 100 {
		span.Attributes = append(span.Attributes, str(fmt.Sprint("prompt.", i), strings.Repeat("x", 40_000)))
	}
	span.Events = []*tracepb.Span_Event{{Name: "e", Attributes: []*commonpb.KeyValue{str("image", strings.Repeat("y", 900_000))}}}
	req.ResourceSpans[1].Resource.Attributes = append(req.ResourceSpans[1].Resource.Attributes, str("argv", strings.Repeat("z", 900_000)))
	lim := otlp.Limits{MaxMessage: 1 << 20}
	rep, err := otlp.Scan(encode(t, req), lim)
	require.NoError(t, err)
	require.Zero(t, rep.Rejected, rep.Message())
	got := mend(t, encode(t, req), lim, 3, otlp.AttributeCut)
	require.Len(t, flat(got), 12)
	for _, rs := range flat(got) {
		s := rs.ScopeSpans[0].Spans[0]
		if string(s.SpanId) != string(span.SpanId) {
			continue
		}
		attrs, mark := takeMark(t, s.Attributes)
		require.Len(t, attrs, 110)
		require.Len(t, s.Events, 1)
		require.Contains(t, mark, "attribute prompt.0 cut from 40")
		require.Contains(t, mark, "93 more attributes cut")
		_, mark = takeMark(t, rs.Resource.Attributes)
		require.Contains(t, mark, "attribute argv cut from 9")
	}
}

func TestWhatIsTooManyOrTooDeepIsLeftOutAndCounted(t *testing.T) {
	t.Parallel()
	req := sample(12)
	span := req.ResourceSpans[1].ScopeSpans[0].Spans[1]
	span.DroppedAttributesCount = 5
	for i := range 100_000 {
		span.Attributes = append(span.Attributes, num("k", int64(i)))
	}
	got := mend(t, encode(t, req), otlp.Limits{}, 1, otlp.AttributesDropped).ResourceSpans[1].ScopeSpans[0].Spans[1]
	attrs, mark := takeMark(t, got.Attributes)
	require.Equal(t, "attributes beyond 10000 dropped", mark)
	require.Len(t, attrs, 10_000)
	require.EqualValues(t, 5+100_010-10_000, got.DroppedAttributesCount)

	req = sample(12)
	span = req.ResourceSpans[1].ScopeSpans[0].Spans[1]
	deep := array()
	for range 40 {
		deep = array(deep, num("", 1).Value)
	}
	span.Attributes = append(span.Attributes, &commonpb.KeyValue{Key: "deep", Value: deep})
	span.Links = []*tracepb.Span_Link{
		{TraceId: span.TraceId[:3], SpanId: span.SpanId}, {TraceId: span.TraceId, SpanId: span.SpanId},
		{TraceId: make([]byte, 16), SpanId: span.SpanId},
	}
	b := encode(t, req)
	got = mend(t, b, otlp.Limits{}, 1, otlp.NestingCut).ResourceSpans[1].ScopeSpans[0].Spans[1]
	attrs, mark = takeMark(t, got.Attributes)
	require.Equal(t, "values nested deeper than 32 dropped; links without valid ids dropped", mark)
	require.Len(t, got.Links, 1)
	require.EqualValues(t, 2, got.DroppedLinksCount)
	v, levels := attrs[10].Value, 0
	for ; len(v.GetArrayValue().GetValues()) > 0; levels++ {
		v = v.GetArrayValue().Values[0]
	}
	require.Equal(t, otlp.MaxDepth, levels)
	mend(t, b, otlp.Limits{}, 1, otlp.LinkDropped)
}
