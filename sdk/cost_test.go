package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// What the helpers cost beside plain OpenTelemetry Go, side by side, on one provider
// that throws spans away: BenchmarkCall/…/of=otel and of=sdk do the same.
//
//	go test -run '^$' -bench 'Call|Insert|Capture' -benchmem ./sdk

type request struct {
	Customer string         `json:"customer"`
	Rows     []float64      `json:"rows"`
	Options  map[string]any `json:"options"`
}

var asked = request{"c-4711", []float64{7.4, 0.7, 0, 1.9, 0.076, 11, 34}, map[string]any{"model": "v2", "explain": true}}

// discard is a provider that samples everything, or nothing, and keeps nothing.
func discard(sampler sdktrace.Sampler) trace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(sdktrace.NewSimpleSpanProcessor(tracetest.NewNoopExporter())))
}

func score(context.Context, request) (float64, error) { return 0.5, nil }

// plainCall is what one writes by hand with OpenTelemetry.
func plainCall(ctx context.Context, tracer trace.Tracer, in request, capture bool) (out float64, err error) {
	ctx, span := tracer.Start(ctx, "score", trace.WithAttributes(attribute.String("customer", in.Customer), attribute.String("label", "v2")))
	defer span.End()
	if capture && span.IsRecording() {
		raw, _ := json.Marshal(in)
		span.SetAttributes(attribute.String("input", string(raw)))
	}
	if out, err = score(ctx, in); err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	if capture && span.IsRecording() {
		raw, _ := json.Marshal(out)
		span.SetAttributes(attribute.String("output", string(raw)))
	}
	return out, err
}

func BenchmarkCall(b *testing.B) {
	for _, row := range []struct {
		name    string
		sampler sdktrace.Sampler
		ctx     context.Context //nolint:containedctx // of the calls measured
		capture bool
	}{
		{"sampled", sdktrace.AlwaysSample(), context.Background(), false},
		{"captured", sdktrace.AlwaysSample(), context.Background(), true},
		{"unsampled-root", sdktrace.NeverSample(), context.Background(), false},
		{"unsampled-child", sdktrace.ParentBased(sdktrace.AlwaysSample()), FromHeaders(context.Background(), map[string]string{"trace_id": hexTrace, "span_id": hexSpan, "is_sampled": "false"}), false},
	} {
		provider := discard(row.sampler)
		b.Run(row.name+"/of=otel", func(b *testing.B) {
			tracer := provider.Tracer(scope)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = plainCall(row.ctx, tracer, asked, row.capture)
			}
		})
		c := &Client{tracer: provider.Tracer(scope), parentDecides: true, cfg: defaults()}
		current.client.Store(c)
		for name, f := range map[string]func(){
			"of=sdk.Do": func() {
				if row.capture {
					_, _ = Do(row.ctx, "score", func(ctx context.Context) (float64, error) { return score(ctx, asked) }, Tag("customer", asked.Customer), Label("v2"), Input(&asked))
					return
				}
				_, _ = Do(row.ctx, "score", func(ctx context.Context) (float64, error) { return score(ctx, asked) }, Tag("customer", asked.Customer), Label("v2"), NoCapture())
			},
			"of=sdk.Traced": func() {},
		} {
			if name == "of=sdk.Traced" {
				options := []SpanOption{Tag("customer", asked.Customer), Label("v2")}
				if !row.capture {
					options = append(options, NoCapture())
				}
				traced := Traced("score", score, options...)
				f = func() { _, _ = traced(row.ctx, asked) }
			}
			b.Run(row.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
			})
		}
		current.client.Store(nil)
	}
}

// BenchmarkInsert is a record of so many values: checked, encoded and queued, beside
// the same by messages (Send), and a span event of plain OpenTelemetry with as many
// attributes.
func BenchmarkInsert(b *testing.B) {
	for _, n := range []int{1, 4, 20, 200} {
		values := make([]Value, n)
		attributes := make([]attribute.KeyValue, n)
		columns := make([]profile.Column, n)
		for i := range values {
			name := fmt.Sprint("feature_", i)
			values[i], attributes[i] = Float(name, 7.25), attribute.Float64(name, 7.25)
			columns[i] = profile.Column{Name: name, Type: profile.Float, Numbers: []float64{1, 2, 3}}
		}
		p, err := profile.New(columns, profile.Options{Space: "bench", Name: "p"})
		if err != nil {
			b.Fatal(err)
		}
		cfg := defaults()
		client := &Client{cfg: cfg, records: newRecordQueue(&cfg, &pace{}, func() int { return 1 << 20 })}
		q, err := newQueue(client, map[string]*profile.Profile{"p": p}, nil)
		if err != nil {
			b.Fatal(err)
		}
		in := q.For("p")
		ctx := FromHeaders(context.Background(), map[string]string{"trace_id": hexTrace, "span_id": hexSpan})
		b.Run(fmt.Sprintf("values=%d/of=queue", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				emptied(client, i)
				if err := in.Insert(ctx, values...); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("values=%d/of=send", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				emptied(client, i)
				if err := client.Send(ctx, Features("bench/p", values...)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("values=%d/of=otel-event", n), func(b *testing.B) {
			_, span := discard(sdktrace.AlwaysSample()).Tracer(scope).Start(context.Background(), "x")
			b.ReportAllocs()
			for b.Loop() {
				span.AddEvent("record", trace.WithAttributes(attributes...))
			}
		})
	}
}

// BenchmarkTyped is BenchmarkInsert of a struct of three features.
func BenchmarkTyped(b *testing.B) {
	cfg := defaults()
	client := &Client{cfg: cfg, records: newRecordQueue(&cfg, &pace{}, func() int { return 1 << 20 })}
	q, err := newQueue(client, map[string]*profile.Profile{"wine": cellar(b)}, nil)
	if err != nil {
		b.Fatal(err)
	}
	in, err := Of[bottle](q, "wine")
	if err != nil {
		b.Fatal(err)
	}
	one := &bottle{Acid: 7.5, Colour: "red"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		emptied(client, i)
		if err := in.Insert(context.Background(), one); err != nil {
			b.Fatal(err)
		}
	}
}

// emptied takes what is queued away now and then, as the sender does.
func emptied(c *Client, i int) {
	if i%900 == 0 {
		c.records.mu.Lock()
		c.records.full, c.records.open, c.records.items, c.records.bytes = nil, parcel{body: c.records.open.body[:0]}, 0, 0
		c.records.mu.Unlock()
	}
}

func BenchmarkCapture(b *testing.B) {
	b.Run("of=json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(&asked)
		}
	})
	b.Run("of=capture", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encodeJSON(&asked, DefaultCaptureLimit, nil)
		}
	})
	large := make([]request, 10_000)
	for i := range large {
		large[i] = asked
	}
	b.Run("large/of=json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(large)
		}
	})
	b.Run("large/of=capture", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encodeJSON(large, DefaultCaptureLimit, nil)
		}
	})
}
