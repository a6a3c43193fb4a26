package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const settleTimeout = 5 * time.Second

// lease is one batch in a worker's hands, and the batch's settler. It is
// guarded twice: here by a timer that ends before the server would hand the
// entries to others, and there by whom they are with.
type lease struct {
	consumer *consumer
	ids      []string        // by index of the batch
	ctx      context.Context //nolint:containedctx // it is the lease
	cancel   context.CancelCauseFunc
	wait     time.Duration
	free     sync.Once

	// Guarded by consumer.mu.
	given map[string]bool // of ids, those that we have acknowledged or given back
	timer *time.Timer
	since time.Time
}

var _ broker.Settler = (*lease)(nil)

// lease makes a batch of entries. It returns nil when the lease on them is over
// already, or the consumer is closed.
func (k *consumer) lease(es []entry) *broker.Batch {
	hold := safe(k.group.ackWait)
	since := es[0].since
	for i := range es {
		if es[i].since.Before(since) {
			since = es[i].since
		}
	}
	left := time.Until(since.Add(hold))
	if left <= 0 {
		return nil
	}
	l := &lease{consumer: k, ids: make([]string, len(es)), wait: hold, since: since, given: map[string]bool{}}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	ds := make([]broker.Delivery, len(es))
	for i := range es {
		l.ids[i] = es[i].id
		es[i].delivery(k.cfg.Topic, &ds[i])
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	// Close says so first and then, under mu, takes the leases that there are: this
	// one either is among those or is not made.
	if k.closed.Err() != nil {
		k.carry = append(es, k.carry...) // for leave, which waits for this Receive
		return nil
	}
	k.leases[l] = struct{}{}
	l.timer = time.AfterFunc(left, l.lose)
	return broker.NewBatch(l.ctx, ds, hold, l)
}

// safe is when we give a lease up, a little before the server does.
func safe(ackWait time.Duration) time.Duration { return ackWait - min(ackWait/10, time.Second) }

// Ack implements broker.Settler. In the first half of a lease nobody else can
// have the entries, and it is enough to say so. A network that holds this back
// until somebody else has them does no harm either: they were handled.
func (l *lease) Ack(ctx context.Context, idx []int) error {
	l.consumer.mu.Lock()
	young := time.Since(l.since) < l.wait/2
	l.consumer.mu.Unlock()
	if young {
		return l.settle(ctx, "done", 0, idx)
	}
	return l.settle(ctx, "ack", 0, idx)
}

// Retry implements broker.Settler.
func (l *lease) Retry(ctx context.Context, idx []int, after time.Duration) error {
	err := l.settle(ctx, "retry", after, idx)
	if err == nil {
		l.consumer.claimAt(time.Now().Add(after))
	}
	return err
}

// Extend implements broker.Settler.
func (l *lease) Extend(ctx context.Context, idx []int) error {
	start := time.Now()
	if err := l.settle(ctx, "keep", 0, idx); err != nil {
		return err
	}
	l.consumer.mu.Lock()
	defer l.consumer.mu.Unlock()
	l.timer.Reset(time.Until(start.Add(l.wait)))
	l.since = start
	return nil
}

// settle tells the server, as often as it takes within settleTimeout: a
// connection that breaks is made again.
func (l *lease) settle(ctx context.Context, what string, delay time.Duration, idx []int) (err error) {
	ids := make([]string, len(idx))
	for i, n := range idx {
		ids[i] = l.ids[n]
	}
	if what != "keep" {
		// Before the server hears of it: what is given back may be ours again before
		// its answer is, and must not count as this lease's.
		l.give(ids, true)
		defer func() { l.give(ids, err == nil) }()
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)() //nolint:contextcheck // the lease ends it too
	for {
		if l.ctx.Err() != nil {
			return broker.ErrLeaseLost
		}
		err := l.consumer.settle(ctx, what, delay, ids)
		switch {
		case errors.Is(err, broker.ErrLeaseLost):
			l.lose()
			return err
		case !errors.Is(err, broker.ErrUnavailable):
			return err
		}
		if err := l.reconnected(ctx, err); err != nil {
			return err
		}
	}
}

// give notes whether entries have left this lease.
func (l *lease) give(ids []string, gone bool) {
	l.consumer.mu.Lock()
	defer l.consumer.mu.Unlock()
	for _, id := range ids {
		l.given[id] = gone
	}
}

// reconnected waits until it is worth to try again.
func (l *lease) reconnected(ctx context.Context, cause error) error {
	changed, _ := l.consumer.conn.link.state()
	t := time.NewTimer(reconnectMin)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		switch {
		case l.ctx.Err() != nil:
			return broker.ErrLeaseLost
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return fmt.Errorf("settle: %w", cause)
		}
		return ctx.Err()
	}
	return nil
}

// settle does what to entries that we hold: "ack", "retry", "keep", or "done",
// which is ack without looking. It returns ErrLeaseLost, and has
// changed nothing, when one of them is with others.
func (k *consumer) settle(ctx context.Context, what string, delay time.Duration, ids []string) error {
	if what == "done" {
		return k.done(ctx, ids)
	}
	args := make([]any, 6, 6+len(ids))
	low, high := "", ""
	var least, most entryID
	for _, s := range ids {
		id, err := parseID(s)
		if err != nil {
			return fmt.Errorf("settle: %w: %w", broker.ErrInvalid, err)
		}
		if low == "" || id.less(least) {
			low, least = s, id
		}
		if high == "" || most.less(id) {
			high, most = s, id
		}
		args = append(args, s)
	}
	args[0], args[1], args[2], args[3], args[4], args[5] = k.cfg.Group, k.name, what, delay.Milliseconds(), low, high
	out, err := k.conn.run(ctx, settleScript, k.cfg.Topic, args...)
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	if integer(out) > 0 {
		return broker.ErrLeaseLost
	}
	return nil
}

// done acknowledges entries, whoever has them.
func (k *consumer) done(ctx context.Context, ids []string) error {
	k.mu.Lock()
	epoch := k.epoch
	k.mu.Unlock()
	err := k.conn.link.gone()
	if err == nil {
		var n int64
		n, err = k.conn.pub.XAck(ctx, k.conn.stream(k.cfg.Topic), k.cfg.Group, ids...).Result()
		err = k.conn.link.observe(err)
		k.mu.Lock()
		if k.epoch == epoch { // else the server may have counted them out already
			k.settled += n
		}
		k.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// Settled implements broker.Settler.
func (l *lease) Settled() { l.end() }

// lose ends the lease: the server may give the entries to others now.
func (l *lease) lose() {
	l.cancel(broker.ErrLeaseLost)
	l.end()
}

// end frees the slot, once. Taking from slots never waits: Receive has put in
// there what this lease takes out.
func (l *lease) end() {
	l.free.Do(func() {
		k := l.consumer
		k.mu.Lock()
		l.timer.Stop()
		delete(k.leases, l)
		k.mu.Unlock()
		<-k.slots
	})
}
