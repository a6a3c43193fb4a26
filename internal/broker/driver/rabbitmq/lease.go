package rabbitmq

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// lease is one batch in a worker's hands, and the batch's settler.
type lease struct {
	session *session
	tags    []uint64        // by index
	ctx     context.Context //nolint:containedctx // it is the lease
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	free    sync.Once

	lost bool                // it ran out; guarded by session.write
	kept map[uint64]struct{} // given back, but later; guarded by session.write
	left int                 // unsettled; guarded by consumer.mu
}

var _ broker.Settler = (*lease)(nil)

// lend makes a batch of items of the current session; mu is held.
func (k *consumer) lend(items []item) *broker.Batch {
	l := &lease{session: k.session, tags: make([]uint64, len(items)), left: len(items), kept: map[uint64]struct{}{}}
	l.ctx, l.cancel = context.WithCancelCause(k.session.ctx)
	ds := make([]broker.Delivery, len(items))
	for i := range items {
		ds[i], l.tags[i] = items[i].Delivery, items[i].tag
	}
	k.leases[l] = struct{}{}
	k.inFlight += len(items)
	l.timer = time.AfterFunc(k.lease, l.expire)
	return broker.NewBatch(l.ctx, ds, k.lease, l)
}

// pick are the tags of some indexes.
func (l *lease) pick(idx []int) []uint64 {
	tags := make([]uint64, len(idx))
	for i, j := range idx {
		tags[i] = l.tags[j]
	}
	return tags
}

// Ack implements broker.Settler.
func (l *lease) Ack(ctx context.Context, idx []int) error {
	return l.settled(len(idx), l.session.settle(ctx, l, l.pick(idx), true))
}

// Retry implements broker.Settler. A delay is kept here: the broker has none.
func (l *lease) Retry(ctx context.Context, idx []int, after time.Duration) error {
	tags := l.pick(idx)
	if after > 0 {
		return l.settled(len(idx), l.session.keep(l, tags, after)) //nolint:contextcheck // it outlives the call
	}
	return l.settled(len(idx), l.session.settle(ctx, l, tags, false))
}

// settled counts what is in flight no more.
func (l *lease) settled(n int, err error) error {
	if err != nil {
		return err
	}
	k := l.session.consumer
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.leases[l]; ok {
		l.left -= n
		k.inFlight -= n
	}
	return nil
}

// Extend implements broker.Settler. The broker knows no lease: it is enough
// that the session goes on.
func (l *lease) Extend(context.Context, []int) error {
	if l.session.gone() {
		return broker.ErrLeaseLost
	}
	k := l.session.consumer
	k.mu.Lock()
	defer k.mu.Unlock()
	l.timer.Reset(k.lease)
	return nil
}

// Settled implements broker.Settler.
func (l *lease) Settled() { l.end() }

// expire ends a lease that ran out and gives what is unsettled to the group.
func (l *lease) expire() {
	s := l.session
	l.cancel(broker.ErrLeaseLost)
	s.suspend(l)
	l.end()
}

// open are the tags that are not given back yet; session.write is held.
func (l *lease) open() []uint64 {
	return slices.DeleteFunc(slices.Clone(l.tags), func(tag uint64) bool {
		_, kept := l.kept[tag]
		return kept
	})
}

// end frees the slot, once. Taking from slots never waits: Receive has put in
// there what this lease takes out.
func (l *lease) end() {
	l.free.Do(func() {
		l.cancel(broker.ErrLeaseLost)
		k := l.session.consumer
		k.mu.Lock()
		l.timer.Stop()
		if _, ok := k.leases[l]; ok && k.session == l.session {
			k.inFlight -= l.left
		}
		delete(k.leases, l)
		k.mu.Unlock()
		<-k.slots
	})
}
