// Package sourcetest is the suite that every source passes: one case per promise of
// package source. A driver's test says how its broker is published to, and which cases
// it cannot satisfy, each with a reason.
package sourcetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/source"
	"github.com/driftmesh/driftmesh/test/server"
)

// Queue and Group are what the sources of the suite are opened with.
const (
	Queue = "Their_queue" // no name that a topic of ours may have
	Group = "suite"
)

// Harness says how to run a broker.
type Harness struct {
	Server server.Broker
	// Open is the driver's.
	Open func(ctx context.Context, url string, how source.Config) (source.Source, error)
	// Make makes the queue as a program of somebody else's does.
	Make func(tb testing.TB)
	// Publish publishes values with the broker's bare client library, as such a program
	// does; with a header where the broker has some.
	Publish func(tb testing.TB, values ...string)
	// State is all that is to be known of what the broker has, but for what is ours: our
	// group, and how far it is.
	State func(tb testing.TB) string
}

// Header is on every message that Harness.Publish publishes, as name and value.
var Header = [2]string{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

// Except names the cases that a driver cannot satisfy, each with the reason.
type Except map[string]string

// Run runs the suite on one server.
func Run(t *testing.T, h Harness, except Except) {
	t.Helper()
	s := &suite{Harness: h}
	for _, c := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"WaitsForTheQueue", s.waitsForTheQueue},
		{"BytesAndHeaders", s.bytesAndHeaders},
		{"WhatIsNotAcknowledgedComesAgain", s.comesAgain},
		{"EachToOne", s.eachToOne},
		{"EachToAll", s.eachToAll},
		{"GivenBackComesAgain", s.givenBack},
		{"ChangesNothing", s.changesNothing},
		{"ServerGone", s.serverGone},
		{"GapsAreTold", s.gaps},
	} {
		t.Run(c.name, func(t *testing.T) {
			if why := except[c.name]; why != "" {
				t.Skip("excepted: " + why)
			}
			c.run(t)
		})
	}
}

// patience is how long something may take.
const patience = 40 * time.Second

type suite struct {
	Harness
	made sync.Once
	n    int
}

// reader is a source and what has come of it.
type reader struct {
	source.Source
	t    testing.TB
	gaps chan time.Duration
}

// open opens a source and waits until it listens.
func (s *suite) open(t *testing.T) *reader {
	t.Helper()
	r := s.openAway(t)
	r.listens()
	return r
}

func (s *suite) openAway(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, gaps: make(chan time.Duration, 8)}
	var err error
	r.Source, err = s.Open(t.Context(), s.Server.URL(), source.Config{
		Consumer: broker.ConsumerConfig{Topic: Queue, Group: Group, Linger: time.Millisecond, MaxMessages: 3, AckWait: time.Minute}.WithDefaults(),
		Gap:      func(deaf time.Duration) { r.gaps <- deaf },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	return r
}

func (r *reader) listens() {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.Ping(r.t.Context()) == nil }, patience, 10*time.Millisecond)
}

// batch is the next batch.
func (r *reader) batch() *broker.Batch {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	b, err := r.Receive(ctx)
	require.NoError(r.t, err)
	return b
}

// all receives and acknowledges until so many came, and gives what they say, sorted.
func (r *reader) all(n int) (values []string) {
	r.t.Helper()
	for len(values) < n {
		b := r.batch()
		for i := range b.Deliveries {
			values = append(values, string(b.Deliveries[i].Value))
		}
		require.NoError(r.t, b.Ack(r.t.Context()))
	}
	slices.Sort(values)
	return values
}

// none requires that nothing comes for a moment.
func (r *reader) none() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 300*time.Millisecond)
	defer cancel()
	b, err := r.Receive(ctx)
	require.ErrorIs(r.t, err, context.DeadlineExceeded, "%v", b)
}

// publish makes the queue if need be, and publishes n new values.
func (s *suite) publish(t *testing.T, n int) (values []string) {
	t.Helper()
	s.made.Do(func() { s.Make(t) })
	for range n {
		s.n++
		values = append(values, fmt.Sprintf(`{"n":%05d}`, s.n))
	}
	s.Publish(t, values...)
	return values
}

func (s *suite) waitsForTheQueue(t *testing.T) {
	r := s.open(t)
	r.none()
	require.Equal(t, s.publish(t, 5), r.all(5))
}

