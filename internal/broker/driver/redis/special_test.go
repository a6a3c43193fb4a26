package redis_test

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	"github.com/driftmesh/driftmesh/test/server"
	redisserver "github.com/driftmesh/driftmesh/test/server/redis"
)

const key = "driftmesh:{spans}" // of the topic of all tests here

func dial(t testing.TB, cfg redis.Config) broker.Broker {
	t.Helper()
	b, err := redis.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

func limited(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func publisher(t testing.TB, b broker.Broker) broker.Publisher {
	t.Helper()
	p, err := b.Publisher()
	require.NoError(t, err)
	return p
}

func consumer(t testing.TB, b broker.Broker, topic, group string) broker.Consumer {
	t.Helper()
	c, err := b.Consumer(broker.ConsumerConfig{Topic: topic, Group: group, Linger: 20 * time.Millisecond})
	require.NoError(t, err)
	return c
}

func admin(t testing.TB, s *redisserver.Server) *goredis.Client {
	t.Helper()
	c := s.Admin()
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func messages(n, size int) []broker.Message {
	msgs := make([]broker.Message, n)
	for i := range msgs {
		msgs[i] = broker.Message{Topic: "spans", Value: make([]byte, size), ID: strconv.Itoa(i)}
	}
	return msgs
}

// receive returns the next batch.
func receive(t *testing.T, c broker.Consumer, within time.Duration) *broker.Batch {
	t.Helper()
	b, err := c.Receive(limited(t, within))
	require.NoError(t, err)
	return b
}

// drain acknowledges n messages and returns their ids.
func drain(t *testing.T, c broker.Consumer, n int, within time.Duration) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for end := time.Now().Add(within); len(seen) < n; {
		b := receive(t, c, time.Until(end))
		for _, d := range b.Deliveries {
			seen[d.ID]++
		}
		require.NoError(t, b.Ack(t.Context()))
	}
	return seen
}

// What is there keeps its settings, and all go by them.
func TestSettingsStay(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 30*time.Second)
	b := dial(t, redis.Config{URL: s.URL()})
	admins := admin(t, s)
	topic := broker.TopicSpec{Name: "spans", MaxBytes: 1 << 20, MaxAge: time.Hour}
	require.NoError(t, broker.Provision(ctx, b.Admin(), topic, broker.GroupSpec{Name: "g", AckWait: time.Second}))
	require.NoError(t, admins.HSet(ctx, key+":settings", "max_bytes", 2<<20).Err(), "an operator's")
	have := admins.HGetAll(ctx, key+":settings").Val()
	topic.MaxBytes, topic.MaxAge = 4<<20, 2*time.Hour
	require.NoError(t, broker.Provision(ctx, b.Admin(), topic, broker.GroupSpec{Name: "g", AckWait: time.Minute}))
	delete(have, "looked")
	now := admins.HGetAll(ctx, key+":settings").Val()
	for name, value := range have {
		require.Equal(t, value, now[name], name)
	}
	require.Equal(t, "2097152", now["max_bytes"])
	require.JSONEq(t, `{"ack_wait_ms":1000,"max_in_flight":16384,"may_lose":false}`, now["group:g"])
}

// Messages that are removed while they wait to be delivered again are counted,
// whoever removed them.
func TestPendingMessagesLostAreCounted(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 30*time.Second)
	var lost atomic.Int64
	b := dial(t, redis.Config{URL: s.URL(), Lost: func(_, _ string, n int64) { lost.Add(n) }})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g", AckWait: time.Second}))
	c := consumer(t, b, "spans", "g")
	require.NoError(t, publisher(t, b).Publish(ctx, messages(5, 10)))
	batch := receive(t, c, 5*time.Second)
	require.Len(t, batch.Deliveries, 5)
	require.NoError(t, batch.Settle(ctx, []int{0, 2}, 200*time.Millisecond))
	require.NoError(t, admin(t, s).XTrimMaxLen(ctx, key, 1).Err())
	_, err := c.Receive(limited(t, time.Second))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualValues(t, 2, lost.Load())
	lag, err := b.Admin().Lag(ctx, "spans", "g")
	require.NoError(t, err)
	require.Zero(t, lag.Total())
}

// A server without memory refuses messages, and lets workers work.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 60*time.Second)
	b := dial(t, redis.Config{URL: s.URL()})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: 8 << 20}, broker.GroupSpec{Name: "g"}))
	p, c := publisher(t, b), consumer(t, b, "spans", "g")
	s.Set("maxmemory", "16mb")
	sent := 0
	var err error
	for sent < 1000 && err == nil {
		if err = p.Publish(ctx, messages(1, 64<<10)); err == nil {
			sent++
		}
	}
	require.ErrorIs(t, err, broker.ErrBackpressure)
	require.NotErrorIs(t, err, broker.ErrUnknownOutcome)
	require.NoError(t, b.Ping(ctx), "the connection is fine")
	for got := 0; got < sent; {
		batch := receive(t, c, 5*time.Second)
		got += len(batch.Deliveries)
		require.NoError(t, batch.Ack(ctx))
	}
	require.Eventually(t, func() bool { return p.Publish(ctx, messages(1, 64<<10)) == nil },
		10*time.Second, 50*time.Millisecond, "trimming makes room without any memory to spare")
}

