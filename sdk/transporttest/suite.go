// Package transporttest is the contract of sdk.Transport as tests: whatever carries
// spans and records passes them against the server that it is for. It knows neither
// brokers nor the mesh; who calls Run brings both.
package transporttest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/sdk"
)

// Harness is a transport under test and the server at its other end.
type Harness struct {
	// Open opens a transport of somebody who may send. It is required, and so is
	// Stored.
	Open func(t *testing.T) sdk.Transport
	// Stored waits until the items that were acknowledged are there, for as long as
	// that may take, and counts how often each of the series is.
	Stored func(t *testing.T, run *Series, acknowledged []string) map[string]int
	// Profile is that of the records; default "default/transport".
	Profile string
	// Traced tells whether something that the server did stands in a trace.
	Traced func(t *testing.T, trace string)
	// Refused opens transports that the server refuses, by why.
	Refused func(t *testing.T) map[string]sdk.Transport
	// Secrets never stand in an error.
	Secrets []string
	// Kill ends the server with SIGKILL, and Restart starts it again on what it has
	// made durable. Freeze stops its execution, and Thaw goes on.
	Kill, Restart, Freeze, Thaw func()
	// FullAt is how many bytes wait, until Stored is called, when the server refuses
	// more.
	FullAt int
	// Faults are done one after the other under load.
	Faults []Fault
}

// Fault is something that goes wrong and is mended.
type Fault struct {
	Name string
	Do   func(t *testing.T)
}

// Except names the cases that a transport does not pass here, and why.
type Except map[string]string

// Bounds of what a transport may take.
const (
	arriveWithin  = 30 * time.Second // with a server that is there
	saidWithin    = 20 * time.Second // that a server is away: its own timeouts, and some
	recoverWithin = 40 * time.Second // from the moment that it is back
)

type testCase struct {
	name string
	run  func(t *testing.T, h Harness)
}

var cases = []testCase{
	{"Arrives", arrives},
	{"CountsOnce", countsOnce},
	{"Cancelled", cancelled},
	{"Large", large},
	{"Closes", closes},
	{"ClosesWhileAway", closesWhileAway},
	{"Refused", refused},
	{"Full", full},
	{"Frozen", frozen},
	{"Killed", killed},
	{"UnderFaults", underFaults},
}

// Run runs the suite; the zero Except is all of it.
func Run(t *testing.T, h Harness, except Except) {
	t.Helper()
	for name := range except {
		known := slices.ContainsFunc(cases, func(c testCase) bool { return c.name == name })
		require.True(t, known, "an exception from the case %s, which is not there", name)
	}
	if h.Profile == "" {
		h.Profile = "default/transport"
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if why, excepted := except[c.name]; excepted {
				t.Skipf("excepted: %s", why)
			}
			c.run(t, h)
		})
	}
}

// open opens a transport that the test closes.
func (h Harness) open(t *testing.T) sdk.Transport {
	t.Helper()
	tr := h.Open(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), arriveWithin)
		defer cancel()
		require.NoError(t, tr.Close(ctx))
	})
	return tr
}

// requireStored requires that every item is there once, and no other of the run.
func (h Harness) requireStored(t *testing.T, run *Series, items []string) {
	t.Helper()
	stored := h.Stored(t, run, items)
	lost, twice := 0, 0
	for _, item := range items {
		if stored[item] == 0 {
			lost++
		}
	}
	for _, n := range stored {
		if n > 1 {
			twice++
		}
	}
	require.Zero(t, lost, "items of %d that were acknowledged and are not there", len(items))
	require.Zero(t, twice, "items that are there twice")
	require.Len(t, stored, len(items), "items that are there")
}

// A batch of either type arrives, in the trace in which it was sent.
func arrives(t *testing.T, h Harness) {
	tr, run := h.open(t), NewSeries(h.Profile)
	ctx, id := traced(t.Context())
	var items []string
	for _, kind := range []sdk.Type{sdk.TypeSpans, sdk.TypeRecords} {
		b, in := run.Batch(kind, 20, 100)
		answer, err := tr.Send(ctx, b)
		require.NoError(t, err)
		require.Zero(t, answer.Rejected, "%v", answer.Rejections)
		items = append(items, in...)
	}
	h.requireStored(t, run, items)
	if h.Traced != nil {
		h.Traced(t, id)
	}
}

