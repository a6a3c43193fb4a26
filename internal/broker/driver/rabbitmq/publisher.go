package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/semaphore"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	// Bounds of what is sent and not confirmed, per publisher. A small message
	// weighs minWeight, so that the window holds at most windowMessages.
	windowBytes    = 64 << 20
	windowMessages = 4096
	minWeight      = windowBytes / windowMessages

	// lanes is how many channels a publisher has: while one caller sends, others
	// need not wait for it.
	lanes = 4
	// grace is how long a stuck write may outlast its caller's context, before
	// the connection is given up: the library still reads the caller's memory.
	grace = 250 * time.Millisecond
	// tableRoom is what a frame holds beside the headers.
	tableRoom = 4 << 10
)

var (
	errNoGroup = fmt.Errorf("%w: no group reads the topic", broker.ErrUnroutable)
	errFull    = fmt.Errorf("%w: the queue of a group is full", broker.ErrBackpressure)
	errBlocked = fmt.Errorf("%w: the broker raised an alarm about memory or disk", broker.ErrBackpressure)
	errBusy    = fmt.Errorf("%w: all channels stayed busy", broker.ErrBackpressure)
	errLate    = errors.New("no confirm within the publish timeout")
)

// publisher sends messages on a few channels and waits for their confirms.
type publisher struct {
	conn   *conn
	window *semaphore.Weighted
	free   chan *channel // lanes that nobody sends on; nil where none is open yet
	closed atomic.Bool
}

func newPublisher(c *conn) *publisher {
	p := &publisher{conn: c, window: semaphore.NewWeighted(windowBytes), free: make(chan *channel, lanes)}
	for range lanes {
		p.free <- nil
	}
	return p
}

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

// Publish implements broker.Publisher.
func (p *publisher) Publish(ctx context.Context, msgs []broker.Message) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.conn.target.timeout, errLate)
	defer cancel()
	f := &flight{publisher: p, ctx: ctx, msgs: msgs, sent: make([]sent, 0, len(msgs))}
	limit := p.conn.limit()
	for i := range msgs {
		err := broker.ValidMessage(&msgs[i], limit)
		if n := tableBytes(&msgs[i]); err == nil && n > frameBytes-tableRoom {
			err = fmt.Errorf("%w: headers of %d bytes", broker.ErrTooLarge, n)
		}
		f.fail(i, err)
	}
	f.send()
	for f.settled < len(f.sent) {
		f.settle()
	}
	return f.result()
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

func (f *flight) result() error {
	if f.errs == nil {
		return nil
	}
	e := &broker.PublishError{Total: len(f.msgs)}
	for i, err := range f.errs {
		if err != nil {
			e.Failed = append(e.Failed, broker.Failure{Index: i, Err: err})
		}
	}
	return e
}

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
	if err != nil || ch.usable(p) {
		return ch, err
	}
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
		err = f.conn.use(f.ctx, p, topic)
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

// use makes sure that a topic exists and notes that it has been published to.
func (c *conn) use(ctx context.Context, p *peer, topic string) error {
	_, err := with(ctx, p, func(ch *amqp.Channel) (struct{}, error) {
		return struct{}{}, ch.ExchangeDeclarePassive(c.exchange(topic), amqp.ExchangeFanout, true, false, false, false, nil)
	})
	if err != nil {
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	_, err = with(ctx, p, func(ch *amqp.Channel) (struct{}, error) {
		return struct{}{}, ch.ExchangeDeclare(c.used(topic), amqp.ExchangeFanout, true, false, true, false, nil)
	})
	if err != nil && !errors.Is(err, broker.ErrDenied) { // who provisions for us knows what he does
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	c.known.Store(topic, struct{}{})
	return nil
}

// Close implements broker.Publisher.
func (p *publisher) Close(ctx context.Context) error {
	if p.closed.Swap(true) {
		return nil
	}
	defer p.conn.remove(p)
	var err error
	if p.window.Acquire(ctx, windowBytes) != nil {
		err = fmt.Errorf("close publisher: %w", ctx.Err())
	} else {
		p.window.Release(windowBytes)
	}
	var all sync.WaitGroup
	for range lanes {
		select {
		case ch := <-p.free:
			all.Go(func() { ch.close(ctx) })
		case <-ctx.Done():
			return err
		}
	}
	all.Wait()
	for range lanes {
		p.free <- nil
	}
	return err
}
