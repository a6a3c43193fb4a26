package rabbitmq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// session is a consumer's channel on one peer. Delivery tags mean something on
// it alone; with it, everything in flight goes back to the group.
type session struct {
	*consumer
	peer   *peer
	queue  string
	ch     *amqp.Channel
	ctx    context.Context //nolint:containedctx // done when the session is over, with the cause ErrLeaseLost
	cancel context.CancelCauseFunc
	resume chan struct{}    // capacity 1: a suspended session is wanted again
	closes chan *amqp.Error // capacity 1: the library would wait to say why

	// Guards what follows and the order of writes to the channel. It is held while
	// the broker answers, but only within call, which ends the connection of one
	// that does not. consumer.mu is taken under it, never the other way.
	write      sync.Mutex
	tags       tags
	told       int // settlements that the queue may not have applied yet
	holds      map[*hold]struct{}
	over       bool
	prefetch   int    // of the consumer; it changes only while pump waits for that
	tag        string // of the consumer; "" while suspended
	deliveries <-chan amqp.Delivery
	retired    []uint64 // last deliveries of consumers before it

	arrivals  atomic.Uint64 // deliveries so far
	workers   atomic.Int32  // consumers that the broker still counts
	dismissed atomic.Int64  // when the last was dismissed, Unix nanoseconds
}

// fading is how long the broker may count a consumer that has ended: its queue
// is told of that last.
const fading = 15 * time.Second

