package redis_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	"github.com/driftmesh/driftmesh/test/server"
	redisserver "github.com/driftmesh/driftmesh/test/server/redis"
)

// A server that swallows everything is a server that is away: calls end in
// their time, and all goes on when it is back.
func TestBlackhole(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Run("frozen server", func(t *testing.T) {
		t.Parallel()
		s := redisserver.Start(t, redisserver.Options{})
		blackhole(t, s.URL(), s.Freeze, s.Thaw)
	})
	t.Run("dead network", func(t *testing.T) {
		t.Parallel()
		s := redisserver.Start(t, redisserver.Options{})
		p := server.NewProxy(t, s.Addr())
		blackhole(t, "redis://"+p.Addr(), p.Swallow, p.Resume)
	})
}

func blackhole(t *testing.T, url string, swallow, resume func()) {
	ctx := limited(t, 80*time.Second)
	b := dial(t, redis.Config{URL: url + "?publish-timeout=2s"})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g", AckWait: 30 * time.Second}))
	p, c := publisher(t, b), consumer(t, b, "spans", "g")
	require.NoError(t, p.Publish(ctx, messages(1, 10)))
	held := receive(t, c, 5*time.Second)
	before := messages(100, 10)
	for i := range before {
		before[i].ID = "before" + before[i].ID
	}
	received := make(chan *broker.Batch, 1)
	go func() { // reads on the server while that goes away
		if batch, err := c.Receive(ctx); err == nil {
			received <- batch
		}
	}()
	time.Sleep(50 * time.Millisecond) // it waits on the server by now; if not, the test is merely easier
	require.NoError(t, p.Publish(ctx, before))
	swallow()

	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 5 {
				start := time.Now()
				short, cancel := context.WithTimeout(ctx, time.Second)
				err := p.Publish(short, []broker.Message{{Topic: "spans", Value: make([]byte, 900<<10), ID: "lost"}})
				cancel()
				passing := errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrUnknownOutcome)
				if !passing || time.Since(start) > 1500*time.Millisecond {
					t.Errorf("publish took %v and returned %v", time.Since(start), err)
				}
			}
		})
	}
	callers.Wait()
	require.ErrorIs(t, b.Ping(ctx), broker.ErrUnavailable)
	require.Eventually(t, func() bool {
		start := time.Now()
		err := p.Publish(ctx, messages(1, 1))
		return err != nil && time.Since(start) < 100*time.Millisecond
	}, 20*time.Second, 50*time.Millisecond, "then it fails at once")
	start := time.Now()
	require.Error(t, held.Ack(ctx))
	require.Less(t, time.Since(start), 7*time.Second)
	resume()
	start = time.Now()
	require.Eventually(t, func() bool { return b.Ping(ctx) == nil }, 10*time.Second, 20*time.Millisecond)
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", ID: "after"}}))
	if err := held.Ack(ctx); err != nil {
		require.ErrorIs(t, err, broker.ErrLeaseLost)
	}
	// Within less than AckWait: also what the server handed out in answers that
	// never came.
	seen := map[string]bool{}
	take := func(batch *broker.Batch) {
		for _, d := range batch.Deliveries {
			if d.ID != "lost" {
				seen[d.ID] = true
			}
		}
		require.NoError(t, batch.Ack(ctx))
	}
	take(<-received)
	for len(seen) < 101 || !seen["after"] {
		take(receive(t, c, 10*time.Second))
	}
	t.Logf("all is there %v after the end of it", time.Since(start))
}

// Connections that read and hear nothing any more say nothing of those that
// publish: not one message is refused for them, and they are made anew.
func TestSilentReadStopsNoPublisher(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	proxy := server.NewProxy(t, s.Addr())
	ctx := limited(t, 60*time.Second)
	b := dial(t, redis.Config{URL: "redis://" + proxy.Addr()})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g", AckWait: 2 * time.Second}))
	received, c := make(chan int, 1), consumer(t, b, "spans", "g")
	go func() {
		for n := 0; n == 0 || ctx.Err() == nil; {
			batch, err := c.Receive(ctx)
			if err != nil {
				return
			}
			if n += len(batch.Deliveries); batch.Deliveries[len(batch.Deliveries)-1].ID == "last" {
				received <- n
				return
			}
			_ = batch.Ack(ctx)
		}
	}()
	p := publisher(t, b)
	require.NoError(t, p.Publish(ctx, messages(1, 1)))
	proxy.SwallowOnly("-reader")
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
				if err := p.Publish(ctx, messages(1, 1)); err != nil {
					t.Errorf("a silent read has stopped a publisher: %v", err)
					return
				}
			}
		})
	}
	callers.Wait() // longer than a read may be silent
	require.NoError(t, b.Ping(ctx))
	proxy.Resume()
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", ID: "last"}}))
	select {
	case <-received:
	case <-ctx.Done():
		t.Fatal("the reader did not recover")
	}
}

func TestTLSAndCredentials(t *testing.T) {
	t.Parallel()
	cert := server.NewCertificate(t)
	s := redisserver.Start(t, redisserver.Options{TLS: cert, Users: map[string]redisserver.User{
		"mesh": {Password: "p@ss/word", Rules: everything},
	}})
	b := dial(t, redis.Config{URL: s.URL()}) // with the CA's file
	require.NoError(t, b.Ping(t.Context()))
	require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: "spans"}))
	require.NoError(t, publisher(t, b).Publish(t.Context(), messages(10, 100<<10)))
	b = dial(t, redis.Config{URL: "redis://mesh:p%40ss%2Fword@" + s.Addr(), TLS: cert.Client})
	require.NoError(t, publisher(t, b).Publish(t.Context(), messages(10, 100<<10)))
}

