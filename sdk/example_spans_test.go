package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// shown is a provider that prints spans when they end, with what is the same each
// time. A program calls sdk.Init instead, and needs no sdk.InProvider.
func shown() sdk.SpanOption {
	return sdk.InProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(printer{tracetest.NewNoopExporter()})))
}

type printer struct{ *tracetest.NoopExporter }

func (printer) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		fmt.Printf("span %s\n", s.Name())
		for _, kv := range s.Attributes() {
			fmt.Printf("  %s: %s\n", kv.Key, kv.Value.String())
		}
		for _, e := range s.Events() {
			fmt.Printf("  event %s\n", e.Name)
			for _, kv := range e.Attributes {
				if kv.Key != "exception.stacktrace" && kv.Key != sdk.AttrRecord {
					fmt.Printf("    %s: %s\n", kv.Key, kv.Value.String())
				}
			}
		}
		if s.Status().Description != "" {
			fmt.Printf("  error: %s\n", s.Status().Description)
		}
	}
	return nil
}

type Order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
	Card  string `json:"card" driftmesh:"redact"`
}

func price(_ context.Context, o Order) (float64, error) {
	if o.Count < 1 {
		return 0, fmt.Errorf("price %s: %w", o.Item, errors.New("nothing ordered"))
	}
	return 2.5 * float64(o.Count), nil
}

// What goes in and comes out is captured as JSON; tags can be searched for.
func ExampleDo() {
	ctx, order := context.Background(), Order{"cork", 3, "4000-1234"}
	p, err := sdk.Do(ctx, "price", func(ctx context.Context) (float64, error) {
		return price(ctx, order)
	}, shown(), sdk.Tag("customer", "c-4711"), sdk.Label("v2"), sdk.Input(order))
	fmt.Println(p, err)
	// Output:
	// span price
	//   driftmesh.tag.customer: c-4711
	//   driftmesh.label: v2
	//   driftmesh.input: {"item":"cork","count":3,"card":"[redacted]"}
	//   driftmesh.output: 7.5
	// 7.5 <nil>
}

// Wrap is for functions of one shape and costs no reflection. Errors are recorded with
// all that they wrap.
func ExampleWrap() {
	priced := sdk.Wrap("price", price, shown())
	_, err := priced(context.Background(), Order{Item: "cork"})
	fmt.Println(err)
	// Output:
	// span price
	//   driftmesh.input: {"item":"cork","count":0,"card":"[redacted]"}
	//   error.type: *errors.errorString
	//   event exception
	//     exception.type: *errors.errorString
	//     exception.message: price cork: nothing ordered
	//     driftmesh.error.tree: {"type":"*fmt.wrapError","message":"price cork: nothing ordered","errors":[{"type":"*errors.errorString","message":"nothing ordered"}]}
	//   error: price cork: nothing ordered
	// price cork: nothing ordered
}

// Traced takes functions of any shape.
func ExampleTraced() {
	join := sdk.Traced("join", func(_ context.Context, sep string, parts ...string) (string, int) {
		return strings.Join(parts, sep), len(parts)
	}, shown())
	text, n := join(context.Background(), "-", "a", "b")
	fmt.Println(text, n)
	// Output:
	// span join
	//   driftmesh.input: ["-",["a","b"]]
	//   driftmesh.output: ["a-b",2]
	// a-b 2
}

func ExampleStart() {
	ctx, span := sdk.Start(context.Background(), "rank", shown())
	defer span.End()
	span.SetTag("model", "m-7")
	span.Event("candidates", []string{"a", "b"})
	_ = ctx // for what is called
	// Output:
	// span rank
	//   driftmesh.tag.model: m-7
	//   event candidates
	//     driftmesh.payload: ["a","b"]
}

// The span of a stream lasts until it has ended.
func ExampleTracedSeq() {
	tokens := func() iter.Seq[string] { return slices.Values([]string{"Hel", "lo", "!"}) }
	for token := range sdk.TracedSeq(context.Background(), "generate", tokens(), shown(), sdk.CaptureJoined()) {
		fmt.Println(token)
	}
	// Output:
	// Hel
	// lo
	// !
	// span generate
	//   driftmesh.stream.items: 3
	//   driftmesh.output: "Hello!"
	//   driftmesh.stream.complete: true
	//   event driftmesh.stream.first_item
}

