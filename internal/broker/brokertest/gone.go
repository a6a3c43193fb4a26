package brokertest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func goneCases() []testCase {
	return []testCase{
		{name: "TopicGone", slow: true, run: func(e *env) { e.gone("", broker.ErrUnroutable) }},
		{name: "GroupGone", slow: true, run: func(e *env) { e.gone(e.group, broker.ErrNoGroup) }},
		{name: "TopicReadFromItsBeginning", slow: true, run: topicReadFromItsBeginning},
	}
}

// gone deletes the topic, or one group of it, with the broker's own client,
// under a publisher and a worker that go on. The check reports it, Ensure heals
// it, nobody restarts, and what is acknowledged after that arrives.
func (e *env) gone(group string, missing error) {
	e.provision(broker.TopicSpec{})
	admin := e.b.Admin()
	require.NoError(e, admin.Check(e.ctx, e.topic, e.group))
	require.ErrorIs(e, admin.Check(e.ctx, e.topic, e.group, "nobody"), broker.ErrNoGroup)
	require.ErrorIs(e, admin.Check(e.ctx, "no-such-topic"), broker.ErrUnroutable)
	var all tally
	e.member(&all)
	s := e.stream()
	defer s.end()
	require.True(e, within(20*time.Second, func() bool { return all.len() > 500 }), "it works: %v", s.err)

	for round := range 2 { // what was healed breaks and heals again
		e.h.Remove(e, e.server.URL(), e.topic, group)
		var err error
		require.True(e, within(5*time.Second, func() bool {
			err = admin.Check(e.ctx, e.topic, e.group)
			return errors.Is(err, missing)
		}), "the check reports what is gone: %v", err)
		require.ErrorContains(e, err, e.topic)

		require.True(e, within(20*time.Second, func() bool {
			err = errors.Join(
				admin.EnsureTopic(e.ctx, broker.TopicSpec{Name: e.topic}),
				admin.EnsureGroup(e.ctx, broker.GroupSpec{Topic: e.topic, Name: e.group}),
				admin.Check(e.ctx, e.topic, e.group))
			return err == nil
		}), "it heals: %v", err)
		from := s.mark()
		require.True(e, within(20*time.Second, func() bool { return len(s.acked(from)) > 1000 }), "the publisher goes on: %v", s.err)
		want := s.acked(from)
		if !within(20*time.Second, func() bool { return all.has(want) }) {
			lag, err := admin.Lag(e.ctx, e.topic, e.group)
			e.Fatalf("round %d: %d acknowledged after the healing, gone are %q; the lag is %+v %v", round, len(want), all.without(want), lag, err)
		}
	}
}

// A topic deleted and made anew while no worker was there has nothing to do
// with the old one: whoever comes reads it from its beginning.
func topicReadFromItsBeginning(e *env) {
	e.provision(broker.TopicSpec{})
	c := e.consumer(e.b, broker.ConsumerConfig{})
	e.publish(e.messages("old", 500)...)
	require.Len(e, e.drain(c, 500, 20*time.Second), 500)
	require.NoError(e, c.Close(e.ctx))
	e.h.Remove(e, e.server.URL(), e.topic, "")
	admin := e.b.Admin()
	var err error
	require.True(e, within(20*time.Second, func() bool {
		err = errors.Join(
			admin.EnsureTopic(e.ctx, broker.TopicSpec{Name: e.topic}),
			admin.EnsureGroup(e.ctx, broker.GroupSpec{Topic: e.topic, Name: e.group}),
			admin.Check(e.ctx, e.topic, e.group))
		return err == nil
	}), "%v", err)
	// More than were read before: a cursor that was left over hides some.
	msgs := e.messages("new", 2000)
	require.True(e, within(20*time.Second, func() bool {
		err = e.pub.Publish(e.ctx, msgs)
		if pe, ok := errors.AsType[*broker.PublishError](err); ok {
			var left []broker.Message
			for _, f := range pe.Failed {
				left = append(left, msgs[f.Index])
			}
			msgs = left
		}
		return err == nil
	}), "%v", err)
	seen := e.drain(e.consumer(e.b, broker.ConsumerConfig{}), 2000, 20*time.Second)
	for _, v := range names("new", 2000) {
		require.Positive(e, seen[v], "message %q is gone", v)
	}
}

// stream is a publisher that goes on whatever it meets, and remembers what was
// acknowledged.
type stream struct {
	done chan struct{}
	all  sync.WaitGroup

	mu   sync.Mutex
	sent int      // publishes begun
	ok   []string // acknowledged values, by the publish they were of
	of   []int
	err  error // the last
}

func (e *env) stream() *stream {
	s := &stream{done: make(chan struct{})}
	s.all.Go(func() {
		for {
			select {
			case <-s.done:
				return
			case <-e.ctx.Done():
				return
			default:
			}
			n := s.mark()
			msgs := e.messages(fmt.Sprint("s", n, "-"), 20)
			s.note(n, msgs, e.pub.Publish(e.ctx, msgs))
			time.Sleep(2 * time.Millisecond) // steady load, not a flood
		}
	})
	return s
}

// mark begins a publish: what is acknowledged of it and of later ones was sent
// after the call.
func (s *stream) mark() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	return s.sent
}

func (s *stream) note(n int, msgs []broker.Message, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := map[int]bool{}
	if pe, ok := errors.AsType[*broker.PublishError](err); ok {
		for _, f := range pe.Failed {
			failed[f.Index] = true
		}
	}
	if err != nil {
		s.err = err
	}
	for i := range msgs {
		if !failed[i] {
			s.ok, s.of = append(s.ok, msgs[i].ID), append(s.of, n)
		}
	}
}

// acked are the values acknowledged of publishes from one on.
func (s *stream) acked(from int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, n := range s.of { // in order: there is one publisher
		if n >= from {
			return s.ok[i:len(s.ok):len(s.ok)]
		}
	}
	return nil
}

func (s *stream) end() {
	close(s.done)
	s.all.Wait()
}

// without are a few of the values that did not come.
func (c *tally) without(want []string) (gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range want {
		if c.count[v] == 0 && len(gone) < 5 {
			gone = append(gone, v)
		}
	}
	return gone
}

func (c *tally) has(want []string) bool { return len(c.without(want)) == 0 }