func (s *suite) bytesAndHeaders(t *testing.T) {
	r := s.open(t)
	odd := string([]byte{0, 0xff, '\r', '\n', 0xc3})
	s.Publish(t, odd)
	b := r.batch()
	require.Equal(t, odd, string(b.Deliveries[0].Value))
	if r.Traits().Headers {
		require.Equal(t, Header[1], b.Deliveries[0].Header("traceparent"))
	}
	require.WithinDuration(t, time.Now(), b.Deliveries[0].Time, time.Minute)
	require.NoError(t, b.Ack(t.Context()))
	require.Equal(t, Queue, r.Traits().Queue)
	require.NotEmpty(t, r.Traits().System)
}

// What a worker that goes away has not acknowledged, and what is published while nobody
// is there, comes to the next; what it has acknowledged does not. Until then it is the lag.
func (s *suite) comesAgain(t *testing.T) {
	first := s.open(t)
	require.True(t, first.Traits().Keeps)
	done := s.publish(t, 2)
	require.Equal(t, done, first.all(2))
	left := s.publish(t, 7)
	_ = first.batch()
	require.NoError(t, first.Close(t.Context()))
	left = append(left, s.publish(t, 2)...)
	second := s.open(t)
	require.Eventually(t, func() bool {
		lag, err := second.Lag(t.Context())
		return err == nil && lag.Total() == 9
	}, patience, 50*time.Millisecond)
	require.Equal(t, left, second.all(9))
	second.none()
	require.Eventually(t, func() bool {
		lag, err := second.Lag(t.Context())
		return err == nil && lag.Total() == 0
	}, patience, 50*time.Millisecond)
}

// Of two workers, one gets a message.
func (s *suite) eachToOne(t *testing.T) {
	require.Len(t, s.two(t, 30), 30)
}

// Of two workers, both get a message.
func (s *suite) eachToAll(t *testing.T) {
	require.Len(t, s.two(t, 30), 60)
}

// two gives what two workers got of so many messages.
func (s *suite) two(t *testing.T, n int) (values []string) {
	t.Helper()
	both := []*reader{s.open(t), s.open(t)}
	require.Equal(t, both[0].Traits().Shared, both[1].Traits().Shared)
	want := s.publish(t, n)
	var mu sync.Mutex
	var reading sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	seen := map[string]bool{}
	for _, r := range both {
		reading.Go(func() {
			for {
				b, err := r.Receive(ctx)
				if err != nil {
					return
				}
				mu.Lock()
				for i := range b.Deliveries {
					v := string(b.Deliveries[i].Value)
					values = append(values, v)
					seen[v] = true
				}
				mu.Unlock()
				_ = b.Ack(ctx) // a test that ends is no failure of it
			}
		})
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == n && (both[0].Traits().Shared || len(values) == 2*n)
	}, patience, 10*time.Millisecond)
	time.Sleep(200 * time.Millisecond) // none comes twice
	cancel()
	reading.Wait()
	for _, v := range want {
		require.True(t, seen[v], v)
	}
	return values
}

func (s *suite) givenBack(t *testing.T) {
	r := s.open(t)
	want := s.publish(t, 1)
	b := r.batch()
	require.NoError(t, b.Settle(t.Context(), []int{0}, 0))
	require.Equal(t, want, r.all(1))
}

func (s *suite) changesNothing(t *testing.T) {
	before := s.State(t)
	r := s.open(t)
	require.Len(t, r.all(len(s.publish(t, 3))), 3)
	require.NoError(t, r.Close(t.Context()))
	require.Equal(t, before, s.State(t))
}

// A source outlives its server, and opens while that is away.
func (s *suite) serverGone(t *testing.T) {
	r := s.open(t)
	require.Equal(t, s.publish(t, 1), r.all(1))
	s.Server.Kill()
	require.Eventually(t, func() bool { return r.Ping(t.Context()) != nil }, patience, 10*time.Millisecond)
	late := s.openAway(t)
	require.Error(t, late.Ping(t.Context()))
	s.Server.Restart()
	r.listens()
	late.listens()
	require.NoError(t, late.Close(t.Context()))
	s.Make(t) // what is not durable went with the server
	require.Equal(t, s.publish(t, 3), r.all(3))
}

// Where what is published while nobody listens is lost, it is told for how long.
func (s *suite) gaps(t *testing.T) {
	r := s.open(t)
	require.False(t, r.Traits().Keeps)
	s.Server.Restart()
	select {
	case deaf := <-r.gaps:
		require.Positive(t, deaf)
	case <-time.After(patience):
		require.Fail(t, "nobody told of the gap")
	}
	require.Equal(t, s.publish(t, 1), r.all(1))
	require.Empty(t, r.gaps)
	_, err := r.Lag(t.Context())
	require.ErrorIs(t, err, broker.ErrUnsupported)
}
