package sdk

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// anySpans makes spans with everything that one can have.
type anySpans struct{ *rand.Rand }

func seeded(seed uint64) anySpans { return anySpans{rand.New(rand.NewPCG(seed, seed))} }

func (r anySpans) oneOf(n int) bool { return r.IntN(n) == 0 }

func (r anySpans) text() string {
	switch r.IntN(8) {
	case 0:
		return ""
	case 1:
		return strings.Repeat("long ", r.IntN(80))
	case 2:
		return strings.Repeat("x", 2000)
	}
	return [...]string{"röd", "GET /orders/{id}", "価格", "a", "\x00", "customer"}[r.IntN(6)]
}

func (r anySpans) int64() int64 {
	return [...]int64{0, 1, -1, 127, 128, math.MaxInt64, math.MinInt64, r.Int64()}[r.IntN(8)]
}

func (r anySpans) float() float64 {
	return [...]float64{0, math.Copysign(0, -1), 1.5, math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64, r.Float64()}[r.IntN(7)]
}

func list[E any](r anySpans, most int, one func() E) []E {
	out := make([]E, r.IntN(most+1))
	for i := range out {
		out[i] = one()
	}
	return out
}

func (r anySpans) value(depth int) attribute.Value {
	kinds := 12
	if depth == 0 {
		kinds = 10
	}
	switch r.IntN(kinds) {
	case 0:
		return attribute.Value{}
	case 1:
		return attribute.BoolValue(r.oneOf(2))
	case 2:
		return attribute.Int64Value(r.int64())
	case 3:
		return attribute.Float64Value(r.float())
	case 4:
		return attribute.BoolSliceValue(list(r, 3, func() bool { return r.oneOf(2) }))
	case 5:
		return attribute.Int64SliceValue(list(r, 5, r.int64))
	case 6:
		return attribute.Float64SliceValue(list(r, 5, r.float))
	case 7:
		return attribute.StringSliceValue(list(r, 5, r.text))
	case 8:
		return attribute.ByteSliceValue([]byte(r.text()))
	case 10:
		return attribute.SliceValue(list(r, 4, func() attribute.Value { return r.value(depth - 1) })...)
	case 11:
		return attribute.MapValue(r.attributes(4, depth-1)...)
	}
	return attribute.StringValue(r.text())
}

func (r anySpans) attributes(most, depth int) []attribute.KeyValue {
	return list(r, most, func() attribute.KeyValue {
		return attribute.KeyValue{Key: attribute.Key(r.text()), Value: r.value(depth)}
	})
}

func (r anySpans) context() trace.SpanContext {
	cfg := trace.SpanContextConfig{TraceFlags: trace.TraceFlags(r.IntN(4)), Remote: r.oneOf(2)}
	if !r.oneOf(6) {
		for i := range cfg.TraceID {
			cfg.TraceID[i] = byte(r.IntN(256))
		}
		for i := range cfg.SpanID {
			cfg.SpanID[i] = byte(r.IntN(256))
		}
	}
	if r.oneOf(3) {
		cfg.TraceState, _ = trace.ParseTraceState("ot=th:8;rv:0123456789abcd,vendor=x")
	}
	return trace.NewSpanContext(cfg)
}

func (r anySpans) time() time.Time {
	if r.oneOf(10) {
		return time.Time{} // long before what protobuf's numbers can say
	}
	return time.Unix(0, r.Int64N(math.MaxInt64))
}

func (r anySpans) span(resources []*resource.Resource, scopes []instrumentation.Scope) sdktrace.ReadOnlySpan {
	s := tracetest.SpanStub{
		Name: r.text(), SpanContext: r.context(), Parent: r.context(), SpanKind: trace.SpanKind(r.IntN(7)),
		StartTime: r.time(), EndTime: r.time(), Attributes: r.attributes(6, 2),
		Events: list(r, 3, func() sdktrace.Event {
			return sdktrace.Event{Name: r.text(), Time: r.time(), Attributes: r.attributes(3, 1), DroppedAttributeCount: r.IntN(3)}
		}),
		Links: list(r, 3, func() sdktrace.Link {
			return sdktrace.Link{SpanContext: r.context(), Attributes: r.attributes(3, 1), DroppedAttributeCount: r.IntN(3)}
		}),
		Status:            sdktrace.Status{Code: codes.Code(r.IntN(3)), Description: r.text()},
		DroppedAttributes: r.IntN(200), DroppedEvents: r.IntN(3), DroppedLinks: r.IntN(3) - 1,
		Resource: resources[r.IntN(len(resources))], InstrumentationScope: scopes[r.IntN(len(scopes))],
	}
	return s.Snapshot()
}

