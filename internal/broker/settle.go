package broker

import (
	"context"
	"errors"
	"time"
)

// settle repeats until the broker has heard it, or the lease is lost.
func (w *work) settle(ctx context.Context, ack, retry []int, after time.Duration) bool {
	for n := 0; ; n++ {
		err := w.batch.SettleSome(ctx, ack, retry, after)
		if err == nil {
			return true
		}
		if errors.Is(err, ErrLeaseLost) || ctx.Err() != nil {
			return false
		}
		w.cfg.Log.Warn("batch could not be settled, trying again", "err", err)
		if !w.pauseHard(ctx, backoff(n, w.cfg.BackoffMin, w.cfg.BackoffMax)) {
			return false
		}
	}
}

// pauseHard waits even when the runner stops: what is stored should be
// acknowledged.
func (w *work) pauseHard(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// giveBack returns what is not settled, for others to take over at once.
func (w *work) giveBack(ctx context.Context) {
	idx := w.batch.rest()
	if len(idx) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := w.batch.SettleSome(ctx, nil, idx, 0); err != nil {
		w.cfg.Log.Warn("messages could not be given back, they return when their lease runs out", "messages", len(idx), "err", err)
	}
}

// parkTries is how often the DLQ is tried in place before the message is given
// back, unacknowledged.
const parkTries = 3

// park puts deliveries into the DLQ, tells OnPark, and acknowledges them. What
// cannot be parked comes again.
func (w *work) park(ctx context.Context, idx []int, why func(i int) (Reason, error)) {
	parks := make(map[int]Park, len(idx))
	msgs := make([]Message, len(idx))
	for k, i := range idx {
		d := &w.batch.Deliveries[i]
		p := Park{
			Group: w.cfg.Consumer.Group, Worker: w.cfg.Consumer.Member, At: time.Now(),
			Attempts: max(d.Attempt, w.failures.of(d).given, 1),
		}
		p.Reason, p.Err = why(i)
		parks[i], msgs[k] = p, Parked(d, p)
		if w.cfg.Mark != nil {
			msgs[k].mark(w.cfg.Mark(ctx, d))
		}
	}
	stored, err := w.bury(ctx, idx, msgs)
	if err != nil {
		w.cfg.Log.Error("messages could not be parked, they will come again", "messages", len(idx)-len(stored), "err", err)
	}
	var ack []int
	for _, i := range idx {
		d, p := &w.batch.Deliveries[i], parks[i]
		if !stored[i] {
			w.unparked(ctx, i, err)
			continue
		}
		if w.cfg.OnPark != nil {
			if err := w.cfg.OnPark(ctx, d, p); err != nil {
				w.unparked(ctx, i, err)
				continue
			}
		}
		w.cfg.Log.Error("message parked", "id", d.ID, "position", d.Position, "reason", p.Reason, "attempts", p.Attempts, "err", p.Err)
		ack = append(ack, i)
	}
	if len(ack) == 0 || !w.settle(ctx, ack, nil, 0) {
		return
	}
	for _, i := range ack {
		p := parks[i]
		w.trace.verdict(ctx, i, outcomeDead, p.Reason, p.Err)
		w.failures.forget(&w.batch.Deliveries[i])
		w.telemetry.metrics.parked.WithLabelValues(w.cfg.Consumer.Topic, w.cfg.Consumer.Group, string(p.Reason)).Inc()
	}
}

// bury publishes to the DLQ and returns which deliveries are durable there.
func (w *work) bury(ctx context.Context, idx []int, msgs []Message) (map[int]bool, error) {
	stored := make(map[int]bool, len(idx))
	ctx = untraced(ctx)
	for n := 0; ; n++ {
		err := w.publisher.Publish(ctx, msgs)
		failed := map[int]bool{}
		pe, ok := errors.AsType[*PublishError](err)
		if ok {
			for _, f := range pe.Failed {
				failed[f.Index] = true
			}
		}
		var left []int
		var again []Message
		for k, i := range idx {
			if err != nil && (!ok || failed[k]) {
				left, again = append(left, i), append(again, msgs[k])
			} else {
				stored[i] = true
			}
		}
		if len(left) == 0 || n+1 == parkTries || !w.pause(ctx, backoff(n, w.cfg.BackoffMin, w.cfg.BackoffMax)) {
			return stored, err
		}
		idx, msgs = left, again
	}
}

// unparked gives back what could not be parked, with patience and without
// prejudice.
func (w *work) unparked(ctx context.Context, i int, err error) {
	c := w.failures.add(&w.batch.Deliveries[i], false)
	w.retry(ctx, i, backoff(2*c.given, w.cfg.BackoffMin, w.cfg.BackoffMax), err)
}