// traced is a context with a span that is sampled.
func traced(ctx context.Context) (context.Context, string) {
	id := trace.TraceID(random16())
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1, 2, 3}, TraceFlags: trace.FlagsSampled})
	return trace.ContextWithSpanContext(ctx, span), id.String()
}

// A batch that is sent twice under its id, since nobody heard that it had arrived,
// counts once; two with different ids are two.
func countsOnce(t *testing.T, h Harness) {
	tr, run := h.open(t), NewSeries(h.Profile)
	var items []string
	for i := range 10 {
		b, in := run.Batch([]sdk.Type{sdk.TypeSpans, sdk.TypeRecords}[i%2], 5, 100)
		for range 1 + i%3 {
			_, err := tr.Send(t.Context(), b)
			require.NoError(t, err)
		}
		items = append(items, in...)
	}
	h.requireStored(t, run, items)
}

// A caller who leaves is let go at once, and takes nothing from others; what it
// sends again counts once.
func cancelled(t *testing.T, h Harness) {
	tr, run := h.open(t), NewSeries(h.Profile)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, _ := run.Batch(sdk.TypeSpans, 1, 100)
	_, err := tr.Send(ctx, b)
	requirePasses(t, err)

	var items []string
	for i := range 40 {
		b, in := run.Batch(sdk.TypeSpans, 5, 2000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
		_, first := tr.Send(ctx, b)
		cancel()
		if first != nil {
			requirePasses(t, first)
		}
		_, err := tr.Send(t.Context(), b)
		require.NoError(t, err)
		items = append(items, in...)
	}
	stored := h.Stored(t, run, items)
	for _, item := range items {
		require.Equal(t, 1, stored[item], item)
	}
}

// What MaxBytes allows arrives, and what is larger arrives too or is refused at once,
// for good, and alone.
func large(t *testing.T, h Harness) {
	tr, run := h.open(t), NewSeries(h.Profile)
	small, items := run.Batch(sdk.TypeSpans, 1, 100) // it makes a broker's own limit known
	_, err := tr.Send(t.Context(), small)
	require.NoError(t, err)
	limit := tr.MaxBytes()
	require.Positive(t, limit)
	most, in := run.Sized(limit)
	require.Len(t, most.Body, limit)
	_, err = tr.Send(t.Context(), most)
	require.NoError(t, err, "%d bytes", len(most.Body))
	items = append(items, in...)

	more, in := run.Sized(limit + 1)
	begin := time.Now()
	if _, err = tr.Send(t.Context(), more); err == nil { // it has room to spare
		h.requireStored(t, run, append(items, in...))
		return
	}
	told, ok := errors.AsType[*sdk.TransportError](err)
	require.True(t, ok, "%v", err)
	require.True(t, told.Permanent, "%v", err)
	require.Less(t, time.Since(begin), 5*time.Second)
	t.Logf("told: %v", err)
	h.requireStored(t, run, items)
}

// Close waits for what is on its way, and leaves nothing behind; afterwards nothing
// is taken.
func closes(t *testing.T, h Harness) {
	run := NewSeries(h.Profile)
	before := runtime.NumGoroutine()
	tr := h.Open(t)
	const batches = 10
	type result struct {
		items []string
		err   error
	}
	results := make(chan result, batches)
	b, items := run.Batch(sdk.TypeSpans, 1, 100) // connected
	_, err := tr.Send(t.Context(), b)
	require.NoError(t, err)
	for range batches {
		b, in := run.Batch(sdk.TypeSpans, 20, 1000)
		go func() {
			_, err := tr.Send(context.WithoutCancel(t.Context()), b)
			results <- result{in, err}
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), arriveWithin)
	defer cancel()
	require.NoError(t, tr.Close(ctx))
	require.NoError(t, tr.Close(ctx), "twice")
	for range batches {
		if r := <-results; r.err == nil { // else it came too late
			items = append(items, r.items...)
		}
	}
	_, err = tr.Send(t.Context(), b)
	require.Error(t, err)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, arriveWithin, 10*time.Millisecond, "goroutines are left")
	stored := h.Stored(t, run, items)
	for _, item := range items {
		require.Equal(t, 1, stored[item], item)
	}
}