func (r anySpans) spans(n int) []sdktrace.ReadOnlySpan {
	resources := []*resource.Resource{resource.Empty()}
	for i := range 2 {
		attrs := append(r.attributes(5, 1), attribute.Int("number", i))
		resources = append(resources, resource.NewWithAttributes(r.text(), attrs...))
	}
	scopes := []instrumentation.Scope{{}}
	for i := range 3 {
		scopes = append(scopes, instrumentation.Scope{
			Name: fmt.Sprint(i, r.text()), Version: r.text(), SchemaURL: r.text(), Attributes: attribute.NewSet(r.attributes(3, 1)...),
		})
	}
	out := make([]sdktrace.ReadOnlySpan, n)
	for i := range out {
		out[i] = r.span(resources, scopes)
	}
	return out
}

// uploaded is an otlptrace.Client that keeps what OpenTelemetry's exporter makes.
type uploaded struct{ spans []*tracepb.ResourceSpans }

func (*uploaded) Start(context.Context) error { return nil }
func (*uploaded) Stop(context.Context) error  { return nil }
func (c *uploaded) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	c.spans = spans
	return nil
}

// theirs is what OpenTelemetry makes of spans.
func theirs(t testing.TB, spans []sdktrace.ReadOnlySpan) []*tracepb.ResourceSpans {
	t.Helper()
	var c uploaded
	require.NoError(t, otlptrace.NewUnstarted(&c).ExportSpans(t.Context(), spans))
	return c.spans
}

// flat gives each span a request of its own, and sorts them.
func flat(list []*tracepb.ResourceSpans) []*tracepb.ResourceSpans {
	var out []*tracepb.ResourceSpans
	for _, r := range list {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				if proto.Equal(span.GetStatus(), &tracepb.Status{}) {
					span.Status = nil // says the same
				}
				out = append(out, &tracepb.ResourceSpans{
					Resource: r.GetResource(), SchemaUrl: r.GetSchemaUrl(),
					ScopeSpans: []*tracepb.ScopeSpans{{Scope: s.GetScope(), SchemaUrl: s.GetSchemaUrl(), Spans: []*tracepb.Span{span}}},
				})
			}
		}
	}
	key := func(r *tracepb.ResourceSpans) string { return r.GetScopeSpans()[0].GetSpans()[0].GetName() }
	slices.SortStableFunc(out, func(a, b *tracepb.ResourceSpans) int { return cmp.Compare(key(a), key(b)) })
	return out
}

func decoded(t testing.TB, requests []written) []*tracepb.ResourceSpans {
	t.Helper()
	var out []*tracepb.ResourceSpans
	for _, r := range requests {
		var m coltracepb.ExportTraceServiceRequest
		require.NoError(t, proto.Unmarshal(r.body, &m))
		n := 0
		for _, rs := range m.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				n += len(ss.GetSpans())
			}
		}
		require.Equal(t, r.spans, n)
		require.Equal(t, len(r.body), cap(r.body), "memory of the exact size")
		out = append(out, m.GetResourceSpans()...)
	}
	return out
}

// requireSame holds what the encoder writes against what OpenTelemetry makes of the
// same spans.
func requireSame(t *testing.T, e *encoder, seed uint64, n, maxBytes int) {
	t.Helper()
	spans := seeded(seed).spans(n)
	for i, s := range spans { // names of their own, to find them by
		stub := tracetest.SpanStubFromReadOnlySpan(s)
		stub.Name = fmt.Sprintf("%06d%s", i, stub.Name)
		spans[i] = stub.Snapshot()
	}
	requests, tooLarge := e.encode(spans, maxBytes, 64<<20, nil)
	require.Zero(t, tooLarge)
	for _, r := range requests {
		require.True(t, len(r.body) <= maxBytes || r.spans == 1)
	}
	got, want := flat(decoded(t, requests)), flat(theirs(t, spans))
	require.Len(t, got, len(want))
	for i := range want {
		// OpenTelemetry's exporter leaves the trace state of links out.
		for j, l := range spans[i].Links() {
			want[i].ScopeSpans[0].Spans[0].Links[j].TraceState = l.SpanContext.TraceState().String()
		}
		if !proto.Equal(want[i], got[i]) {
			require.Equal(t, prototext.Format(want[i]), prototext.Format(got[i]), "seed %d, span %d", seed, i)
			t.Fatalf("seed %d, span %d differ", seed, i)
		}
	}
}

func TestSpansAreWrittenAsOpenTelemetryWritesThem(t *testing.T) {
	t.Parallel()
	var e encoder // of many batches
	for seed := range uint64(30) {
		requireSame(t, &e, seed, int(seed%40), 64<<20)
		requireSame(t, &e, seed, int(seed%40), 300_000)
	}
}

func FuzzSpansAreWrittenAsOpenTelemetryWritesThem(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(1))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8, kib uint16) {
		requireSame(t, new(encoder), seed, int(n), 500_000+int(kib)<<10)
	})
}

