package memory

import (
	"context"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

type consumer struct {
	conn    *conn
	cfg     broker.ConsumerConfig
	slots   chan struct{}
	closing chan struct{}
	once    sync.Once
	leases  map[*lease]struct{} // guarded by Server.mu
}

// Receive implements broker.Consumer.
func (k *consumer) Receive(ctx context.Context) (*broker.Batch, error) {
	select {
	case k.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.closing:
		return nil, broker.ErrClosed
	}
	l := &lease{consumer: k}
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	ds, err := k.fill(ctx, l)
	if err != nil {
		l.abandon()
		return nil, err
	}
	return broker.NewBatch(l.ctx, ds, l.wait, l), nil //nolint:contextcheck // the lease outlives the call
}

// fill collects a batch. On an error what was collected is still on the lease.
func (k *consumer) fill(ctx context.Context, l *lease) ([]broker.Delivery, error) {
	var ds []broker.Delivery
	var linger <-chan time.Time
	for {
		g := k.grab(l, &ds)
		if g.full {
			return ds, nil
		}
		if len(ds) > 0 && linger == nil {
			t := time.NewTimer(k.cfg.Linger)
			defer t.Stop()
			linger = t.C
		}
		done, err := k.wait(ctx, g, linger)
		if done || err != nil {
			return ds, err
		}
	}
}

// grabbed says how a grab ended.
type grabbed struct {
	full  bool          // the batch is complete
	wake  chan struct{} // closed when something changes
	again time.Time     // when a retry falls due, or zero
}

// grab takes what is there.
func (k *consumer) grab(l *lease, ds *[]broker.Delivery) grabbed {
	s := k.conn.server
	s.mu.Lock()
	defer s.mu.Unlock()
	out := grabbed{wake: s.wake}
	select {
	case <-k.closing: // its leases are lost: what it took now nobody would get back
		return out
	default:
	}
	t, g, err := s.group(k.cfg.Topic, k.cfg.Group)
	if err != nil {
		return out
	}
	if len(*ds) > 0 && l.group != g {
		out.full = true // the group was made anew: a lease is of one group
		return out
	}
	now := time.Now()
	t.forgets = t.forgets || k.cfg.Forget
	k.conn.report(t, t.trim(now))
	for len(*ds) < k.cfg.MaxMessages {
		seq, again := t.available(g, now)
		out.again = again
		if seq == 0 {
			return out
		}
		if len(*ds) > 0 && l.bytes+int(t.at(seq).size) > k.cfg.MaxBytes {
			out.full = true
			return out
		}
		if len(*ds) == 0 {
			k.start(l, g)
		}
		*ds = append(*ds, t.take(g, l, seq))
	}
	out.full = true
	return out
}

// start begins the lease; Server.mu is held.
func (k *consumer) start(l *lease, g *group) {
	l.group, l.wait = g, g.spec.AckWait
	l.timer = time.AfterFunc(l.wait, l.expire)
	k.leases[l] = struct{}{}
}

// wait returns when it may be worth to grab again, or done after the linger.
func (k *consumer) wait(ctx context.Context, g grabbed, linger <-chan time.Time) (done bool, err error) {
	var due <-chan time.Time
	if !g.again.IsZero() {
		t := time.NewTimer(time.Until(g.again))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-g.wake:
	case <-due:
	case <-linger:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-k.closing:
		return false, broker.ErrClosed
	}
	return false, nil
}

// Close implements broker.Consumer.
func (k *consumer) Close(context.Context) error {
	k.once.Do(func() {
		close(k.closing)
		s := k.conn.server
		s.mu.Lock()
		defer s.mu.Unlock()
		for l := range k.leases {
			l.drop(time.Now())
		}
		s.changed()
	})
	return nil
}
