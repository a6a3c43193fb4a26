//go:build !race

package sdk

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// unsampledContext is that of a call whose caller is not sampled.
func unsampledContext() context.Context {
	return FromHeaders(context.Background(), map[string]string{"trace_id": hexTrace, "span_id": hexSpan, "is_sampled": "false"})
}

func silentClient(t testing.TB, options ...Option) *Client {
	t.Helper()
	c, err := newClient(func() config {
		cfg := defaults()
		cfg.address = "127.0.0.1:1"
		for _, o := range options {
			o(&cfg)
		}
		return cfg
	}())
	require.NoError(t, err)
	c.enter()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Shutdown(ctx)
	})
	return c
}

// What is not sampled costs nothing but a look at the context. Not parallel: the
// client is that of the process.
func TestUnsampledCallsAllocateNothing(t *testing.T) {
	silentClient(t)
	ctx := unsampledContext()
	work := func(ctx context.Context) (int, error) {
		if !trace.SpanContextFromContext(ctx).IsValid() {
			return 0, context.Canceled
		}
		return 1, nil
	}
	double := Wrap("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	plain := Traced("plain", func(context.Context) error { return nil })
	customer := "c1"
	for name, f := range map[string]func(){
		"Start": func() {
			_, span := Start(ctx, "x", Tag("customer", customer), Label("v2"))
			span.SetTag("a", customer)
			span.SetLabel(customer)
			span.End()
		},
		"Do": func() { _, _ = Do(ctx, "x", work) },
		"DoTag": func() {
			_, _ = Do(ctx, "x", work, Tag("customer", customer), Label(customer), Kind(trace.SpanKindClient), CaptureLimit(5))
		},
		"Run":    func() { _ = Run(ctx, "x", func(context.Context) error { return nil }) },
		"Wrap":   func() { _, _ = double(ctx, 3) },
		"Traced": func() { _ = plain(ctx) },
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
	}
}

func TestSwitchedOffCallsAllocateNothing(t *testing.T) {
	silentClient(t, func(c *config) { c.noSpans = true })
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, _ = Do(context.Background(), "x", func(context.Context) (int, error) { return 1, nil }, Tag("a", "b"))
	}))
}

// A record is encoded into memory that is there, and copied into the batch, which
// grows now and then.
func TestInsertsAllocateNothing(t *testing.T) {
	client := silentClient(t, WithBatch(1000, 1<<20, 1<<40), WithQueue(1_000_000, 1<<30))
	q, err := newQueue(client, map[string]*profile.Profile{"wine": cellar(t)}, nil)
	require.NoError(t, err)
	in := q.For("wine")
	ctx := unsampledContext()
	insert := func() {
		_ = in.Insert(ctx, Float("acid", 7.4), String("colour", "red"), Bool("cork", true), Int("year", 2020))
	}
	for range 1000 {
		insert()
	}
	require.Less(t, testing.AllocsPerRun(2000, insert), 0.05)
	typed, err := Of[bottle](q, "wine")
	require.NoError(t, err)
	one := &bottle{Acid: 7.5, Colour: "red"}
	require.Less(t, testing.AllocsPerRun(2000, func() { _ = typed.Insert(ctx, one) }), 0.05)
}