// A restart of the server, which forgets how many entries were read, leaves lag
// and losses exact.
func TestCountsSurviveARestart(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 60*time.Second)
	var lost atomic.Int64
	b := dial(t, redis.Config{URL: s.URL(), Lost: func(_, _ string, n int64) { lost.Add(n) }})
	topic := broker.TopicSpec{Name: "spans", MaxAge: 10 * time.Second}
	require.NoError(t, broker.Provision(ctx, b.Admin(), topic, broker.GroupSpec{Name: "g"}, broker.GroupSpec{Name: "idle", MayLose: true}))
	require.NoError(t, publisher(t, b).Publish(ctx, messages(5000, 100)))
	c, err := b.Consumer(broker.ConsumerConfig{Topic: "spans", Group: "g", MaxMessages: 100, Linger: 20 * time.Millisecond})
	require.NoError(t, err)
	unread := int64(5000)
	take := func() {
		batch := receive(t, c, 5*time.Second)
		require.NoError(t, batch.Ack(ctx))
		unread -= int64(len(batch.Deliveries))
	}
	for range 12 {
		take()
	}
	s.Kill()
	s.Restart()
	require.Eventually(t, func() bool {
		lag, err := b.Admin().Lag(ctx, "spans", "g")
		return err == nil && lag.Known && lag.Pending == unread && lag.InFlight == 0
	}, 5*time.Second, 20*time.Millisecond)
	take()
	require.Eventually(t, func() bool { return lost.Load() > 0 }, 20*time.Second, 50*time.Millisecond)
	require.Equal(t, unread, lost.Load())
}

// The group's MaxInFlight bounds what all workers have together.
func TestMaxInFlightOfTheGroup(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 30*time.Second)
	b := dial(t, redis.Config{URL: s.URL()})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g", MaxInFlight: 100}))
	require.NoError(t, publisher(t, b).Publish(ctx, messages(300, 10)))
	batch := receive(t, consumer(t, b, "spans", "g"), 5*time.Second)
	require.Len(t, batch.Deliveries, 100)
	other := consumer(t, b, "spans", "g")
	_, err := other.Receive(limited(t, time.Second))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, batch.Ack(ctx))
	require.Len(t, receive(t, other, 5*time.Second).Deliveries, 100)
}

// A worker that leaves leaves nothing behind, and what it had read and not
// handed out counts as never delivered.
func TestLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 30*time.Second)
	b := dial(t, redis.Config{URL: s.URL()})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
	require.NoError(t, publisher(t, b).Publish(ctx, messages(40, 10<<10)))
	c, err := b.Consumer(broker.ConsumerConfig{Topic: "spans", Group: "g", MaxBytes: 128 << 10, Member: "one"})
	require.NoError(t, err)
	batch := receive(t, c, 5*time.Second)
	require.NoError(t, c.Close(ctx))
	consumers := admin(t, s).XInfoConsumers(ctx, key, "g").Val()
	require.Len(t, consumers, 1)
	require.Equal(t, "returned", consumers[0].Name)
	attempts := map[int]int{}
	for n := 0; n < 40; {
		again := receive(t, consumer(t, b, "spans", "g"), 5*time.Second)
		for _, d := range again.Deliveries {
			attempts[d.Attempt]++
		}
		n += len(again.Deliveries)
		require.NoError(t, again.Ack(ctx))
	}
	require.Equal(t, map[int]int{2: len(batch.Deliveries), 1: 40 - len(batch.Deliveries)}, attempts)
}

// One field is all a producer needs.
func TestRedisCLI(t *testing.T) {
	t.Parallel()
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		server.Missing(t, "redis", "redis-cli is not there; scripts/setup.sh installs it")
	}
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 30*time.Second)
	b := dial(t, redis.Config{URL: s.URL()})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
	out, err := exec.CommandContext(ctx, cli, "-u", s.URL(), "XADD", key, "NOMKSTREAM", "*", "v", "payload", "h:Tenant", "acme").CombinedOutput()
	require.NoError(t, err, string(out))
	d := receive(t, consumer(t, b, "spans", "g"), 5*time.Second).Deliveries[0]
	require.Equal(t, "payload", string(d.Value))
	require.Equal(t, "acme", d.Header("tenant"))
	require.Nil(t, d.Key)
	require.Empty(t, d.ID)
	require.WithinDuration(t, time.Now(), d.Time, time.Minute)
	require.Equal(t, d.Position, string(out[:len(out)-1]))
}

// The server's own settings say how durable a message is.
func TestDurability(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"everysec": "killing the server may lose", "always": "acked = on disk", "no": "a power failure loses",
	} {
		s := redisserver.Start(t, redisserver.Options{Config: map[string]string{"appendfsync": set}})
		require.Contains(t, dial(t, redis.Config{URL: s.URL()}).Capabilities().Durability, want)
	}
	s := redisserver.Start(t, redisserver.Options{Config: map[string]string{"appendonly": "no"}})
	require.Contains(t, dial(t, redis.Config{URL: s.URL()}).Capabilities().Durability, "memory of the server only")
	user := redisserver.User{Password: "x", Rules: everything}
	s = redisserver.Start(t, redisserver.Options{Users: map[string]redisserver.User{"mesh": user}})
	require.Contains(t, dial(t, redis.Config{URL: s.URL()}).Capabilities().Durability, "not known")
}

// The keys of a producer that only publishes need no more than the package says.
func TestPublishOnlyUser(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{Users: map[string]redisserver.User{
		"mesh": {Password: "m", Rules: everything},
		"send": {Password: "s", Rules: "~driftmesh:* -@all +hello +auth +ping +select +client|setname +xadd"},
	}})
	ctx := limited(t, 30*time.Second)
	require.NoError(t, dial(t, redis.Config{URL: s.URLOf("mesh", "m")}).Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "spans"}))
	b := dial(t, redis.Config{URL: s.URLOf("send", "s") + "/0?prefix=driftmesh"})
	p := publisher(t, b)
	for i := range 3 {
		require.NoError(t, p.Publish(ctx, messages(1, 1)), fmt.Sprint(i))
		time.Sleep(600 * time.Millisecond) // the guard has tried by then
	}
	require.ErrorIs(t, b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "other"}), broker.ErrDenied)
}