func ExampleRedact() {
	_, _ = sdk.Do(context.Background(), "login", func(context.Context) (string, error) { return "token-1", nil },
		shown(), sdk.Input("ann@example.org"), sdk.Redact(func(c sdk.Capture) any {
			if c.Kind == sdk.CaptureOutput {
				return nil // nothing of it
			}
			return strings.Split(fmt.Sprint(c.Value), "@")[0] + "@…"
		}))
	// Output:
	// span login
	//   driftmesh.input: "ann@…"
}

// For transports that no instrumentation knows.
func ExampleHeaders() {
	ctx, span := sdk.Start(context.Background(), "send", shown(), sdk.TraceTag("team", "blue"))
	headers := sdk.Headers(ctx) // trace_id, span_id, is_sampled, traceparent, baggage

	there := sdk.FromHeaders(context.Background(), headers)
	_, far := sdk.Start(there, "receive", shown())
	a, _ := span.ID()
	b, _ := far.ID()
	fmt.Println(a == b, headers["is_sampled"], headers["baggage"])
	// Output:
	// true true driftmesh.tag.team=blue
}

// wines is what sdk.OpenQueue reads from a file or gets from the mesh.
func wines() map[string]*profile.Profile {
	p, err := profile.New([]profile.Column{
		{Name: "acid", Type: profile.Float, Numbers: []float64{1, 2, 3}},
		{Name: "colour", Type: profile.String, Texts: []string{"red", "white", "red"}},
	}, profile.Options{Space: "cellar", Name: "wine"})
	if err != nil {
		panic(err) //nolint:forbidigo // an example's
	}
	return map[string]*profile.Profile{"wine": p}
}

// Values are held against the profile at once.
func ExampleInserter_Insert() {
	queue, err := sdk.CaptureQueue(wines()) // sdk.OpenQueue(ctx, map[string]string{"wine": "cellar/wine"})
	if err != nil {
		panic(err)
	}
	ctx, wine := context.Background(), queue.For("wine")
	fmt.Println(wine.Insert(ctx, sdk.Float("acid", 7.4), sdk.String("colour", "red")))
	fmt.Println(wine.Insert(ctx, sdk.Float("acidity", 7.4)))
	fmt.Println(wine.Insert(ctx, sdk.String("acid", "sour")))
	fmt.Println(len(queue.Drain("wine")))
	// Output:
	// <nil>
	// insert into wine (cellar/wine): "acidity": the profile has no such feature (unknown_feature)
	// insert into wine (cellar/wine): "acid": the value is a string, and the profile's feature of type float (type_mismatch)
	// 1
}

func ExampleOf() {
	type Wine struct {
		Acid   float64 `feature:"acid"`
		Colour *string `feature:"colour"` // nil is missing
		Price  float64 // no feature of the profile
	}
	queue, err := sdk.CaptureQueue(wines())
	if err != nil {
		panic(err)
	}
	in, err := sdk.Of[Wine](queue, "wine")
	fmt.Println(err)
	fmt.Println(in.Insert(context.Background(), &Wine{Acid: 7.4, Price: 12}))
	fmt.Println(len(queue.Drain("wine")))
	// Output:
	// <nil>
	// <nil>
	// 1
}

// A record that is inserted in a span leads to it, and back.
func ExampleSpan_InsertInto() {
	queue, err := sdk.CaptureQueue(wines())
	if err != nil {
		panic(err)
	}
	_, span := sdk.Start(context.Background(), "predict", shown())
	fmt.Println(span.InsertInto(queue, "wine", sdk.Float("acid", 7.4)))
	trace, _ := span.ID()
	fmt.Println(strings.Contains(queue.Drain("wine")[0].GetTraceparent(), trace))
	span.End()
	// Output:
	// <nil>
	// true
	// span predict
	//   event driftmesh.record.inserted
	//     driftmesh.profile: cellar/wine
}
