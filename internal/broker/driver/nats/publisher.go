package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/semaphore"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Bounds of what is sent and not acknowledged, per publisher. A small message
// weighs minWeight, so that the window holds at most 4096 messages.
const (
	windowBytes = 64 << 20
	minWeight   = windowBytes / 4096
)

// publisher sends messages with a reply subject each and matches the
// acknowledgements of the server, which come to one subscription.
type publisher struct {
	conn   *conn
	link   *link
	prefix string // of reply subjects
	sub    *nats.Subscription
	window *semaphore.Weighted
	pool   sync.Pool // of *flight

	mu      sync.Mutex
	last    uint64
	pending map[uint64]slot
	closed  bool
}

// slot is one message that waits for its acknowledgement.
type slot struct {
	flight *flight
	topic  string
	index  int
	weight int64
}

// flight is one call of Publish.
type flight struct {
	enc   encoder
	reply []byte
	errs  []error   // by index; guarded by publisher.mu while in flight
	left  int       // guarded by publisher.mu
	sent  bool      // every message is on its way; guarded by publisher.mu
	done  chan bool // capacity 1
	timer *time.Timer
}

func newPublisher(c *conn) (*publisher, error) {
	p := &publisher{
		conn: c, link: c.pub, prefix: c.pub.nc.NewInbox() + ".",
		window: semaphore.NewWeighted(windowBytes), pending: map[uint64]slot{},
	}
	p.pool.New = func() any {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return &flight{done: make(chan bool, 1), timer: t}
	}
	sub, err := p.link.nc.Subscribe(p.prefix+"*", p.acked)
	if err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	p.sub = sub
	p.link.join(p)
	return p, nil
}

// Publish implements broker.Publisher.
func (p *publisher) Publish(ctx context.Context, msgs []broker.Message) error {
	f := p.pool.Get().(*flight)
	f.begin(len(msgs))
	f.timer.Reset(p.conn.target.timeout)
	limit := p.conn.limit()
	for i := range msgs {
		f.errs[i] = broker.ValidMessage(&msgs[i], limit)
	}
	for i := range msgs {
		if f.errs[i] == nil {
			p.send(ctx, f, &msgs[i], i)
		}
	}
	f.enc.release()
	p.wait(ctx, f)
	err := f.result()
	p.pool.Put(f)
	return err
}

func (f *flight) begin(n int) {
	if cap(f.errs) < n {
		f.errs = make([]error, n)
	}
	f.errs = f.errs[:n]
	clear(f.errs)
	f.left, f.sent = 0, false
}

// result is called when nothing refers to the flight any more.
func (f *flight) result() error {
	f.timer.Stop()
	return broker.Published(f.errs)
}

// send puts one message on the wire, or records why it could not.
func (p *publisher) send(ctx context.Context, f *flight, m *broker.Message, i int) {
	if err := ctx.Err(); err != nil {
		p.fail(f, i, fmt.Errorf("%w: %w", broker.ErrUnavailable, err))
		return
	}
	if !p.link.nc.IsConnected() {
		p.fail(f, i, p.link.err())
		return
	}
	weight := min(max(int64(m.Size()), minWeight), windowBytes)
	if !p.window.TryAcquire(weight) {
		if err := p.acquire(ctx, weight); err != nil {
			p.fail(f, i, err)
			return
		}
	}
	id, err := p.register(slot{flight: f, topic: m.Topic, index: i, weight: weight})
	if err != nil {
		p.window.Release(weight)
		p.fail(f, i, err)
		return
	}
	f.reply = strconv.AppendUint(append(f.reply[:0], p.prefix...), id, 36)
	msg := f.enc.encode(m, p.conn.subject(m.Topic), string(f.reply))
	if err := p.link.nc.PublishMsg(msg); err != nil {
		p.resolve(id, sendError(err))
	}
}

// acquire waits for room in the window until ctx or the publish timeout ends.
func (p *publisher) acquire(ctx context.Context, weight int64) error {
	ctx, cancel := context.WithTimeout(ctx, p.conn.target.timeout)
	defer cancel()
	if err := p.window.Acquire(ctx, weight); err != nil {
		return fmt.Errorf("%w: the publish window stayed full", broker.ErrBackpressure)
	}
	return nil
}

func (p *publisher) register(s slot) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, broker.ErrClosed
	}
	p.last++
	p.pending[p.last] = s
	s.flight.left++
	return p.last, nil
}

func (p *publisher) fail(f *flight, i int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.errs[i] = err
}

// resolve ends the wait for one message. Later answers find nothing.
func (p *publisher) resolve(id uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.pending[id]; ok {
		p.settle(id, s, err)
	}
}

// settle is called with mu held. It never waits on done: the last message of a
// flight that is sent happens once, and done has room for that.
func (p *publisher) settle(id uint64, s slot, err error) {
	delete(p.pending, id)
	p.window.Release(s.weight)
	f := s.flight
	f.errs[s.index] = err
	f.left--
	if f.left == 0 && f.sent {
		f.done <- true
	}
}

// wait returns when every message of the flight is resolved.
func (p *publisher) wait(ctx context.Context, f *flight) {
	p.mu.Lock()
	f.sent = true
	left := f.left
	p.mu.Unlock()
	if left == 0 {
		return
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		p.abandon(f, ctx.Err())
	case <-f.timer.C:
		p.abandon(f, errNoAck)
	}
}

var errNoAck = errors.New("no acknowledgement within the publish timeout")

// abandon gives up on what is left of a flight. Under mu either all of it was
// settled, or this settles all of it: done holds its word, which is taken out for
// the next who gets the flight from the pool.
func (p *publisher) abandon(f *flight, cause error) {
	err := fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, cause)
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.left == 0 { // it ended at the same time
		<-f.done
		return
	}
	for id, s := range p.pending {
		if s.flight == f {
			p.settle(id, s, err)
		}
	}
	<-f.done
}

// failAll ends the wait of everything in flight, or of one subject.
func (p *publisher) failAll(err error, subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, s := range p.pending {
		if subject == "" || p.conn.subject(s.topic) == subject {
			p.settle(id, s, err)
		}
	}
}

// refused looks for a refused publish among the asynchronous errors, because
// the server does not answer it otherwise.
func (p *publisher) refused(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	_, after, _ := strings.Cut(err.Error(), `Publish to "`)
	if subject, _, ok := strings.Cut(after, `"`); ok {
		p.failAll(fmt.Errorf("%w: %w", broker.ErrDenied, err), subject)
	}
}

// acked handles the server's answer to one publish.
func (p *publisher) acked(m *nats.Msg) {
	if len(m.Subject) <= len(p.prefix) {
		return
	}
	id, err := strconv.ParseUint(m.Subject[len(p.prefix):], 36, 64)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.pending[id]; ok {
		p.settle(id, s, p.outcome(m, s.topic))
	}
}

// Close implements broker.Publisher.
func (p *publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if !first {
		return nil
	}
	defer p.conn.children.Remove(p)
	defer p.link.leave(p)
	var err error
	if p.window.Acquire(ctx, windowBytes) != nil {
		err = fmt.Errorf("close publisher: %w", ctx.Err())
	} else {
		p.window.Release(windowBytes)
	}
	p.failAll(broker.ErrUnknownOutcome, "")
	if p.link.nc.IsClosed() {
		return err
	}
	if e := p.sub.Unsubscribe(); e != nil && err == nil && !errors.Is(e, nats.ErrConnectionClosed) {
		err = fmt.Errorf("close publisher: %w", e)
	}
	return err
}
