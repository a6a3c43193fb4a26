package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	kafkago "github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Bounds of what is sent and not acknowledged, per publisher. A small message
// weighs minWeight, so that the window holds at most 16384 messages.
const (
	windowBytes = 64 << 20
	minWeight   = windowBytes / (16 << 10)
)

// publisher sends messages through a writer per topic. A writer sends one batch
// at a time to each partition, so retries do not reorder.
type publisher struct {
	conn   *conn
	window *semaphore.Weighted
	turn   atomic.Uint32 // the partition for the next unkeyed messages
	flying sync.WaitGroup
	slabs  sync.Pool // of *slab

	mu      sync.Mutex
	writers map[string]*kafkago.Writer // by topic
	closed  bool
}

func newPublisher(c *conn) *publisher {
	return &publisher{conn: c, window: semaphore.NewWeighted(windowBytes), writers: map[string]*kafkago.Writer{}}
}

// Publish implements broker.Publisher.
func (p *publisher) Publish(ctx context.Context, msgs []broker.Message) error {
	errs := make([]error, len(msgs))
	topics := map[string][]int{}
	for i := range msgs {
		if errs[i] = broker.ValidMessage(&msgs[i], 0); errs[i] == nil {
			topics[msgs[i].Topic] = append(topics[msgs[i].Topic], i)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.conn.target.timeout)
	defer cancel()
	if len(topics) == 1 {
		for topic, idx := range topics {
			p.publish(ctx, topic, msgs, idx, errs)
		}
	} else {
		var all sync.WaitGroup
		for topic, idx := range topics {
			all.Go(func() { p.publish(ctx, topic, msgs, idx, errs) })
		}
		all.Wait()
	}
	return broker.Published(errs)
}

// publish sends the messages of one topic and fills in their errors. What a
// broker refused for a reason that passes, such as a leader that moved, is sent
// again until ctx ends.
func (p *publisher) publish(ctx context.Context, topic string, msgs []broker.Message, idx []int, errs []error) {
	fail := func(idx []int, err error) {
		for _, i := range idx {
			errs[i] = err
		}
	}
	if err := p.ready(ctx); err != nil {
		fail(idx, err)
		return
	}
	k, err := p.conn.topic(ctx, topic)
	if err != nil {
		fail(idx, err)
		return
	}
	sound := make([]int, 0, len(idx))
	for _, i := range idx {
		if errs[i] = broker.ValidMessage(&msgs[i], k.max-frame-broker.ParkRoom); errs[i] == nil {
			sound = append(sound, i)
		}
	}
	size := sizeOf(msgs, sound)
	g := p.conn.gate(topic)
	g.seen(size, int64(len(sound)))
	if err := g.admit(ctx, size); err != nil {
		fail(sound, err)
		return
	}
	defer g.land(size)
	for wait := backoff(0); len(sound) > 0; wait = wait.next() {
		if err := p.send(ctx, topic, k, msgs, sound, errs); err != nil {
			fail(sound, err)
			return
		}
		sound = p.resendable(ctx, topic, sound, errs)
		if len(sound) == 0 || !pause(ctx, wait.duration()) {
			return
		}
		if err := p.ready(ctx); err != nil {
			fail(sound, err)
			return
		}
	}
}

func sizeOf(msgs []broker.Message, idx []int) (n int64) {
	for _, i := range idx {
		n += int64(msgs[i].Size())
	}
	return n
}

// ready returns why nothing can be published now.
func (p *publisher) ready(ctx context.Context) error {
	if err := p.conn.link.err(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	return nil
}

// resendable picks the messages that are worth to be sent again: surely not stored,
// and not for good.
func (p *publisher) resendable(ctx context.Context, topic string, idx []int, errs []error) []int {
	var again []int
	for _, i := range idx {
		err := errs[i]
		if err == nil {
			continue
		}
		p.conn.link.doubt(err)
		if isMoved(err) {
			p.conn.pub.refresh()
			p.conn.topics.seen.Delete(topic)
		}
		if errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrUnknownOutcome) || isUnknownTopic(err) {
			again = append(again, i)
		}
	}
	if len(again) > 0 && isUnknownTopic(errs[again[0]]) {
		// Our knowledge may be out of date, and the topic there.
		if _, err := p.conn.topic(ctx, topic); err != nil {
			for _, i := range again {
				errs[i] = err
			}
			return nil
		}
	}
	return again
}

// send writes messages and waits until each is acknowledged or failed, or ctx
// ends. An error is for all of them.
func (p *publisher) send(ctx context.Context, topic string, k *known, msgs []broker.Message, idx []int, errs []error) error {
	var weight int64
	for _, i := range idx {
		weight += max(int64(msgs[i].Size()), minWeight)
	}
	weight = min(weight, windowBytes)
	if p.window.Acquire(ctx, weight) != nil {
		return fmt.Errorf("%w: the publish window stayed full", broker.ErrBackpressure)
	}
	w, err := p.writer(topic, k)
	if err != nil {
		p.window.Release(weight)
		return err
	}
	s, ok := p.slabs.Get().(*slab)
	if !ok {
		s = &slab{}
	}
	p.encode(s, msgs, idx)
	done := make(chan error, 1)
	go func() {
		defer p.flying.Done()
		defer p.window.Release(weight)
		// Not with our caller's context: the writer would send on regardless.
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.conn.target.timeout)
		defer cancel()
		err := w.WriteMessages(bound, s.msgs...)
		if err == nil && cap(s.bytes) <= slabMost { // else the writer may still hold it, or it is large
			p.slabs.Put(s)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return spread(err, idx, errs)
	case <-ctx.Done():
		p.conn.link.doubt(ctx.Err())
		return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, ctx.Err())
	}
}

// Close implements broker.Publisher.
func (p *publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	writers := p.writers
	p.mu.Unlock()
	if !first {
		return nil
	}
	defer p.conn.children.Remove(p)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.flying.Wait()
		for _, w := range writers {
			_ = w.Close() // returns nil
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close publisher: %w", ctx.Err())
	}
}
