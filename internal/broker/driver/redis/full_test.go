package redis_test

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	redisserver "github.com/driftmesh/driftmesh/test/server/redis"
)

// Large messages behind many small ones are seen for what they are.
func TestLargeBehindSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{Config: map[string]string{"appendfsync": "no"}})
	ctx := limited(t, 60*time.Second)
	b := dial(t, redis.Config{URL: s.URL()})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: 64 << 20}, broker.GroupSpec{Name: "g"}))
	p, bare := publisher(t, b), admin(t, s)
	for range 30 { // 7 MiB, in more nodes than a glance takes
		require.NoError(t, p.Publish(ctx, messages(1000, 200)))
	}
	var err error
	for err == nil {
		err = p.Publish(ctx, messages(1, 1<<20))
		require.Less(t, bare.MemoryUsage(ctx, key, 0).Val(), int64(400<<20), "it is full by far")
		pause(ctx, 20*time.Millisecond) // 50 MiB a second
	}
	require.ErrorIs(t, err, broker.ErrBackpressure)
}

// Trimming by size stops at what a group has not acknowledged, in the hands of
// a worker or not, and goes on when it has.
func TestTrimKeepsWhatIsNotAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 60*time.Second)
	var lost atomic.Int64
	b := dial(t, redis.Config{URL: s.URL(), Lost: func(_, _ string, n int64) { lost.Add(n) }})
	const size, limit = 10 << 10, 1 << 20
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: limit},
		broker.GroupSpec{Name: "slow"}, broker.GroupSpec{Name: "fast"}, broker.GroupSpec{Name: "careless", MayLose: true}))
	p, bare := publisher(t, b), admin(t, s)
	require.NoError(t, p.Publish(ctx, messages(50, size)))
	slow, err := b.Consumer(broker.ConsumerConfig{Topic: "spans", Group: "slow", MaxMessages: 30, Linger: time.Second})
	require.NoError(t, err)
	held := receive(t, slow, 5*time.Second)
	require.Len(t, held.Deliveries, 30)
	require.NoError(t, held.SettleSome(ctx, indexes(0, 20), nil, 0)) // ten remain, and twenty unread
	fast := consumer(t, b, "spans", "fast")
	drain(t, fast, 50, 10*time.Second)

	more := 0
	for err = nil; err == nil; {
		id := "more" + strconv.Itoa(more)
		if err = p.Publish(ctx, []broker.Message{{Topic: "spans", ID: id, Value: make([]byte, size)}}); err == nil {
			more++
		}
	}
	require.ErrorIs(t, err, broker.ErrBackpressure)
	first := bare.XRangeN(ctx, key, "-", "+", 1).Val()[0].ID
	require.LessOrEqual(t, first, held.Deliveries[20].Position, "nothing is gone that is not acknowledged")
	require.Greater(t, first, held.Deliveries[0].Position, "what is acknowledged is gone")
	dlq := messages(1, 1)
	dlq[0].Topic = "spans.dlq"
	require.NoError(t, p.Publish(ctx, dlq), "others are not full")

	require.NoError(t, held.Ack(ctx))
	drain(t, fast, more, 10*time.Second)
	n := bare.XLen(ctx, key).Val()
	lag, err := b.Admin().Lag(ctx, "spans", "slow")
	require.NoError(t, err)
	require.True(t, lag.Known)
	require.GreaterOrEqual(t, n, lag.Pending, "the backlog is there")
	for left := lag.Pending; left > 0; {
		batch := receive(t, slow, 5*time.Second)
		left -= int64(len(batch.Deliveries))
		require.NoError(t, batch.Ack(ctx))
	}
	require.Eventually(t, func() bool {
		return bare.MemoryUsage(ctx, key, 0).Val() <= limit && p.Publish(ctx, messages(1, 1)) == nil
	}, 10*time.Second, 50*time.Millisecond, "room again")
	require.Zero(t, lost.Load())
}

func indexes(from, to int) []int {
	var idx []int
	for i := from; i < to; i++ {
		idx = append(idx, i)
	}
	return idx
}