func TestSpansOfABatchAreCutBetweenThem(t *testing.T) {
	t.Parallel()
	scope := []instrumentation.Scope{{Name: "a"}, {Name: "b"}}
	var spans []sdktrace.ReadOnlySpan
	for i := range 100 {
		spans = append(spans, tracetest.SpanStub{Name: fmt.Sprint(i), InstrumentationScope: scope[i%2], Resource: resource.Empty()}.Snapshot())
	}
	spans[7] = tracetest.SpanStub{Name: strings.Repeat("x", 1000), Resource: resource.Empty()}.Snapshot()
	spans[9] = tracetest.SpanStub{Name: strings.Repeat("y", 400), Resource: resource.Empty()}.Snapshot()
	var e encoder
	requests, tooLarge := e.encode(spans, 300, 600, nil)
	require.Equal(t, 1, tooLarge)
	seen := map[string]bool{}
	for _, r := range requests {
		require.True(t, len(r.body) <= 300 || r.spans == 1 && len(r.body) > 400)
	}
	require.Less(t, len(requests), 40, "each is filled")
	for _, s := range flat(decoded(t, requests)) {
		seen[s.GetScopeSpans()[0].GetSpans()[0].GetName()] = true
	}
	require.Len(t, seen, 99)
}

// TestTextThatIsNoUTF8IsMended because the whole request would be refused for it:
// OpenTelemetry's own exporter loses all of the batch.
func TestTextThatIsNoUTF8IsMended(t *testing.T) {
	t.Parallel()
	bad := "a\xffb"
	span := tracetest.SpanStub{
		Name: bad, Attributes: []attribute.KeyValue{attribute.String(bad, bad), attribute.StringSlice("list", []string{bad})},
		Resource: resource.Empty(),
	}.Snapshot()
	_, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: theirs(t, []sdktrace.ReadOnlySpan{span})})
	require.ErrorContains(t, err, "invalid UTF-8")

	var e encoder
	requests, _ := e.encode([]sdktrace.ReadOnlySpan{span}, 1<<20, 1<<20, nil)
	got := decoded(t, requests)[0].GetScopeSpans()[0].GetSpans()[0]
	require.Equal(t, "a\uFFFDb", got.GetName())
	require.Equal(t, "a\uFFFDb", got.GetAttributes()[0].GetKey())
	require.Equal(t, "a\uFFFDb", got.GetAttributes()[0].GetValue().GetStringValue())
	require.Equal(t, "a\uFFFDb", got.GetAttributes()[1].GetValue().GetArrayValue().GetValues()[0].GetStringValue())
}

// usual is a batch of spans as services make them: eight attributes, one event with
// two.
func usual(n int) []sdktrace.ReadOnlySpan {
	r := resource.NewSchemaless(attribute.String("service.name", "shop"), attribute.String("host.name", "h-17"), attribute.Int("process.pid", 4711))
	random := rand.New(rand.NewPCG(1, 1))
	out := make([]sdktrace.ReadOnlySpan, n)
	for i := range out {
		cfg := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}
		for j := range cfg.TraceID {
			cfg.TraceID[j] = byte(random.IntN(256))
		}
		for j := range cfg.SpanID {
			cfg.SpanID[j] = byte(random.IntN(256))
		}
		now := time.Now()
		out[i] = tracetest.SpanStub{
			Name: "GET /api/v1/orders/{id}", SpanContext: trace.NewSpanContext(cfg), Parent: trace.NewSpanContext(cfg), SpanKind: trace.SpanKindServer,
			StartTime: now.Add(-time.Millisecond), EndTime: now,
			Attributes: []attribute.KeyValue{
				attribute.String("http.request.method", "GET"), attribute.String("url.path", "/api/v1/orders/8127361"), attribute.String("http.route", "/api/v1/orders/{id}"),
				attribute.Int("http.response.status_code", 200), attribute.String("server.address", "shop.internal"), attribute.Int("server.port", 8443),
				attribute.Bool("cache.hit", i%2 == 0), attribute.Float64("price", 12.5),
			},
			Events:   []sdktrace.Event{{Name: "priced", Time: now, Attributes: []attribute.KeyValue{attribute.String("rule", "base"), attribute.Int("steps", 3)}}},
			Resource: r, InstrumentationScope: instrumentation.Scope{Name: "shop/http", Version: "1.4.2"},
		}.Snapshot()
	}
	return out
}

// BenchmarkEncode writes batches of 512 spans, by the encoder and as OpenTelemetry's
// exporters do; a span is an operation of ns/span and allocs/span.
func BenchmarkEncode(b *testing.B) {
	const n = 512
	spans := usual(n)
	run := func(b *testing.B, write func() int) {
		b.ReportAllocs()
		bytes := 0
		for b.Loop() {
			bytes = write()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/span")
		b.ReportMetric(float64(bytes)/n, "B/span")
	}
	b.Run("driftmesh", func(b *testing.B) {
		var e encoder
		run(b, func() int {
			requests, _ := e.encode(spans, 1<<20, 1<<20, nil)
			return len(requests[0].body)
		})
	})
	b.Run("opentelemetry", func(b *testing.B) {
		var c uploaded
		exporter := otlptrace.NewUnstarted(&c)
		run(b, func() int {
			if err := exporter.ExportSpans(b.Context(), spans); err != nil {
				b.Fatal(err)
			}
			body, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: c.spans})
			if err != nil {
				b.Fatal(err)
			}
			return len(body)
		})
	})
}