// Close obeys its context while nobody answers, and who waits in Send is told.
func closesWhileAway(t *testing.T, h Harness) {
	run := NewSeries(h.Profile)
	tr := h.Open(t)
	b, items := run.Batch(sdk.TypeSpans, 1, 100)
	_, err := tr.Send(t.Context(), b)
	require.NoError(t, err)
	h.Freeze()
	thaw := sync.OnceFunc(h.Thaw)
	defer thaw()
	told := make(chan error, 1)
	unanswered := func() bool { // a large program takes a moment to stop
		next, in := run.Batch(sdk.TypeSpans, 1, 100)
		go func() {
			_, err := tr.Send(context.WithoutCancel(t.Context()), next)
			told <- err
		}()
		select {
		case err := <-told:
			require.NoError(t, err)
			items = append(items, in...)
			return false
		case <-time.After(300 * time.Millisecond):
			return true
		}
	}
	require.Eventually(t, unanswered, arriveWithin, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	t.Logf("close: %v", tr.Close(ctx))
	require.Less(t, time.Since(begin), 5*time.Second)
	select {
	case err := <-told:
		requirePasses(t, err)
		t.Logf("send: %v", err)
	case <-time.After(5 * time.Second):
		t.Fatal("who waits in Send is not told")
	}
	thaw()
	h.Stored(t, run, items) // one may be there besides
}

// requirePasses requires an error after which the same may be sent again.
func requirePasses(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	if told, ok := errors.AsType[*sdk.TransportError](err); ok {
		require.False(t, told.Permanent, "%v", err)
	}
}

// Who is not let in is told so, for good, and without the secrets.
func refused(t *testing.T, h Harness) {
	for why, tr := range h.Refused(t) {
		t.Run(why, func(t *testing.T) {
			defer tr.Close(t.Context())
			b, _ := NewSeries(h.Profile).Batch(sdk.TypeSpans, 1, 100)
			begin := time.Now()
			_, err := tr.Send(t.Context(), b)
			told, ok := errors.AsType[*sdk.TransportError](err)
			require.True(t, ok, "%v", err)
			require.True(t, told.Permanent, "%v", err)
			require.Less(t, time.Since(begin), saidWithin)
			for _, secret := range h.Secrets {
				require.NotContains(t, err.Error(), secret)
			}
			t.Logf("told: %v", err)
		})
	}
}

// A server that is full says so at once and when to come again; what it took is
// there, and it takes more when there is room.
func full(t *testing.T, h Harness) {
	tr, run := h.open(t), NewSeries(h.Profile)
	const size = 64 << 10
	var items []string
	var waiting sdk.Batch
	var left []string
	for sent := 0; ; sent++ {
		require.Less(t, sent, 10*h.FullAt/size, "it never is full")
		waiting, left = run.Sized(size)
		ctx, cancel := context.WithTimeout(t.Context(), saidWithin)
		_, err := tr.Send(ctx, waiting)
		cancel()
		if err == nil {
			items = append(items, left...)
			continue
		}
		told, ok := errors.AsType[*sdk.TransportError](err)
		require.True(t, ok, "%v", err)
		require.False(t, told.Permanent, "%v", err)
		require.Positive(t, told.RetryAfter, "%v", err)
		t.Logf("after %d batches: %v", sent, err)
		break
	}
	require.NotEmpty(t, items)
	h.Stored(t, run, items) // makes room
	require.NoError(t, until(t.Context(), tr, waiting, recoverWithin))
	h.requireStored(t, run, append(items, left...))
}

// While the server says nothing, callers leave when they want to, and what they
// leave behind is bounded.
func frozen(t *testing.T, h Harness) {
	tr, run := h.open(t), NewSeries(h.Profile)
	b, items := run.Batch(sdk.TypeSpans, 1, 100)
	_, err := tr.Send(t.Context(), b)
	require.NoError(t, err)
	h.Freeze()
	thaw := sync.OnceFunc(h.Thaw)
	defer thaw()
	heap, goroutines := used(), runtime.NumGoroutine()
	const callers, size = 400, 256 << 10
	slowest := make(chan time.Duration, callers)
	for range callers {
		go func() {
			b, _ := run.Sized(size)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begin := time.Now()
			_, err := tr.Send(ctx, b)
			if err == nil {
				t.Error("acknowledged by nobody")
			}
			slowest <- time.Since(begin)
		}()
	}
	var took []time.Duration
	for range callers {
		took = append(took, <-slowest)
	}
	require.Less(t, slices.Max(took), 8*time.Second, "they wanted to leave after half a second")
	require.Eventually(t, func() bool {
		return runtime.NumGoroutine()-goroutines < callers/4 && int(used())-int(heap) < callers*size/4
	}, 5*time.Second, 100*time.Millisecond, "%d goroutines, %d KiB are left", runtime.NumGoroutine()-goroutines, (int(used())-int(heap))>>10)
	t.Logf("the slowest of %d callers left after %v; %d goroutines and %d KiB are left of them",
		callers, slices.Max(took).Round(time.Millisecond), runtime.NumGoroutine()-goroutines, (int(used())-int(heap))>>10)
	thaw()
	again, in := run.Batch(sdk.TypeSpans, 1, 100)
	require.NoError(t, until(t.Context(), tr, again, recoverWithin))
	items = append(items, in...)
	stored := h.Stored(t, run, items)
	for _, item := range items {
		require.Equal(t, 1, stored[item])
	}
}

func used() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A server that is away is no reason to give up, and the transport finds it again by
// itself, whether it was ever there or not. What it acknowledged is there, once.
func killed(t *testing.T, h Harness) {
	known, run := h.open(t), NewSeries(h.Profile)
	load := steady(t, known, run)
	load.await(t, 20, arriveWithin)
	h.Kill()
	up := false
	defer func() {
		if !up {
			h.Restart()
		}
	}()
	fresh := h.open(t)
	b, items := run.Batch(sdk.TypeSpans, 1, 100)
	for name, tr := range map[string]sdk.Transport{"was connected": known, "was never": fresh} {
		begin := time.Now()
		_, err := tr.Send(t.Context(), b)
		requirePasses(t, err)
		require.Less(t, time.Since(begin), saidWithin, name)
		for _, secret := range h.Secrets {
			require.NotContains(t, err.Error(), secret)
		}
		t.Logf("%s, told after %v: %v", name, time.Since(begin).Round(time.Millisecond), err)
	}
	up = true
	h.Restart()
	back := time.Now()
	require.NoError(t, until(t.Context(), fresh, b, recoverWithin))
	load.await(t, 20, recoverWithin)
	t.Logf("both get through %v after it was back", time.Since(back).Round(time.Millisecond))
	items = append(load.stop(), items...)
	h.requireStored(t, run, items)
	t.Logf("%d items in %s", len(items), load)
}

// Under a steady load, whatever was acknowledged is there, once, although everything
// goes wrong; and callers get through again by themselves.
func underFaults(t *testing.T, h Harness) {
	tr, run := h.open(t), NewSeries(h.Profile)
	load := steady(t, tr, run)
	for _, f := range h.Faults {
		load.await(t, 20, arriveWithin)
		begin := time.Now()
		f.Do(t)
		load.await(t, 5, recoverWithin)
		t.Logf("%s: %v until it went well again", f.Name, time.Since(begin).Round(10*time.Millisecond))
	}
	load.await(t, 20, arriveWithin)
	items := load.stop()
	h.requireStored(t, run, items)
	t.Logf("%d items in %s", len(items), load)
	if len(h.Faults) == 0 {
		t.Fatal(fmt.Errorf("the harness has no faults"))
	}
}
