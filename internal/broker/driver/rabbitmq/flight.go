package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// flight is one call of Publish.
type flight struct {
	*publisher
	ctx     context.Context //nolint:containedctx // of the call
	msgs    []broker.Message
	errs    []error // by index; nil while there is none
	sent    []sent  // in order
	settled int     // how many of sent are
	enc     encoder
	topics  map[string]error // checked in this flight
}

// sent is one message that waits for its confirm.
type sent struct {
	index  int
	number uint64
	weight int64
	ch     *channel
	dc     *amqp.DeferredConfirmation
}

func (f *flight) fail(i int, err error) {
	if err == nil {
		return
	}
	if f.errs == nil {
		f.errs = make([]error, len(f.msgs))
	}
	f.errs[i] = err
}

func (f *flight) failed(i int) bool { return f.errs != nil && f.errs[i] != nil }

func (f *flight) result() error { return broker.Published(f.errs) }

// send puts everything on the wire, or records why it could not.
func (f *flight) send() {
	ch, err := f.take()
	if err == nil {
		defer f.guard(ch.peer)()
	}
	if !errors.Is(err, errBusy) {
		defer func() { f.free <- ch }()
	}
	defer f.enc.release()
	now := time.Now()
	for i := range f.msgs {
		if f.failed(i) {
			continue
		}
		if err == nil {
			err = f.sendable(ch)
		}
		if err != nil {
			f.fail(i, err)
			continue
		}
		f.fail(i, f.sendOne(ch, i, now))
	}
}

// take waits for a lane and makes sure that it is open. The lane is the
// flight's until it is put back into free, except after errBusy.
func (f *flight) take() (*channel, error) {
	var ch *channel
	select {
	case ch = <-f.free:
	case <-f.ctx.Done():
		return nil, fmt.Errorf("%w: %w", errBusy, context.Cause(f.ctx))
	}
	if f.closed.Load() {
		return ch, broker.ErrClosed
	}
	p, err := f.conn.pub.current()
	if err == nil && p.blocked.Load() {
		err = errBlocked
	}
	if err != nil || ch.usable(p) {
		return ch, err
	}
	ch.close(f.ctx)
	fresh, err := call(f.ctx, p, func() (*channel, error) { return openChannel(p) })
	if err != nil {
		return nil, err
	}
	return fresh, nil
}

// guard ends the connection when a write outlasts the call: the peer does not
// read, and the library would hold the caller's memory. The returned function
// is called when nothing is written any more.
func (f *flight) guard(p *peer) (done func()) {
	var writing atomic.Bool
	writing.Store(true)
	stop := context.AfterFunc(f.ctx, func() {
		time.AfterFunc(grace, func() {
			if writing.Load() {
				p.abort()
			}
		})
	})
	return func() {
		writing.Store(false)
		stop()
	}
}

// sendable says why nothing can be sent on a channel now.
func (f *flight) sendable(ch *channel) error {
	switch {
	case f.ctx.Err() != nil:
		return ended(f.ctx)
	case ch.peer.blocked.Load():
		return errBlocked
	case ch.ch.IsClosed():
		return fmt.Errorf("%w: the channel ended", broker.ErrUnavailable)
	}
	return nil
}

func (f *flight) sendOne(ch *channel, i int, now time.Time) error {
	m := &f.msgs[i]
	if err := f.exists(ch.peer, m.Topic); err != nil {
		return err
	}
	weight := min(max(int64(m.Size()), minWeight), windowBytes)
	if err := f.reserve(weight); err != nil {
		return err
	}
	key, out := f.enc.encode(m, now)
	dc, number, err := ch.send(f.conn.exchange(m.Topic), key, &out)
	if err != nil {
		f.window.Release(weight)
		if errors.Is(err, amqp.ErrClosed) {
			return fmt.Errorf("%w: %w", broker.ErrUnavailable, err) // before anything was written
		}
		return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err)
	}
	f.sent = append(f.sent, sent{index: i, number: number, weight: weight, ch: ch, dc: dc})
	return nil
}

// exists returns ErrUnroutable for a topic that does not exist: publishing to
// it would end the channel, and with it its neighbours.
func (f *flight) exists(p *peer, topic string) error {
	if _, ok := f.conn.known.Load(topic); ok {
		return nil
	}
	err, checked := f.topics[topic]
	if !checked {
		if err = f.conn.present(f.ctx, p, topic); err == nil {
			f.conn.known.Store(topic, struct{}{})
		}
		if f.topics == nil {
			f.topics = map[string]error{}
		}
		f.topics[topic] = err
	}
	return err
}

// reserve takes room in the window. While there is none, it settles what this
// flight has sent.
func (f *flight) reserve(weight int64) error {
	for !f.window.TryAcquire(weight) {
		if f.settled < len(f.sent) {
			f.settle()
			continue
		}
		if f.window.Acquire(f.ctx, weight) != nil {
			return fmt.Errorf("%w: the publish window stayed full: %w", broker.ErrBackpressure, context.Cause(f.ctx))
		}
		break
	}
	return nil
}

// settle waits for the oldest confirm, or until the call ends.
func (f *flight) settle() {
	s := f.sent[f.settled]
	f.settled++
	defer f.window.Release(s.weight)
	select {
	case <-s.dc.Done():
	default:
		select {
		case <-s.dc.Done():
		case <-f.ctx.Done():
			if errors.Is(context.Cause(f.ctx), errLate) {
				s.ch.mute.Store(true)
			}
			f.fail(s.index, fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, context.Cause(f.ctx)))
			return
		}
	}
	f.fail(s.index, f.outcome(s))
}

func (f *flight) outcome(s sent) error {
	m := &f.msgs[s.index]
	switch {
	case s.ch.cameBack(s.number):
		return errNoGroup
	case s.dc.Acked():
		return nil
	case !s.ch.ch.IsClosed():
		return errFull
	}
	err := s.ch.lost(f.conn.exchange(m.Topic), len(m.Value))
	if errors.Is(err, broker.ErrUnroutable) {
		f.conn.known.Delete(m.Topic)
	}
	return err
}
