package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// spanQueue holds the ended spans that go to one place. It never blocks who ends
// one: what finds no room is dropped and counted. It is a span processor, safe for
// concurrent use.
type spanQueue struct {
	*lane
	batch int
	keep  *keeper // which of the sampled spans go there; nil for all

	// A ring, guarded by the lane's mu.
	ring []sdktrace.ReadOnlySpan
	head int // the oldest
	n    int
}

var _ sdktrace.SpanProcessor = (*spanQueue)(nil)

func newSpanQueue(place string, b spanBatch, inFlight int, p *pace) *spanQueue {
	q := &spanQueue{batch: b.spans, ring: make([]sdktrace.ReadOnlySpan, b.queue)}
	q.lane = newLane(laneConfig{linger: b.delay, inFlight: inFlight}, q, p)
	q.tally.signal, q.tally.place = "spans", place
	return q
}

func (q *spanQueue) waiting() int { return q.n }

func (q *spanQueue) whole() bool { return q.n >= q.batch }

func (q *spanQueue) take() *flight {
	list := make([]sdktrace.ReadOnlySpan, min(q.n, q.batch))
	for i := range list {
		list[i], q.ring[q.head] = q.ring[q.head], nil
		if q.head++; q.head == len(q.ring) {
			q.head = 0
		}
	}
	q.n -= len(list)
	return &flight{items: len(list), load: list}
}

// OnStart implements sdktrace.SpanProcessor.
func (q *spanQueue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// errFull is why a span is dropped when there is no room.
var errFull = errors.New("the queue of spans is full")

// OnEnd implements sdktrace.SpanProcessor.
func (q *spanQueue) OnEnd(s sdktrace.ReadOnlySpan) {
	if sc := s.SpanContext(); !sc.IsSampled() || q.keep != nil && !q.keep.keeps(sc) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		q.tally.lose(DroppedShutdown, 1, ErrClosed)
	case q.n == len(q.ring):
		q.tally.lose(DroppedFull, 1, errFull)
	default:
		i := q.head + q.n
		if i >= len(q.ring) {
			i -= len(q.ring)
		}
		q.ring[i] = s
		q.n++
		q.came()
	}
}

// ForceFlush implements sdktrace.SpanProcessor.
func (q *spanQueue) ForceFlush(ctx context.Context) error { return q.await(ctx, q.hurry()) }

// Shutdown implements sdktrace.SpanProcessor. The client shuts its queues down
// itself, so that a provider which is shut down first loses nothing.
func (q *spanQueue) Shutdown(ctx context.Context) error { return q.ForceFlush(ctx) }

// encoders are used again: each holds the memory of a batch.
var encoders = sync.Pool{New: func() any { return new(encoder) }}

// maxKept is the largest buffer that an encoder keeps for the next batch.
const maxKept = 8 << 20

// toMesh delivers spans to the mesh.
func (c *Client) toMesh(ctx context.Context, q *spanQueue, f *flight) {
	spans, _ := f.load.([]sdktrace.ReadOnlySpan)
	most := c.transport.MaxBytes()
	e, _ := encoders.Get().(*encoder)
	requests, tooLarge := e.encode(spans, min(c.cfg.batchBytes, most), most, q.keep.states())
	if cap(e.buf) <= maxKept {
		encoders.Put(e)
	}
	if tooLarge > 0 {
		q.count(func(t *tally) {
			t.lose(DroppedTooLarge, tooLarge, fmt.Errorf("a span is larger than what can be sent, %d bytes", most))
		})
	}
	f.load = nil // the spans are not needed any more
	clear(spans)
	for _, r := range requests {
		c.deliver(ctx, q.lane, Batch{ID: c.batchID(), Type: TypeSpans, Body: r.body, Items: r.spans})
	}
}

// toExporter delivers spans to another exporter, which knows by itself how often to
// try.
func toExporter(ctx context.Context, q *spanQueue, e sdktrace.SpanExporter, f *flight) {
	spans, _ := f.load.([]sdktrace.ReadOnlySpan)
	if state := q.keep.states(); state != nil {
		for i, s := range spans {
			if ts := state(s); ts != nil {
				spans[i] = restated{ReadOnlySpan: s, context: s.SpanContext().WithTraceState(*ts)}
			}
		}
	}
	err := e.ExportSpans(ctx, spans)
	q.count(func(t *tally) {
		switch {
		case err == nil:
			t.accepted += uint64(f.items)
		case ctx.Err() != nil:
			t.lose(DroppedShutdown, f.items, err)
		default:
			t.lose(DroppedFailed, f.items, err)
		}
	})
}

// restated is a span with another trace state.
type restated struct {
	sdktrace.ReadOnlySpan
	context trace.SpanContext
}

// SpanContext implements sdktrace.ReadOnlySpan.
func (r restated) SpanContext() trace.SpanContext { return r.context }