// A group that somebody destroys loses nothing: what is there waits for it,
// however full the topic is, and it begins with that when it is made anew, though
// it was to begin at the end when it was new.
func TestDestroyedGroupLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 60*time.Second)
	var lost atomic.Int64
	heard := &heard{}
	b := dial(t, redis.Config{URL: s.URL(), Log: slog.New(slog.NewTextHandler(heard, nil)), Lost: func(_, _ string, n int64) { lost.Add(n) }})
	group := broker.GroupSpec{Topic: "spans", Name: "g", Start: broker.Latest}
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: 1 << 20}, group))
	bare, p := admin(t, s), publisher(t, b)
	require.NoError(t, p.Publish(ctx, messages(10, 1)))
	c := consumer(t, b, "spans", "g")
	drain(t, c, 10, 10*time.Second)
	require.NoError(t, bare.XGroupDestroy(ctx, key, "g").Err())
	require.Eventually(t, func() bool { return heard.has("somebody has deleted", "group g") }, 5*time.Second, 20*time.Millisecond)
	var err error
	sent := map[string]int{}
	for n := 0; err == nil; n++ {
		id := "new" + strconv.Itoa(n)
		if err = p.Publish(ctx, []broker.Message{{Topic: "spans", ID: id, Value: make([]byte, 10<<10)}}); err == nil {
			sent[id] = 1
		}
	}
	require.ErrorIs(t, err, broker.ErrBackpressure, "nothing goes for want of a reader")
	require.NoError(t, b.Admin().EnsureGroup(ctx, group))
	seen := map[string]bool{}
	for len(seen) < len(sent) { // the worker goes on by itself; what it had read comes again
		batch := receive(t, c, 10*time.Second)
		for _, d := range batch.Deliveries {
			if sent[d.ID] > 0 {
				seen[d.ID] = true
			}
		}
		require.NoError(t, batch.Ack(ctx))
	}
	require.Zero(t, lost.Load())
	require.Eventually(t, func() bool { return heard.has("all of a topic is there again") }, 5*time.Second, 20*time.Millisecond)
}

// A server that was emptied is provisioned again under workers and publishers
// that go on.
func TestFlushedServerIsMadeAnew(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 60*time.Second)
	b := dial(t, redis.Config{URL: s.URL()})
	provision := func() error {
		return broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"})
	}
	require.NoError(t, provision())
	p, c := publisher(t, b), consumer(t, b, "spans", "g")
	require.NoError(t, p.Publish(ctx, messages(10, 1)))
	drain(t, c, 10, 10*time.Second)
	require.NoError(t, admin(t, s).FlushAll(ctx).Err())
	require.ErrorIs(t, p.Publish(ctx, messages(1, 1)), broker.ErrUnroutable, "nothing makes it by the way")
	_, err := b.Admin().Lag(ctx, "spans", "g")
	require.ErrorIs(t, err, broker.ErrNoGroup)
	require.NoError(t, provision())
	require.NoError(t, p.Publish(ctx, messages(10, 1)))
	require.Len(t, drain(t, c, 10, 10*time.Second), 10)
}

// One message that is never acknowledged holds all that comes after it. When
// that fills the topic, the log says whose it is and how old.
func TestWhatFillsATopicIsNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 60*time.Second)
	heard := &heard{}
	b := dial(t, redis.Config{URL: s.URL(), Log: slog.New(slog.NewTextHandler(heard, nil))})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: 1 << 20},
		broker.GroupSpec{Name: "stuck"}, broker.GroupSpec{Name: "fine"}))
	p := publisher(t, b)
	require.NoError(t, p.Publish(ctx, messages(1, 1)))
	c, err := b.Consumer(broker.ConsumerConfig{Topic: "spans", Group: "stuck", MaxInFlight: 2, Linger: time.Millisecond})
	require.NoError(t, err)
	held := receive(t, c, 5*time.Second)
	fine := consumer(t, b, "spans", "fine")
	drain(t, fine, 1, 5*time.Second)
	for err = nil; err == nil; {
		if err = p.Publish(ctx, messages(1, 10<<10)); err == nil {
			require.NoError(t, receive(t, c, 5*time.Second).Ack(ctx))
			require.NoError(t, receive(t, fine, 5*time.Second).Ack(ctx))
		}
	}
	require.ErrorIs(t, err, broker.ErrBackpressure)
	require.Eventually(t, func() bool { return heard.has("a topic is full", "group=stuck", "oldest=") }, 5*time.Second, 20*time.Millisecond)
	lag, err := b.Admin().Lag(ctx, "spans", "stuck")
	require.NoError(t, err)
	require.EqualValues(t, 1, lag.InFlight)
	require.GreaterOrEqual(t, lag.Oldest, time.Since(held.Deliveries[0].Time)-time.Second, "the metric says so too")
	require.NoError(t, held.Ack(ctx))
	require.Eventually(t, func() bool { return p.Publish(ctx, messages(1, 1)) == nil }, 5*time.Second, 20*time.Millisecond)
}

