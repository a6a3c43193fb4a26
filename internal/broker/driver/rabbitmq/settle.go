package rabbitmq

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// hold is deliveries that are given back later.
type hold struct {
	tags  []uint64
	timer *time.Timer
}

const (
	// maxHold bounds the delay of a retry: RabbitMQ closes the channel of a
	// consumer that keeps a delivery for 30 minutes.
	maxHold = 10 * time.Minute
	// burst is how many settlements a quorum queue is told without waiting for
	// it. Beyond 32 the broker's channel holds them back, and forgets them if it
	// ends before the queue has caught up.
	burst = 16
)

// settle tells the broker about tags of a lease and waits until it has heard:
// acknowledgements have no answer, but a question asked after them has.
func (s *session) settle(ctx context.Context, l *lease, want []uint64, ack bool) error {
	_, err := call(ctx, s.peer, func() (struct{}, error) {
		s.write.Lock()
		defer s.write.Unlock()
		if s.over || l.lost {
			return struct{}{}, broker.ErrLeaseLost
		}
		if err := s.tell(want, ack); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.ch.Qos(s.prefetch, 0, false)
	})
	if err != nil && s.gone() {
		return broker.ErrLeaseLost
	}
	return err
}

// tell settles tags, those that are not settled yet. write is held.
func (s *session) tell(want []uint64, ack bool) error {
	defer s.count()
	one := func(tag uint64, multiple bool) error {
		if s.told++; s.told > burst {
			if err := s.catchUp(); err != nil {
				return err
			}
		}
		if ack {
			return s.ch.Ack(tag, multiple)
		}
		return s.ch.Nack(tag, multiple, true)
	}
	multiple, single := s.tags.plan(want)
	if multiple > 0 {
		if err := one(multiple, true); err != nil {
			return err
		}
	}
	for _, tag := range single {
		if err := one(tag, false); err != nil {
			return err
		}
	}
	return nil
}

// catchUp waits until the queue has applied what it was told, by asking it for
// a message, which goes through its log like everything else. One that is there
// is a delivery like any other. write is held.
func (s *session) catchUp() error {
	s.told = 0
	in, ok, err := s.ch.Get(s.queue, false)
	if err == nil && ok {
		s.push(s, s.item(&in))
	}
	return err
}

// keep gives deliveries back after a while.
func (s *session) keep(l *lease, want []uint64, after time.Duration) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.over || l.lost {
		return broker.ErrLeaseLost
	}
	for _, tag := range want {
		l.kept[tag] = struct{}{}
	}
	h := &hold{tags: want}
	h.timer = time.AfterFunc(min(after, maxHold), func() { s.release(h) })
	s.holds[h] = struct{}{}
	s.consumer.hold(s, len(want))
	return nil
}

func (s *session) release(h *hold) {
	s.do(func() error {
		delete(s.holds, h)
		s.consumer.hold(s, -len(h.tags))
		return s.tell(h.tags, false)
	})
}

// do runs fn with write held unless the session is over. An error ends the
// session, which gives everything back as well.
func (s *session) do(fn func() error) {
	_, err := call(s.ctx, s.peer, func() (struct{}, error) {
		s.write.Lock()
		defer s.write.Unlock()
		if s.over {
			return struct{}{}, nil
		}
		return struct{}{}, fn()
	})
	if err != nil {
		s.abandon()
	}
}

// suspend gives a lease back that ran out, and with it whatever waits in the
// buffer, unless Receive waits too: a worker that hangs must not keep messages
// from others. The next Receive resumes the session.
func (s *session) suspend(l *lease) {
	s.do(func() error {
		if l.lost {
			return nil
		}
		l.lost = true
		waiting, suspended := s.consumer.clear(s)
		if suspended {
			if err := s.dismiss(); err != nil {
				return err
			}
		}
		return s.tell(append(waiting, l.open()...), false)
	})
}

// refuse gives a delivery back that came while the session was suspended.
func (s *session) refuse(tag uint64) {
	s.do(func() error { return s.tell([]uint64{tag}, false) })
}

// retune starts a consumer with another prefetch; the deliveries of the old one
// still come first. It returns false when it could not.
func (s *session) retune(prefetch int) (done bool) {
	tuned := make(chan bool, 1) // with room: do may have given up on its function, which goes on
	s.do(func() error {
		err := s.consume(prefetch)
		tuned <- err == nil
		return err
	})
	select {
	case done = <-tuned:
	default:
	}
	return done
}
