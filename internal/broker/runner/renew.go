package runner

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// A broker counts every delivery alike: one that ended because a neighbour was
// away or a worker stopped, and one that ended because its worker died. A later
// process cannot tell which they were. So the count is made to mean one thing. A
// message that has been delivered more than MaxAttempts times, and is given back
// by a worker that is alive, is published anew under another id, and the count
// begins again: what a high count is made of are deliveries that ended without a
// word, and only that is evidence of a message that kills its workers.

// handBack gives deliveries back, to come again not before after as well as the
// broker can; one that is published anew comes when its turn is.
func (w *work) handBack(ctx context.Context, idx []int, after time.Duration) bool {
	renewed, rest := w.renew(ctx, idx)
	return w.settle(ctx, renewed, rest, after)
}

// renew publishes anew what was delivered too often. What it could not publish
// is among the rest: then the count goes on, and the next worker tries.
func (w *work) renew(ctx context.Context, idx []int) (renewed, rest []int) {
	var old []int
	var msgs []broker.Message
	vouched := true
	for _, i := range idx {
		var m broker.Message
		if vouched && w.batch.Deliveries[i].Attempt > w.cfg.MaxAttempts {
			// Who vouches for one message and not for the next is away.
			if m, vouched = w.anew(ctx, i); vouched {
				old, msgs = append(old, i), append(msgs, m)
				continue
			}
		}
		rest = append(rest, i)
	}
	if len(msgs) == 0 {
		return nil, rest
	}
	for k, err := range fateOf(w.publisher.Publish(untraced(ctx), msgs), len(msgs)) {
		if err != nil {
			rest = append(rest, old[k])
			continue
		}
		renewed = append(renewed, old[k])
		w.failures.renewed(&w.batch.Deliveries[old[k]], msgs[k].ID)
	}
	w.telemetry.metrics.renewed.WithLabelValues(w.cfg.Consumer.Topic, w.cfg.Consumer.Group).Add(float64(len(renewed)))
	return renewed, rest
}

// anew is the message to publish in the place of a delivery: for the ledger it
// is the same. ok is false when nobody can vouch for that now.
func (w *work) anew(ctx context.Context, i int) (m broker.Message, ok bool) {
	d := &w.batch.Deliveries[i]
	m = published(d)
	if w.cfg.Mark == nil {
		return m, true
	}
	marks := w.cfg.Mark(ctx, d)
	mark(&m, marks)
	return m, len(marks) > 0
}