// With credentials that are refused from some day on, the client says so and
// asks at most once a second.
func TestRefusedLater(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{Users: map[string]redisserver.User{"mesh": {Password: "one", Rules: everything}}})
	b := dial(t, redis.Config{URL: s.URL()})
	ctx := t.Context()
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
	p, c := publisher(t, b), consumer(t, b, "spans", "g")
	bare := admin(t, s)
	require.NoError(t, bare.Do(ctx, "ACL", "SETUSER", "mesh", "resetpass", ">two").Err())
	require.NoError(t, bare.Do(ctx, "CLIENT", "KILL", "USER", "mesh").Err())
	waiting, stop := context.WithTimeout(ctx, 6*time.Second)
	defer stop()
	go func() { _, _ = c.Receive(waiting) }()
	denied := func() bool { return errors.Is(p.Publish(ctx, messages(1, 1)), broker.ErrDenied) }
	require.Eventually(t, denied, 5*time.Second, 10*time.Millisecond)
	connections := func() int64 {
		info := bare.InfoMap(ctx, "stats").Val()
		var n int64
		for _, digit := range info["Stats"]["total_connections_received"] {
			n = n*10 + int64(digit-'0')
		}
		return n
	}
	from := connections()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		require.True(t, denied())
		require.ErrorIs(t, b.Ping(ctx), broker.ErrDenied)
	}
	require.LessOrEqual(t, connections()-from, int64(4))
	require.NotContains(t, p.Publish(ctx, messages(1, 1)).Error(), "one")
	require.NoError(t, bare.Do(ctx, "ACL", "SETUSER", "mesh", "resetpass", ">one").Err())
	require.Eventually(t, func() bool { return p.Publish(ctx, messages(1, 1)) == nil }, 5*time.Second, 20*time.Millisecond)
}

// What a connection is told that is not let in is no answer to what would have
// been sent on it: nothing of that is acknowledged.
func TestWhoIsNotLetInHasPublishedNothing(t *testing.T) {
	for name, shut := range map[string]func(t *testing.T, admin *goredis.Client){
		"nobody more may connect": func(t *testing.T, admin *goredis.Client) {
			require.NoError(t, admin.ConfigSet(t.Context(), "maxclients", "1").Err())
		},
		"the password is another": func(t *testing.T, admin *goredis.Client) {
			require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "mesh", "resetpass", ">other").Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redisserver.Start(t, redisserver.Options{Users: map[string]redisserver.User{"mesh": {Password: "s3cret", Rules: everything}}})
			b := dial(t, redis.Config{URL: s.URL()})
			require.NoError(t, broker.Provision(t.Context(), b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
			p, admin := publisher(t, b), s.Admin()
			defer admin.Close()
			require.NoError(t, p.Publish(t.Context(), messages(1, 1)))
			shut(t, admin)
			acknowledged := 1
			for range 20 { // more than there are connections
				require.NoError(t, admin.ClientKillByFilter(t.Context(), "USER", "mesh").Err())
				if p.Publish(t.Context(), messages(1, 1)) == nil {
					acknowledged++
				}
			}
			n, err := admin.XLen(t.Context(), "driftmesh:{spans}").Result()
			require.NoError(t, err)
			require.GreaterOrEqual(t, int(n), acknowledged, "acknowledged and not stored")
		})
	}
}

func TestCloseWhileDown(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	b := dial(t, redis.Config{URL: s.URL()})
	require.NoError(t, broker.Provision(t.Context(), b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
	tail, err := b.Tail(t.Context(), "spans")
	require.NoError(t, err)
	c := consumer(t, b, "spans", "g")
	received := make(chan error, 1)
	go func() {
		_, err := c.Receive(context.Background())
		received <- err
	}()
	time.Sleep(50 * time.Millisecond) // it waits on the server by now; if not, the test is merely easier
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
	require.ErrorIs(t, err, broker.ErrClosed)
}

// Of several addresses the primary is found, and errors show no password.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	one := redisserver.Start(t, redisserver.Options{})
	port := strings.TrimPrefix(one.Addr(), "127.0.0.1:")
	replica := redisserver.Start(t, redisserver.Options{Config: map[string]string{"replicaof": "127.0.0.1 " + port}})
	ctx := limited(t, 30*time.Second)
	require.NoError(t, dial(t, redis.Config{URL: one.URL()}).Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "spans"}))
	b := dial(t, redis.Config{URL: "redis://127.0.0.1:1," + replica.Addr() + "," + one.Addr()})
	p := publisher(t, b)
	require.Eventually(t, func() bool {
		err := p.Publish(ctx, messages(1, 1))
		return err == nil || !errors.Is(err, broker.ErrUnavailable)
	}, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, p.Publish(ctx, messages(1, 1)))
	synced := func() bool { return admin(t, replica).XLen(ctx, key).Val() == admin(t, one).XLen(ctx, key).Val() }
	require.Eventually(t, synced, 20*time.Second, 100*time.Millisecond)
	one.Kill()
	require.NoError(t, admin(t, replica).ReplicaOf(ctx, "NO", "ONE").Err())
	require.Eventually(t, func() bool { return p.Publish(ctx, messages(1, 1)) == nil }, 20*time.Second, 20*time.Millisecond,
		"after a failover too")
	_, err := redis.Open(ctx, redis.Config{URL: "redis://u:s3cret@" + replica.Addr() + "/x"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "s3cret")
}
