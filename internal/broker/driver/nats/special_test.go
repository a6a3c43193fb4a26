package nats_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/nats"
	"github.com/driftmesh/driftmesh/test/server"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

func dial(t *testing.T, cfg nats.Config) broker.Broker {
	t.Helper()
	b, err := nats.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

func consumer(t *testing.T, b broker.Broker, topic, group string) broker.Consumer {
	t.Helper()
	c, err := b.Consumer(broker.ConsumerConfig{Topic: topic, Group: group, Linger: 20 * time.Millisecond})
	require.NoError(t, err)
	return c
}

// Messages that retention removes while they wait to be delivered again are
// counted too.
func TestPendingMessagesLostAreCounted(t *testing.T) {
	t.Parallel()
	s := natsserver.Start(t, natsserver.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var lost atomic.Int64
	b := dial(t, nats.Config{URL: s.URL(), Lost: func(_, _ string, n int64) { lost.Add(n) }})
	topic := broker.TopicSpec{Name: "spans", MaxAge: time.Second, Dedupe: 500 * time.Millisecond}
	require.NoError(t, broker.Provision(ctx, b.Admin(), topic, broker.GroupSpec{Name: "g"}))
	p, err := b.Publisher()
	require.NoError(t, err)
	c := consumer(t, b, "spans", "g")
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans"}, {Topic: "spans"}, {Topic: "spans"}}))
	batch, err := c.Receive(ctx)
	require.NoError(t, err)
	require.Len(t, batch.Deliveries, 3)
	require.NoError(t, batch.Settle(ctx, []int{0, 2}, time.Minute))
	require.Eventually(t, func() bool { return lost.Load() == 2 }, 10*time.Second, 20*time.Millisecond)
}

// A server that swallows everything is a server that is away: calls end in
// their time, and all goes on when it is back.
func TestBlackhole(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := natsserver.Start(t, natsserver.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 80*time.Second)
	defer cancel()
	b := dial(t, nats.Config{URL: s.URL() + "?publish-timeout=2s"})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g", AckWait: 5 * time.Second}))
	p, err := b.Publisher()
	require.NoError(t, err)
	c := consumer(t, b, "spans", "g")
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", ID: "before"}}))
	s.Freeze()

	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 3 {
				start := time.Now()
				short, cancel := context.WithTimeout(ctx, 3*time.Second)
				err := p.Publish(short, []broker.Message{{Topic: "spans", Value: make([]byte, 900<<10)}})
				cancel()
				if err == nil || time.Since(start) > 9*time.Second {
					t.Errorf("publish took %v and returned %v", time.Since(start), err)
				}
			}
		})
	}
	callers.Wait()
	require.Error(t, b.Ping(ctx))
	require.Eventually(t, func() bool { // two pings are missed
		start := time.Now()
		err := p.Publish(ctx, []broker.Message{{Topic: "spans"}})
		return err != nil && time.Since(start) < 100*time.Millisecond
	}, 20*time.Second, 50*time.Millisecond, "then it fails at once")
	s.Thaw()
	require.Eventually(t, func() bool { return b.Ping(ctx) == nil }, 20*time.Second, 50*time.Millisecond)
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", ID: "after"}}))
	for seen := map[string]bool{}; !seen["before"] || !seen["after"]; {
		batch, err := c.Receive(ctx)
		require.NoError(t, err)
		for _, d := range batch.Deliveries {
			seen[d.ID] = true
		}
		if err := batch.Ack(ctx); err != nil {
			require.ErrorIs(t, err, broker.ErrLeaseLost)
		}
	}
}

func TestTLSAndCredentials(t *testing.T) {
	t.Parallel()
	s := natsserver.Start(t, natsserver.Options{TLS: server.NewCertificate(t), User: "mesh", Password: "p@ss/word"})
	b := dial(t, nats.Config{URL: s.URL()})
	require.NoError(t, b.Ping(t.Context()))
	require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: "spans"}))
}

// With credentials that are refused from some day on, the client says so and
// asks at most once a second.
func TestRefusedLater(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	dir := t.TempDir()
	s := natsserver.Start(t, natsserver.Options{Dir: dir, User: "mesh", Password: "one"})
	b := dial(t, nats.Config{URL: s.URL()})
	require.NoError(t, b.Ping(t.Context()))
	s.Kill()
	other := natsserver.Start(t, natsserver.Options{Dir: dir, Port: s.Port(), User: "mesh", Password: "two", Monitor: true})
	require.Eventually(t, func() bool { return b.Ping(t.Context()) != nil }, 5*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		err := b.Ping(t.Context())
		return err != nil && strings.Contains(err.Error(), "refused us")
	}, 10*time.Second, 20*time.Millisecond)
	before := other.Connections()
	time.Sleep(3 * time.Second)
	require.LessOrEqual(t, other.Connections()-before, uint64(4))
	p, err := b.Publisher()
	require.NoError(t, err)
	require.ErrorIs(t, p.Publish(t.Context(), []broker.Message{{Topic: "spans"}}), broker.ErrDenied)
}

func TestCloseWhileDown(t *testing.T) {
	t.Parallel()
	s := natsserver.Start(t, natsserver.Options{})
	b := dial(t, nats.Config{URL: s.URL(), Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, broker.Provision(t.Context(), b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
	tail, err := b.Tail(t.Context(), "spans")
	require.NoError(t, err)
	c := consumer(t, b, "spans", "g")
	received := make(chan error, 1)
	go func() {
		_, err := c.Receive(context.Background())
		received <- err
	}()
	s.Kill()
	require.Eventually(t, func() bool { return b.Ping(t.Context()) != nil }, 5*time.Second, 10*time.Millisecond)
	start := time.Now()
	require.NoError(t, tail.Close())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = b.Close(ctx)
	require.Less(t, time.Since(start), 3*time.Second)
	require.ErrorIs(t, <-received, broker.ErrClosed)
	require.ErrorIs(t, b.Ping(t.Context()), broker.ErrUnavailable)
	_, err = b.Publisher()
	require.Error(t, err)
}
