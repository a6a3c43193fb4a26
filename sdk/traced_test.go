package sdk

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

type model struct{ name string }

func (m *model) Price(_ context.Context, item string, n int) (float64, string, error) {
	if n < 0 {
		return 0, "", errors.New("negative")
	}
	return 1.5 * float64(n), m.name + item, nil
}

func TestTracedOfAnyShape(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	last := func() map[string]any { return attributes(r.Ended()[len(r.Ended())-1].Attributes()) }
	price := Traced("price", (&model{"m-"}).Price, in)
	p, name, err := price(t.Context(), "a", 2)
	require.NoError(t, err)
	require.InDelta(t, 3.0, p, 0)
	require.Equal(t, "m-a", name)
	require.Equal(t, map[string]any{"driftmesh.input": `["a",2]`, "driftmesh.output": `[3,"m-a"]`}, last())
	_, _, err = price(t.Context(), "a", -1)
	require.EqualError(t, err, "negative")
	require.Equal(t, codes.Error, r.Ended()[1].Status().Code)

	sum := Traced("sum", func(first int, more ...int) int {
		for _, n := range more {
			first += n
		}
		return first
	}, in)
	require.Equal(t, 6, sum(1, 2, 3))
	require.Equal(t, map[string]any{"driftmesh.input": `[1,[2,3]]`, "driftmesh.output": "6"}, last())
	require.Equal(t, 1, sum(1))

	// f gets the span in its context, the caller's is the parent.
	ctx, parent := Start(t.Context(), "outer", in)
	id := Traced("id", func(ctx context.Context, _ int) trace.SpanContext { return trace.SpanContextFromContext(ctx) }, in)
	sc := id(ctx, 1)
	require.Equal(t, parent.SpanContext().TraceID(), sc.TraceID())
	require.NotEqual(t, parent.SpanContext().SpanID(), sc.SpanID())

	before := len(r.Ended())
	calls := 0
	Traced("a", func() { calls++ }, in)()
	require.NoError(t, Traced("b", func() error { calls++; return nil }, in)())
	Traced("c", func(context.Context) { calls++ }, in)(t.Context())
	require.Error(t, Traced("d", func(context.Context) error { calls++; return errors.New("no") }, in)(t.Context()))
	type handler func(string) bool
	require.True(t, Traced("e", handler(func(s string) bool { calls++; return s == "x" }), in)("x"))
	Traced("f", func(context.Context, any) { calls++ }, in)(t.Context(), nil)
	require.Equal(t, 6, calls)
	require.Len(t, r.Ended(), before+6)
	require.Panics(t, func() { Traced("no", 3) })
	require.Panics(t, func() { Traced[func(int)]("no", nil) })
}

