package kafka_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka"
	"github.com/driftmesh/driftmesh/test/server"
	kafkaserver "github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/kafka/fake"
)

func dial(tb testing.TB, cfg kafka.Config) broker.Broker {
	tb.Helper()
	b, err := kafka.Open(tb.Context(), cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

func consumer(tb testing.TB, b broker.Broker, topic, group string) broker.Consumer {
	tb.Helper()
	c, err := b.Consumer(broker.ConsumerConfig{Topic: topic, Group: group, Linger: 20 * time.Millisecond})
	require.NoError(tb, err)
	return c
}

func publisher(tb testing.TB, b broker.Broker) broker.Publisher {
	tb.Helper()
	p, err := b.Publisher()
	require.NoError(tb, err)
	return p
}

// A broker that swallows everything is a broker that is away: calls end in
// their time, and all goes on when it is back.
func TestBlackholeFrozen(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	s := fake.Start(t, fake.Options{})
	blackhole(t, s.URL(), s.Freeze, s.Thaw)
}

func TestBlackholeOfApacheKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	port := server.FreePort(t)
	proxy := server.NewProxy(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	s := kafkaserver.Start(t, kafkaserver.Options{Port: port, Advertise: proxy.Addr()})
	blackhole(t, s.URL(), proxy.Swallow, proxy.Resume)
}

func blackhole(t *testing.T, url string, swallow, resume func()) {
	ctx, cancel := context.WithTimeout(t.Context(), 80*time.Second)
	defer cancel()
	b := dial(t, kafka.Config{URL: url + "&publish-timeout=2s"})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g", AckWait: 5 * time.Second}))
	p := publisher(t, b)
	c := consumer(t, b, "spans", "g")
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", ID: "before"}}))
	swallow()
	defer resume()

	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 3 {
				start := time.Now()
				err := p.Publish(ctx, []broker.Message{{Topic: "spans", Value: make([]byte, 900<<10)}})
				if err == nil || time.Since(start) > 3*time.Second {
					t.Errorf("publish took %v and returned %v", time.Since(start), err)
				}
			}
		})
	}
	callers.Wait()
	require.Error(t, b.Ping(ctx))
	start := time.Now()
	require.ErrorIs(t, p.Publish(ctx, []broker.Message{{Topic: "spans"}}), broker.ErrUnavailable)
	require.Less(t, time.Since(start), 100*time.Millisecond, "then it fails at once")
	resume()
	start = time.Now()
	require.Eventually(t, func() bool { return b.Ping(ctx) == nil }, 20*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		return p.Publish(ctx, []broker.Message{{Topic: "spans", ID: "after"}}) == nil
	}, 20*time.Second, 50*time.Millisecond)
	t.Logf("publishing again after %v", time.Since(start))
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
	t.Logf("consuming again after %v", time.Since(start))
}

// An OTLP request of 8 MiB passes whole.
func TestLargeMessage(t *testing.T) {
	t.Parallel()
	s := fake.Start(t, fake.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b := dial(t, kafka.Config{URL: s.URL()})
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
	require.Greater(t, b.Capabilities().MaxMessageBytes, 8<<20)
	value := make([]byte, 8<<20)
	value[7<<20] = 'x'
	p := publisher(t, b)
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", Value: value}, {Topic: "spans", Value: []byte("small")}}))
	c := consumer(t, b, "spans", "g")
	got := map[int]bool{}
	for len(got) < 2 {
		batch, err := c.Receive(ctx)
		require.NoError(t, err)
		for _, d := range batch.Deliveries {
			got[len(d.Value)] = true
		}
		require.NoError(t, batch.Ack(ctx))
	}
	require.True(t, got[8<<20] && got[5])
}

// A topic that somebody else made, with a smaller limit and other settings.
func TestTopicOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := fake.Start(t, fake.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(s.Addr()), Transport: transport}
	res, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: "inbox", NumPartitions: 1, ReplicationFactor: 1,
		ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: "100000"}},
	}}})
	require.NoError(t, err)
	require.NoError(t, res.Errors["inbox"])
	b := dial(t, kafka.Config{URL: s.URL() + "&prefix="})
	require.NoError(t, b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "inbox"}))
	require.NoError(t, b.Admin().EnsureGroup(ctx, broker.GroupSpec{Topic: "inbox", Name: "g"}))
	require.Less(t, b.Capabilities().MaxMessageBytes, 100_000)
	p := publisher(t, b)
	require.ErrorIs(t, p.Publish(ctx, []broker.Message{{Topic: "inbox", Value: make([]byte, 100_000)}}), broker.ErrTooLarge)
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "inbox", Value: make([]byte, 90_000)}}))

	// A record with nothing but a value is a message.
	w := &kafkago.Writer{Addr: kafkago.TCP(s.Addr()), Topic: "inbox", RequiredAcks: kafkago.RequireAll, BatchTimeout: time.Millisecond, Transport: transport}
	require.NoError(t, w.WriteMessages(ctx, kafkago.Message{Value: []byte("bare")}))
	require.NoError(t, w.Close())
	c := consumer(t, b, "inbox", "g")
	var last broker.Delivery
	for string(last.Value) != "bare" {
		batch, err := c.Receive(ctx)
		require.NoError(t, err)
		last = batch.Deliveries[len(batch.Deliveries)-1]
		require.NoError(t, batch.Ack(ctx))
	}
	require.Nil(t, last.Key)
	require.Empty(t, last.ID)
	require.Equal(t, "0:1", last.Position)
}

// What every group has read is removed when a topic holds more than its limit;
// what one of them has not read stays.
func TestWhatWasReadIsRemoved(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	t.Parallel()
	s := fake.Start(t, fake.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	b := dial(t, kafka.Config{URL: s.URL() + "&partitions=1"})
	const limit, size, n = 8 << 20, 1 << 20, 12
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: limit}, broker.GroupSpec{Name: "g"}, broker.GroupSpec{Name: "slow"}))
	p, c, slow := publisher(t, b), consumer(t, b, "spans", "g"), consumer(t, b, "spans", "slow")
	take := func(c broker.Consumer, n int) (got int) {
		for got < n {
			batch, err := c.Receive(ctx)
			require.NoError(t, err)
			got += len(batch.Deliveries)
			require.NoError(t, batch.Ack(ctx))
		}
		return got
	}
	read := 0
	for i := range n {
		require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", Value: make([]byte, size)}}))
		take(c, 1)
		if i > 4 {
			read += take(slow, 1) // it is four or five behind
		}
	}
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(s.Addr()), Transport: transport}
	first := func() int64 {
		res, err := client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{
			"driftmesh.spans": {kafkago.FirstOffsetOf(0)},
		}})
		require.NoError(t, err)
		return res.Topics["driftmesh.spans"][0].FirstOffset
	}
	require.Eventually(t, func() bool { return first() > 0 }, 30*time.Second, 50*time.Millisecond)
	require.LessOrEqual(t, first(), int64(read))
	require.Equal(t, n-read, take(slow, n-read), "what it had not read is there")
}
