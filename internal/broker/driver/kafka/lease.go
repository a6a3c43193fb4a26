package kafka

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka/frontier"
)

const settleTimeout = 5 * time.Second

// lease is one batch in a worker's hands, and the batch's settler. It is
// guarded by consumer.mu.
//
// A lease may end, by its clock or with the session, while an Ack of it waits
// for a commit. The books keep the two apart: ending it gives back only what is
// held, and an acknowledgement under way is not; if its commit fails, Ack itself
// gives that back.
type lease struct {
	k       *consumer
	session *session
	msgs    []leased // by index of the batch
	wait    time.Duration
	ctx     context.Context //nolint:containedctx // it is the lease
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	until   time.Time
	ended   bool
}

// leased is a message and where it is from. msg is nil when it was given back:
// another lease may have it by now.
type leased struct {
	part *partition
	msg  *frontier.Message
}

var _ broker.Settler = (*lease)(nil)

// newLease starts a lease; consumer.mu is held.
func newLease(k *consumer, s *session, n int) *lease {
	le := &lease{k: k, session: s, msgs: make([]leased, n), wait: k.cfg.AckWait}
	if le.wait <= 0 {
		le.wait = k.conn.group(k.cfg.Topic, k.cfg.Group).AckWait
	}
	le.ctx, le.cancel = context.WithCancelCause(context.Background())
	le.until = time.Now().Add(le.wait)
	le.timer = time.AfterFunc(le.wait, le.expire)
	s.leases[le] = struct{}{}
	return le
}

// Ack implements broker.Settler.
func (le *lease) Ack(ctx context.Context, idx []int) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	le.k.mu.Lock()
	if le.ended {
		le.k.mu.Unlock()
		return broker.ErrLeaseLost
	}
	for _, i := range idx {
		le.msgs[i].part.books.Ack(le.msgs[i].msg)
	}
	le.k.mu.Unlock()
	err := le.session.committed(ctx)
	if err == nil {
		return nil
	}
	le.k.mu.Lock()
	defer le.k.mu.Unlock()
	for _, i := range idx {
		m := le.msgs[i]
		if m.part.books.Unack(m.msg) && le.ended {
			m.part.books.Return(m.msg, time.Now())
		}
	}
	if le.ended {
		le.session.wake()
		return broker.ErrLeaseLost
	}
	return err
}

// Retry implements broker.Settler.
func (le *lease) Retry(_ context.Context, idx []int, after time.Duration) error {
	le.k.mu.Lock()
	defer le.k.mu.Unlock()
	if le.ended {
		return broker.ErrLeaseLost
	}
	due := time.Now().Add(after)
	for _, i := range idx {
		le.msgs[i].part.books.Return(le.msgs[i].msg, due)
		le.msgs[i].msg = nil
	}
	le.session.wake()
	return nil
}

// Extend implements broker.Settler.
func (le *lease) Extend(context.Context, []int) error {
	le.k.mu.Lock()
	defer le.k.mu.Unlock()
	if le.ended {
		return broker.ErrLeaseLost
	}
	le.until = time.Now().Add(le.wait)
	le.timer.Reset(le.wait)
	return nil
}

// Settled implements broker.Settler.
func (le *lease) Settled() {
	le.k.mu.Lock()
	defer le.k.mu.Unlock()
	le.end()
}

// expire gives back what is unsettled when the time is up. A worker that does
// not even ask for more leaves the group.
func (le *lease) expire() {
	le.k.mu.Lock()
	defer le.k.mu.Unlock()
	if le.ended || time.Now().Before(le.until) { // it was extended at the last moment
		return
	}
	le.k.conn.cfg.Log.Warn("lease ran out", "topic", le.k.cfg.Topic, "group", le.k.cfg.Group, "messages", len(le.msgs))
	le.lose(time.Now(), (*frontier.Lane).Return)
	if !le.k.active {
		le.k.leave()
	}
}

// lose ends the lease and gives back what it holds, to come again at due.
// consumer.mu is held; whatever waits for the end of the context runs elsewhere.
func (le *lease) lose(due time.Time, giveBack func(*frontier.Lane, *frontier.Message, time.Time)) {
	le.cancel(broker.ErrLeaseLost)
	for _, m := range le.msgs {
		if m.msg != nil {
			giveBack(m.part.books, m.msg, due)
		}
	}
	le.end()
	le.session.wake()
}

// undo takes back a batch that the worker never saw.
func (le *lease) undo() {
	le.k.mu.Lock()
	defer le.k.mu.Unlock()
	if !le.ended {
		le.lose(time.Now(), (*frontier.Lane).Undeliver)
	}
}

// end frees the slot, once; consumer.mu is held. Taking from slots never waits:
// Receive has put in there what this lease takes out.
func (le *lease) end() {
	if le.ended {
		return
	}
	le.ended = true
	le.timer.Stop()
	delete(le.session.leases, le)
	if len(le.session.leases) == 0 {
		le.session.rest()
	}
	<-le.k.slots
	le.k.signal()
}
