package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server"
	node "github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

// rig is a broker with a topic and a group.
type rig struct {
	*testing.T
	b   broker.Broker
	pub broker.Publisher
}

func newRig(t *testing.T, target string) *rig {
	t.Helper()
	b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: target})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	require.NoError(t, broker.Provision(t.Context(), b.Admin(), broker.TopicSpec{Name: "t"}, broker.GroupSpec{Name: "g"}))
	pub, err := b.Publisher()
	require.NoError(t, err)
	return &rig{T: t, b: b, pub: pub}
}

func (r *rig) consumer(cfg broker.ConsumerConfig) broker.Consumer {
	r.Helper()
	cfg.Topic, cfg.Group = "t", "g"
	if cfg.Linger == 0 {
		cfg.Linger = 20 * time.Millisecond
	}
	c, err := r.b.Consumer(cfg)
	require.NoError(r, err)
	return c
}

func (r *rig) publish(prefix string, n int) {
	r.Helper()
	require.NoError(r, r.pub.Publish(r.Context(), messages(prefix, n)))
}

func messages(prefix string, n int) []broker.Message {
	msgs := make([]broker.Message, n)
	for i := range msgs {
		id := fmt.Sprint(prefix, i)
		msgs[i] = broker.Message{Topic: "t", ID: id, Value: []byte(id)}
	}
	return msgs
}

func (r *rig) receive(c broker.Consumer, within time.Duration) *broker.Batch {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	b, err := c.Receive(ctx)
	require.NoError(r, err)
	return b
}

// A network that swallows everything: publishing ends within its deadline, the
// leases of the old connection are lost, their acknowledgements touch nothing,
// and everything comes back by itself.
func TestBlackhole(t *testing.T) {
	s := node.Start(t, node.Options{})
	proxy := server.NewProxy(t, s.Addr())
	r := newRig(t, "amqp://guest:guest@"+proxy.Addr()+"?publish-timeout=2s&heartbeat=2s")
	r.publish("before", 20)
	c := r.consumer(broker.ConsumerConfig{MaxMessages: 10, MaxInFlight: 4})
	old := r.receive(c, 5*time.Second)
	require.Len(t, old.Deliveries, 10)

	proxy.Swallow()
	var failed []error
	for n, end := 0, time.Now().Add(8*time.Second); time.Now().Before(end); n++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		start := time.Now()
		err := r.pub.Publish(ctx, messages(fmt.Sprintf("during%d-", n), 5))
		cancel()
		require.Error(t, err, "nothing can be confirmed")
		require.Less(t, time.Since(start), 2*time.Second, "no call hangs")
		failed = append(failed, err)
		time.Sleep(10 * time.Millisecond)
	}
	for _, err := range failed {
		require.True(t, errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrUnknownOutcome), "%v", err)
	}
	require.ErrorIs(t, failed[len(failed)-1], broker.ErrUnavailable, "the connection is known to be dead")
	require.ErrorIs(t, context.Cause(old.Context()), broker.ErrLeaseLost)
	require.ErrorIs(t, old.Ack(t.Context()), broker.ErrLeaseLost)

	proxy.Resume()
	start := time.Now()
	require.Eventually(t, func() bool { return r.pub.Publish(t.Context(), messages("after", 20)) == nil }, 20*time.Second, 50*time.Millisecond)
	t.Logf("published again after %v", time.Since(start))
	seen := map[string]bool{}
	for !all(seen, "before", 20) || !all(seen, "after", 20) {
		b := r.receive(c, 15*time.Second)
		require.ErrorIs(t, old.Ack(t.Context()), broker.ErrLeaseLost)
		for _, d := range b.Deliveries {
			seen[string(d.Value)] = true
		}
		require.NoError(t, b.Ack(t.Context()))
	}
	require.Eventually(t, func() bool {
		lag, err := r.b.Admin().Lag(t.Context(), "t", "g")
		return err == nil && lag.Known && lag.Total() == 0
	}, 5*time.Second, 50*time.Millisecond)
}

func all(seen map[string]bool, prefix string, n int) bool {
	for i := range n {
		if !seen[fmt.Sprint(prefix, i)] {
			return false
		}
	}
	return true
}

