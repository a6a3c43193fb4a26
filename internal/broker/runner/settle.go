package runner

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// settle repeats until the broker has heard it, or the lease is lost.
func (w *work) settle(ctx context.Context, ack, retry []int, after time.Duration) bool {
	for n := 0; ; n++ {
		err := w.batch.SettleSome(ctx, ack, retry, after)
		if err == nil {
			return true
		}
		if errors.Is(err, broker.ErrLeaseLost) || ctx.Err() != nil {
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
	idx := w.batch.Unsettled()
	if len(idx) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	renewed, rest := w.renew(ctx, idx)
	if err := w.batch.SettleSome(ctx, renewed, rest, 0); err != nil {
		w.cfg.Log.Warn("messages could not be given back, they return when their lease runs out", "messages", len(idx), "err", err)
	}
}

// unparked gives back what could not be parked, with patience and without
// prejudice.
func (w *work) unparked(ctx context.Context, i int, err error) {
	c := w.failures.add(&w.batch.Deliveries[i], false)
	w.retry(ctx, i, backoff(2*c.rounds, w.cfg.BackoffMin, w.cfg.BackoffMax), err)
}
