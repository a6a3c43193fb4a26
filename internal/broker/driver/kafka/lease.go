package kafka

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const settleTimeout = 5 * time.Second

// lease is one batch in a worker's hands, and the batch's settler. It is
// guarded by consumer.mu.
type lease struct {
	k       *consumer
	session *session
	slots   []*slot // by index of the batch
	wait    time.Duration
	ctx     context.Context //nolint:containedctx // it is the lease
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	until   time.Time
	ended   bool
}

var _ broker.Settler = (*lease)(nil)

// newLease starts a lease; consumer.mu is held.
func newLease(k *consumer, s *session, n int) *lease {
	l := &lease{k: k, session: s, slots: make([]*slot, n), wait: k.cfg.AckWait}
	if l.wait <= 0 {
		l.wait = k.conn.group(k.cfg.Topic, k.cfg.Group).AckWait
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.until = time.Now().Add(l.wait)
	l.timer = time.AfterFunc(l.wait, l.expire)
	s.leases[l] = struct{}{}
	return l
}

// hand gives a slot to a lease.
func (s *slot) hand(l *lease) {
	s.state, s.lease = slotLeased, l
	s.attempt++
	s.lane.dirty = true
	if s.key != 0 {
		l.k.busy[s.key]++
	}
}

// take takes a slot from its lease.
func (s *slot) take(state slotState) {
	k := s.lease.k
	s.state, s.lease = state, nil
	s.lane.dirty = true
	if s.key != 0 {
		if k.busy[s.key]--; k.busy[s.key] == 0 {
			delete(k.busy, s.key)
		}
	}
}

// giveBack lets a slot be delivered again from at.
func (s *slot) giveBack(at time.Time) {
	s.take(slotWaiting)
	s.at = at
	s.lane.waiting = append(s.lane.waiting, s)
}

// Ack implements broker.Settler.
func (l *lease) Ack(ctx context.Context, idx []int) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	l.k.mu.Lock()
	if l.ended {
		l.k.mu.Unlock()
		return broker.ErrLeaseLost
	}
	for _, i := range idx {
		l.slots[i].state = slotAcking
		l.slots[i].lane.dirty = true
	}
	l.k.mu.Unlock()
	err := l.session.committed(ctx)
	if err == nil {
		return nil
	}
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	for _, i := range idx {
		s := l.slots[i]
		if s.state != slotAcking {
			continue
		}
		s.state, s.lane.dirty = slotLeased, true
		if l.ended {
			s.giveBack(time.Now())
		}
	}
	if l.ended {
		l.session.wake()
		return broker.ErrLeaseLost
	}
	return err
}

// Retry implements broker.Settler.
func (l *lease) Retry(_ context.Context, idx []int, after time.Duration) error {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	if l.ended {
		return broker.ErrLeaseLost
	}
	at := time.Now().Add(after)
	for _, i := range idx {
		l.slots[i].giveBack(at)
	}
	l.session.wake()
	return nil
}

// Extend implements broker.Settler.
func (l *lease) Extend(context.Context, []int) error {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	if l.ended {
		return broker.ErrLeaseLost
	}
	l.until = time.Now().Add(l.wait)
	l.timer.Reset(l.wait)
	return nil
}

// Settled implements broker.Settler.
func (l *lease) Settled() {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	l.end()
}

// expire gives back what is unsettled when the time is up. A worker that does
// not even ask for more leaves the group.
func (l *lease) expire() {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	if l.ended || time.Now().Before(l.until) { // it was extended at the last moment
		return
	}
	l.k.conn.cfg.Log.Warn("lease ran out", "topic", l.k.cfg.Topic, "group", l.k.cfg.Group, "messages", len(l.slots))
	l.lose(time.Now())
	if !l.k.active {
		l.k.leave()
	}
}

// lose ends the lease; what is unsettled can be delivered again from at.
func (l *lease) lose(at time.Time) {
	l.cancel(broker.ErrLeaseLost)
	for _, s := range l.slots {
		if s.lease == l && s.state == slotLeased {
			s.giveBack(at)
		}
	}
	l.end()
	l.session.wake()
}

// undo takes back a batch that the worker never saw.
func (l *lease) undo() {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	if l.ended {
		return
	}
	for _, s := range l.slots {
		s.attempt--
	}
	l.lose(time.Now())
}

// end frees the slot, once.
func (l *lease) end() {
	if l.ended {
		return
	}
	l.ended = true
	l.timer.Stop()
	delete(l.session.leases, l)
	if len(l.session.leases) == 0 {
		l.session.rest()
	}
	<-l.k.slots
	l.k.signal()
}