// A broker that stands still with a full socket: large publishes, whose writes
// block, end within their deadline too.
func TestFrozenWhileWriting(t *testing.T) {
	s := node.Start(t, node.Options{})
	r := newRig(t, s.URL()+"?publish-timeout=3s&heartbeat=2s")
	c := r.consumer(broker.ConsumerConfig{})
	s.Freeze()
	var callers sync.WaitGroup
	for range 6 {
		callers.Go(func() {
			msgs := make([]broker.Message, 4)
			for i := range msgs {
				msgs[i] = broker.Message{Topic: "t", ID: fmt.Sprint("large", i), Value: make([]byte, 8<<20)}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			err := r.pub.Publish(ctx, msgs)
			clear(msgs[0].Value) // ours again: the race detector would see a reader
			if time.Since(start) > 2*time.Second {
				t.Errorf("publish took %v", time.Since(start))
			}
			if !errors.Is(err, broker.ErrUnknownOutcome) && !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrBackpressure) {
				t.Errorf("publish: %v", err)
			}
		})
	}
	callers.Wait()
	require.Error(t, r.b.Ping(t.Context()))
	s.Thaw()
	require.Eventually(t, func() bool { return r.pub.Publish(t.Context(), messages("after", 1)) == nil }, 20*time.Second, 50*time.Millisecond)
	for found := false; !found; {
		b := r.receive(c, 10*time.Second)
		for _, d := range b.Deliveries {
			found = found || string(d.Value) == "after0"
		}
		require.NoError(t, b.Ack(t.Context()))
	}
}

// An alarm: the broker takes no publishes, and says so.
func TestBlockedByAlarm(t *testing.T) {
	s := node.Start(t, node.Options{})
	r := newRig(t, s.URL()+"?publish-timeout=2s")
	s.Settle()
	s.Kill()
	s.Reconfigure(map[string]string{"disk_free_limit.absolute": "1000000GB"})
	s.Restart()
	require.Eventually(t, func() bool { return r.b.Ping(t.Context()) == nil }, 15*time.Second, 20*time.Millisecond)
	start := time.Now()
	err := r.pub.Publish(t.Context(), messages("m", 1))
	require.Error(t, err, "the broker only tells once we publish")
	require.True(t, errors.Is(err, broker.ErrUnknownOutcome) || errors.Is(err, broker.ErrBackpressure), "%v", err)
	require.Less(t, time.Since(start), 3*time.Second)
	start = time.Now()
	require.ErrorIs(t, r.pub.Publish(t.Context(), messages("m", 1)), broker.ErrBackpressure)
	require.ErrorIs(t, r.b.Ping(t.Context()), broker.ErrUnavailable)
	require.Less(t, time.Since(start), time.Second)
}

// Topics that nobody reads lose nothing silently; DLQs keep what they get.
func TestUnread(t *testing.T) {
	s := node.Start(t, node.Options{})
	r := newRig(t, s.URL())
	ctx := t.Context()
	require.NoError(t, r.b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "unread"}))
	err := r.pub.Publish(ctx, []broker.Message{
		{Topic: "unread", ID: "a"}, {Topic: "t", ID: "b"}, {Topic: "missing", ID: "c"}, {Topic: "t.dlq", ID: "d"}, {Topic: "unread", ID: "e"},
	})
	pe, ok := errors.AsType[*broker.PublishError](err)
	require.True(t, ok)
	var failed []int
	for _, f := range pe.Failed {
		require.ErrorIs(t, f.Err, broker.ErrUnroutable)
		failed = append(failed, f.Index)
	}
	require.Equal(t, []int{0, 2, 4}, failed)
	b := r.receive(r.consumer(broker.ConsumerConfig{}), 5*time.Second)
	require.Equal(t, "b", b.Deliveries[0].ID)
	require.NoError(t, b.Ack(ctx))

	require.NoError(t, r.b.Admin().EnsureGroup(ctx, broker.GroupSpec{Topic: "t.dlq", Name: "first"}))
	c, err := r.b.Consumer(broker.ConsumerConfig{Topic: "t.dlq", Group: "first"})
	require.NoError(t, err)
	b = r.receive(c, 5*time.Second)
	require.Equal(t, "d", b.Deliveries[0].ID)
	require.NoError(t, b.Ack(ctx))
}

// Many acknowledgements out of order are heard, each of them: the queue is not
// told faster than it can follow.
func TestAckOutOfOrder(t *testing.T) {
	s := node.Start(t, node.Options{})
	r := newRig(t, s.URL())
	const n = 600
	r.publish("m", n)
	c := r.consumer(broker.ConsumerConfig{MaxMessages: n, Linger: 2 * time.Second})
	b := r.receive(c, 10*time.Second)
	require.Len(t, b.Deliveries, n)
	var some []int
	for i := 1; i < n; i += 2 {
		some = append(some, i)
	}
	start := time.Now()
	require.NoError(t, b.SettleSome(t.Context(), some, nil, 0))
	t.Logf("%d single acknowledgements took %v", len(some), time.Since(start))
	require.NoError(t, c.Close(t.Context()))
	c = r.consumer(broker.ConsumerConfig{})
	seen := map[string]bool{}
	for len(seen) < n/2 {
		b := r.receive(c, 5*time.Second)
		for _, d := range b.Deliveries {
			seen[d.ID] = true
		}
		require.NoError(t, b.Ack(t.Context()))
	}
	for i := range n {
		require.Equal(t, i%2 == 0, seen[fmt.Sprint("m", i)], "m%d", i)
	}
	require.Len(t, slices.Collect(maps.Keys(seen)), n/2)
}
