package memory

import (
	"context"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// lease is one batch in a worker's hands, and the batch's settler. It is
// guarded by Server.mu.
type lease struct {
	consumer *consumer
	group    *group
	seqs     []uint64 // by index of the batch
	bytes    int
	wait     time.Duration
	timer    *time.Timer
	ctx      context.Context //nolint:containedctx // it is the lease
	cancel   context.CancelCauseFunc
	free     sync.Once
}

var _ broker.Settler = (*lease)(nil)

// Ack implements broker.Settler.
func (l *lease) Ack(_ context.Context, idx []int) error {
	return l.settle(idx, func(seq uint64) {
		delete(l.group.pending, seq)
		delete(l.group.attempts, seq)
	})
}

// Retry implements broker.Settler.
func (l *lease) Retry(_ context.Context, idx []int, after time.Duration) error {
	at := time.Now().Add(after)
	return l.settle(idx, func(seq uint64) {
		delete(l.group.pending, seq)
		l.group.again[seq] = at
	})
}

// settle applies fn to the sequences, all of which must be on this lease.
func (l *lease) settle(idx []int, fn func(seq uint64)) error {
	s := l.consumer.conn.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return broker.ErrUnavailable
	}
	for _, i := range idx {
		if l.group.pending[l.seqs[i]] != l {
			return broker.ErrLeaseLost
		}
	}
	for _, i := range idx {
		fn(l.seqs[i])
	}
	s.changed()
	return nil
}

// Extend implements broker.Settler.
func (l *lease) Extend(context.Context, []int) error {
	s := l.consumer.conn.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return broker.ErrUnavailable
	}
	if l.ctx.Err() != nil {
		return broker.ErrLeaseLost
	}
	l.timer.Reset(l.wait)
	return nil
}

// Settled implements broker.Settler.
func (l *lease) Settled() {
	s := l.consumer.conn.server
	s.mu.Lock()
	defer s.mu.Unlock()
	l.end()
}

// expire gives back what is unsettled when the time is up.
func (l *lease) expire() {
	s := l.consumer.conn.server
	s.mu.Lock()
	defer s.mu.Unlock()
	l.drop(time.Now())
	s.changed()
}

// drop loses the lease; what is unsettled can be delivered again from at.
func (l *lease) drop(at time.Time) {
	l.cancel(broker.ErrLeaseLost)
	for _, seq := range l.seqs {
		if l.group.pending[seq] == l {
			delete(l.group.pending, seq)
			l.group.again[seq] = at
		}
	}
	l.end()
}

// abandon undoes a Receive that failed: the deliveries were never seen.
func (l *lease) abandon() {
	s := l.consumer.conn.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.group != nil {
		for _, seq := range l.seqs {
			if l.group.pending[seq] == l {
				l.group.attempts[seq]--
			}
		}
		l.drop(time.Now())
		s.changed()
		return
	}
	l.cancel(broker.ErrLeaseLost)
	l.end()
}

// end frees the slot; it may be called again.
func (l *lease) end() {
	l.free.Do(func() {
		if l.timer != nil {
			l.timer.Stop()
		}
		delete(l.consumer.leases, l)
		<-l.consumer.slots
	})
}
