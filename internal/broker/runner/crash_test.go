package runner_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
)

// A bad release dies again and again, more often than anything may be tried, of
// one message among many: its neighbours are stored, and it alone is parked at
// last, with the defaults.
func TestABadReleaseParksOnlyWhatKillsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []string
	for i := range 60 {
		want = append(want, fmt.Sprint("m", i))
	}
	b.publish(want[:30]...)
	b.publish("poison")
	b.publish(want[30:]...)
	var mu sync.Mutex
	done := map[string]bool{}
	deaths := 0
	for ; !b.settled(); deaths++ {
		require.Less(t, deaths, 100, "it ends")
		b.life(func(ds []broker.Delivery) (dies bool) {
			if slices.ContainsFunc(ds, func(d broker.Delivery) bool { return d.ID == "poison" }) {
				return true
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range ds {
				done[ds[i].ID] = true
			}
			return false
		})
	}
	require.Equal(t, map[string]string{"poison": "max_deliveries"}, b.parked())
	require.Len(t, done, len(want))
	require.Greater(t, deaths, runner.DefaultMaxCrashes, "a message is not given up easily")
}

// life is a worker process from its start until its handler dies, which takes
// everything it holds along, or until nothing is left to do.
func (b *bundle) life(handle func([]broker.Delivery) (dies bool)) {
	b.Helper()
	conn := b.server.Open(memory.Options{})
	dead := make(chan struct{})
	die := sync.OnceFunc(func() { close(dead) })
	r, err := runner.New(runner.Config{
		Broker: conn, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, Drain: time.Millisecond,
		Consumer: broker.ConsumerConfig{Topic: "spans", Group: "g", MaxMessages: 16, Linger: 2 * time.Millisecond},
		Handler: func(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			if handle(ds) {
				die()
				<-ctx.Done() // nothing is heard of it any more
				return nil, ctx.Err()
			}
			return nil, nil
		},
	})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	alive := time.NewTicker(time.Millisecond)
	defer alive.Stop()
	for over := false; !over; {
		select {
		case <-dead:
			over = true
		case <-alive.C:
			over = b.settled()
		}
	}
	require.NoError(b, conn.Close(context.Background())) // its leases are lost, and what it says now is not heard
	cancel()
	<-ended
}