// heard is what was logged.
type heard struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (h *heard) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(line)
}

// has reports whether one line has all the words.
func (h *heard) has(words ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for line := range strings.SplitSeq(h.text.String(), "\n") {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// Dead letters are messages too: a DLQ that is full takes no more, until its
// group has read some.
func TestFullDLQRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	ctx := limited(t, 30*time.Second)
	var lost atomic.Int64
	b := dial(t, redis.Config{URL: s.URL(), Lost: func(_, _ string, n int64) { lost.Add(n) }})
	require.NoError(t, b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "spans.dlq", MaxBytes: 1 << 20}))
	require.NoError(t, b.Admin().EnsureGroup(ctx, broker.GroupSpec{Topic: "spans.dlq", Name: "dlq"}))
	p, sent := publisher(t, b), 0
	park := func() error {
		return p.Publish(ctx, []broker.Message{{Topic: "spans.dlq", ID: strconv.Itoa(sent), Value: make([]byte, 10<<10)}})
	}
	var err error
	for ; err == nil; err = park() {
		sent++
	}
	require.ErrorIs(t, err, broker.ErrBackpressure)
	require.Len(t, drain(t, consumer(t, b, "spans.dlq", "dlq"), sent-1, 10*time.Second), sent-1)
	require.Eventually(t, func() bool { return park() == nil }, 10*time.Second, 20*time.Millisecond)
	require.Zero(t, lost.Load())
}

// Producers that no code of ours knows, with a client of their own, are refused
// by the server itself: at full speed, and when they begin after a pause. What was
// acknowledged is there, and memory stays near the limit.
func TestFullTopicRefusesStrangers(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{Config: map[string]string{"appendfsync": "no"}})
	ctx := limited(t, 80*time.Second)
	var lost atomic.Int64
	b := dial(t, redis.Config{URL: s.URL(), Lost: func(_, _ string, n int64) { lost.Add(n) }})
	const limit = 16 << 20
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: limit}, broker.GroupSpec{Name: "g"}))
	bare := admin(t, s)
	value := make([]byte, 1<<10)
	burst := func() (acked int) {
		for { // a pipeline is as fast as anybody gets
			pipe := bare.Pipeline()
			for range 100 {
				pipe.XAdd(ctx, &goredis.XAddArgs{Stream: key, NoMkStream: true, Values: []any{"v", value}})
			}
			cmds, err := pipe.Exec(ctx)
			for _, cmd := range cmds {
				if cmd.Err() == nil {
					acked++
				}
			}
			if err != nil {
				require.ErrorContains(t, err, "exhausted the last possible ID")
				return acked
			}
		}
	}
	c := consumer(t, b, "spans", "g")
	for range 3 { // each after a pause, which reading is
		acked := burst()
		require.Greater(t, acked, limit/2/len(value))
		used := bare.MemoryUsage(ctx, key, 0).Val()
		t.Logf("%d acknowledged, %.1f MiB of %d", acked, float64(used)/(1<<20), limit>>20)
		late, refused := 0, 0
		for end := time.Now().Add(time.Second); time.Now().Before(end); pause(ctx, time.Millisecond) {
			if bare.XAdd(ctx, &goredis.XAddArgs{Stream: key, NoMkStream: true, Values: []any{"v", value}}).Err() == nil {
				late++
			} else {
				refused++
			}
		}
		require.Zero(t, late, "it stays shut")
		require.Positive(t, refused)
		err := publisher(t, b).Publish(ctx, messages(1, 1))
		require.ErrorIs(t, err, broker.ErrBackpressure, "ours are refused as well")
		require.NotErrorIs(t, err, broker.ErrUnknownOutcome)
		_, err = b.Tail(ctx, "spans")
		require.NoError(t, err, "who watches can")
		require.NoError(t, b.Admin().EnsureGroup(ctx, broker.GroupSpec{Topic: "spans", Name: "late", MayLose: true, Start: broker.Latest}))
		for got := 0; got < acked; {
			batch := receive(t, c, 5*time.Second)
			got += len(batch.Deliveries)
			require.NoError(t, batch.Ack(ctx))
		}
		require.Eventually(t, func() bool { return publisher(t, b).Publish(ctx, messages(1, 1)) == nil }, 5*time.Second, 20*time.Millisecond)
		require.Len(t, drain(t, c, 1, 5*time.Second), 1)
	}
	require.Zero(t, lost.Load())
	require.NotEmpty(t, receive(t, consumer(t, b, "spans", "late"), 5*time.Second).Deliveries,
		"a group that began at the end of a topic that was shut")
}