func TestWrap(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	f := Wrap("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }, in, Tag("a", "b"))
	got, err := f(t.Context(), 4)
	require.NoError(t, err)
	require.Equal(t, 8, got)
	require.Equal(t, map[string]any{"driftmesh.input": "4", "driftmesh.output": "8", "driftmesh.tag.a": "b"}, attributes(oneSpan(t, r).Attributes()))
}

func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestSequencesAreTracedToTheirEnd(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	seq := TracedSeq(t.Context(), "numbers", numbers(5), in, CaptureLast())
	require.Empty(t, r.Started(), "it has not begun")
	require.Equal(t, []int{0, 1, 2, 3, 4}, slices.Collect(seq))
	require.Equal(t, map[string]any{"driftmesh.stream.items": int64(5), "driftmesh.stream.complete": true, "driftmesh.output": "4"}, attributes(r.Ended()[0].Attributes()))
	require.Equal(t, EventFirstItem, r.Ended()[0].Events()[0].Name)
	for n := range seq {
		if n == 2 {
			break
		}
	}
	require.Equal(t, map[string]any{"driftmesh.stream.items": int64(3), "driftmesh.stream.complete": false, "driftmesh.output": "2"}, attributes(r.Ended()[1].Attributes()))

	words := TracedSeq(t.Context(), "words", slices.Values([]string{"drift", "mé", "sh"}), in, CaptureJoined())
	require.Len(t, slices.Collect(words), 3)
	require.Equal(t, `"driftmésh"`, attributes(r.Ended()[2].Attributes())["driftmesh.output"])
	require.Len(t, slices.Collect(TracedSeq(t.Context(), "n", numbers(100_000), in, CaptureJoined(), CaptureLimit(6))), 100_000)
	require.Equal(t, "[0,1,2"+truncated, attributes(r.Ended()[3].Attributes())["driftmesh.output"])
	require.Empty(t, slices.Collect(TracedSeq(t.Context(), "none", numbers(0), in, CaptureLast())))
	require.Equal(t, map[string]any{"driftmesh.stream.items": int64(0), "driftmesh.stream.complete": true}, attributes(r.Ended()[4].Attributes()))

	failing := func(yield func(string, error) bool) { _ = yield("a", nil) && yield("", errors.New("broke off")) }
	for range TracedSeq2(t.Context(), "rows", failing, in, CaptureJoined()) {
	}
	s := r.Ended()[5]
	require.Equal(t, "broke off", s.Status().Description)
	require.Equal(t, "broke off", event(t, s, "exception")["exception.message"])
	require.Equal(t, `"a"`, attributes(s.Attributes())["driftmesh.output"])
	for range TracedSeq2(t.Context(), "pairs", slices.All([]string{"x", "y"}), in, CaptureLast()) {
	}
	require.Equal(t, `[1,"y"]`, attributes(r.Ended()[6].Attributes())["driftmesh.output"])
}

func TestChannelsAreTracedToTheirEnd(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	from := make(chan string, 3)
	for _, s := range []string{"a", "b", "c"} {
		from <- s
	}
	close(from)
	var got []string
	for s := range TracedChan(t.Context(), "chan", from, in, CaptureJoined()) {
		got = append(got, s)
	}
	require.Equal(t, []string{"a", "b", "c"}, got)
	require.Equal(t, map[string]any{"driftmesh.stream.items": int64(3), "driftmesh.stream.complete": true, "driftmesh.output": `"abc"`}, attributes(oneSpan(t, r).Attributes()))

	// Nobody sends and nobody reads any more: ctx ends both.
	for _, fill := range []int{0, 1} {
		ctx, cancel := context.WithCancel(t.Context())
		stuck := make(chan int, 1)
		for range fill {
			stuck <- 1
		}
		out := TracedChan(ctx, "stuck", stuck, in)
		cancel()
		for range out {
		}
		s := r.Ended()[len(r.Ended())-1]
		require.Equal(t, "canceled", attributes(s.Attributes())["driftmesh.canceled"])
		require.Equal(t, false, attributes(s.Attributes())["driftmesh.stream.complete"])
	}
}

func TestTracedStreams(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	seq := Traced("seq", func(_ context.Context, n int) (iter.Seq[int], error) {
		if n == 0 {
			return nil, errors.New("none")
		}
		return numbers(n), nil
	}, in, CaptureLast())
	s, err := seq(t.Context(), 3)
	require.NoError(t, err)
	require.Empty(t, r.Ended(), "it lasts until the sequence has ended")
	require.Equal(t, []int{0, 1, 2}, slices.Collect(s))
	want := map[string]any{"driftmesh.input": "3", "driftmesh.stream.items": int64(3), "driftmesh.stream.complete": true, "driftmesh.output": "2"}
	require.Equal(t, want, attributes(oneSpan(t, r).Attributes()))
	require.Equal(t, []int{0, 1, 2}, slices.Collect(s), "again, with a span of its own")
	require.Len(t, r.Ended(), 2)
	_, err = seq(t.Context(), 0)
	require.Error(t, err)
	require.Len(t, r.Ended(), 3)

	pairs := Traced("pairs", func() iter.Seq2[int, error] {
		return func(yield func(int, error) bool) { yield(1, errors.New("second")) }
	}, in)
	for range pairs() {
	}
	require.Equal(t, "second", r.Ended()[3].Status().Description)

	ch := Traced("chan", func(n int) <-chan int {
		out := make(chan int)
		go func() {
			defer close(out)
			for i := range n {
				out <- i
			}
		}()
		return out
	}, in, CaptureJoined())
	var got []int
	for n := range ch(3) {
		got = append(got, n)
	}
	require.Equal(t, []int{0, 1, 2}, got)
	require.Equal(t, "[0,1,2]", attributes(r.Ended()[4].Attributes())["driftmesh.output"])
	require.Nil(t, Traced("nil", func() <-chan int { return nil }, in)())
	require.Len(t, r.Ended(), 6)
}

// A sequence that nobody iterates ends its span when it is forgotten.
func TestAForgottenSequenceEndsItsSpan(t *testing.T) {
	r, in := recorder(t)
	_ = Traced("forgotten", func() iter.Seq[int] { return numbers(3) }, in)()
	require.Len(t, r.Started(), 1)
	require.Eventually(t, func() bool { runtime.GC(); return len(r.Ended()) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, false, attributes(r.Ended()[0].Attributes())["driftmesh.stream.complete"])
}

func TestTracedIsSafeForMany(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	f := Traced("f", func(_ context.Context, n int) int { return n }, in, TraceTag("a", "b"))
	g := Wrap("g", func(_ context.Context, n int) (int, error) { return n, nil }, in)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			require.Equal(t, i, f(t.Context(), i))
			got, _ := g(t.Context(), i)
			require.Equal(t, i, got)
		})
	}
	wg.Wait()
	require.Len(t, r.Ended(), 40)
}