// open is called within call.
func (k *consumer) open(p *peer, queue string, prefetch int) (*session, error) {
	ch, err := p.conn.Channel()
	if err != nil {
		return nil, err
	}
	s := &session{
		consumer: k, peer: p, ch: ch, queue: queue, holds: map[*hold]struct{}{}, resume: make(chan struct{}, 1),
		closes: ch.NotifyClose(make(chan *amqp.Error, 1)),
	}
	if err := s.consume(prefetch); err != nil {
		_ = ch.Close() // closed by the broker already, as a rule
		return nil, fmt.Errorf("consume from queue %s: %w", queue, err)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

// consume starts a consumer with a prefetch of its own. Of the one before it
// remains what it has delivered. write is held.
func (s *session) consume(prefetch int) error {
	if err := s.ch.Qos(prefetch, 0, false); err != nil {
		return err
	}
	tag := tagOf(s.cfg.Member)
	deliveries, err := s.ch.Consume(s.queue, tag, false, false, false, false, nil)
	if err != nil {
		return err
	}
	if err := s.dismiss(); err != nil {
		return err
	}
	s.tag, s.prefetch, s.deliveries = tag, prefetch, deliveries
	s.count()
	return nil
}

// dismiss ends the consumer, if there is one; what it has delivered stays ours.
// write is held.
func (s *session) dismiss() error {
	if s.tag == "" {
		return nil
	}
	err := s.ch.Cancel(s.tag, false)
	s.tag = ""
	s.dismissed.Store(time.Now().UnixNano())
	s.retired = append(s.retired, math.MaxUint64) // until pump knows its last delivery
	s.count()
	return err
}

// count keeps workers: a dismissed consumer counts until all that it delivered
// is settled. write is held.
func (s *session) count() {
	s.retired = slices.DeleteFunc(s.retired, func(last uint64) bool { return last <= s.tags.low })
	n := len(s.retired)
	if s.tag != "" {
		n++
	}
	s.workers.Store(int32(n)) //nolint:gosec // a few
}

// consumers is how many the broker counts, and how many more it may.
func (s *session) consumers() (now, leaving int) {
	if time.Since(time.Unix(0, s.dismissed.Load())) < fading {
		leaving = 1
	}
	return int(s.workers.Load()), leaving
}

// tagOf is a consumer tag that names the member, for people.
func tagOf(member string) string {
	return fmt.Sprintf("%.100s-%s", member, rand.Text()[:8])
}

// pump moves deliveries into the buffer until the channel ends.
func (s *session) pump() {
	last, prefetch := uint64(0), s.prefetch
	for deliveries := s.deliveries; deliveries != nil; deliveries = s.next(deliveries, last, prefetch) {
		tuned := false
		for in := range deliveries {
			last = in.DeliveryTag
			s.arrivals.Add(1)
			it := s.item(&in)
			s.size.add(it.Size())
			s.push(s, it)
			if want := s.size.fit(prefetch); want != prefetch && !tuned && s.retune(want) {
				tuned, prefetch = true, want
			}
		}
	}
}

// next is what to read after a consumer ended, whose last delivery was last; nil
// when the channel did.
func (s *session) next(old <-chan amqp.Delivery, last uint64, prefetch int) <-chan amqp.Delivery {
	for {
		s.write.Lock()
		now, suspended := s.deliveries, s.tag == ""
		for i := range s.retired {
			s.retired[i] = min(s.retired[i], last)
		}
		s.count()
		s.write.Unlock()
		switch {
		case s.gone():
			return nil
		case now != old:
			return now
		case !suspended:
			return nil // the broker cancelled it: the queue is deleted, or moves
		}
		select {
		case <-s.resume:
			if !s.retune(prefetch) {
				return nil
			}
		case <-s.closes:
		case <-s.ctx.Done():
		}
	}
}

// item is a delivery as the buffer holds it.
func (s *session) item(in *amqp.Delivery) item {
	it := item{tag: in.DeliveryTag, at: time.Now()}
	it.Topic, it.Lane, it.Attempt = s.cfg.Topic, s.queue, attempt(in)
	decode(in, &it.Message)
	it.Position = position(&it.Message)
	return it
}

// deafAfter is how long a session with room may hear nothing before the queue is
// asked whether it has something to say.
const deafAfter = 5 * time.Second

// listen gives the session up when the broker does not know any more that it is
// there: messages wait, twice, and none comes. That happens when somebody deletes
// the queue and makes another of that name at once (see mourn). On a new channel
// everything comes. It returns when the session is over.
func (s *session) listen() {
	tick := time.NewTicker(deafAfter)
	defer tick.Stop()
	heard, silences := uint64(0), 0
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		before := heard
		if heard = s.arrivals.Load(); heard != before || !s.hungry(s) {
			silences = 0
			continue
		}
		q, err := s.conn.length(s.ctx, s.peer, s.queue)
		if err == nil && q.Messages == 0 || err != nil && !errors.Is(err, broker.ErrNoGroup) {
			silences = 0
			continue
		}
		if silences++; silences == 2 {
			s.conn.cfg.Log.Warn("messages wait and none comes, joining the group again", "topic", s.cfg.Topic, "group", s.cfg.Group)
			s.abandon()
		}
	}
}

// end is called once, after pump: everything in flight is the group's again.
func (s *session) end() {
	s.finish()
	s.abandon()
}

// finish loses the leases and forgets the buffer.
//
// The leases end before write is waited for: a settlement may hold it until the
// broker has answered.
func (s *session) finish() {
	s.cancel(broker.ErrLeaseLost)
	lost := s.consumer.forget(s)
	for _, l := range lost {
		l.end()
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.over = true
	for h := range s.holds {
		h.timer.Stop()
	}
}

// abandon closes the channel, if it is open; the broker then gives everything
// unsettled back to the group.
func (s *session) abandon() {
	if s.ch.IsClosed() {
		return
	}
	// An error means that the channel is gone, or the connection will be.
	_, _ = call(context.Background(), s.peer, func() (struct{}, error) { return struct{}{}, s.ch.Close() })
}

// leave ends the session from our side, when the consumer is closed.
func (s *session) leave(ctx context.Context) error {
	s.finish()
	if s.ch.IsClosed() {
		return nil
	}
	_, err := call(ctx, s.peer, func() (struct{}, error) {
		s.write.Lock()
		defer s.write.Unlock()
		if s.dismiss() == nil && s.told > 0 {
			// The broker's channel may still hold settlements back that came too fast;
			// it sends them when it hears that the earlier ones are applied.
			_ = s.ch.Qos(s.prefetch, 0, false) // closing reports an error
		}
		return struct{}{}, s.ch.Close()
	})
	if _, down := s.link.current(); down == nil {
		return err
	}
	return nil // the broker has noticed, or will
}

// gone reports whether the session is over or about to be.
func (s *session) gone() bool { return s.ctx.Err() != nil || s.ch.IsClosed() }
