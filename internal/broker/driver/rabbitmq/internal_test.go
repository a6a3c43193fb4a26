package rabbitmq

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func TestParse(t *testing.T) {
	_, err := parse("amqp://")
	require.Error(t, err, "no host")
	got, err := parse("amqp://localhost")
	require.NoError(t, err)
	require.Equal(t, []string{"localhost:5672"}, got.hosts)
	require.Equal(t, "/", got.vhost)
	require.Equal(t, "guest", got.user)

	got, err = parse("amqps://me:p%40ss%2Fword@a,b:1234,[::1]:99/my%2Fhost?replicas=3&prefix=p&heartbeat=3s&publish-timeout=1s" +
		"&auth=external&max-message-bytes=33554432&management=https%3A%2F%2Fu%3Ap%40m%3A15671")
	require.NoError(t, err)
	require.Equal(t, []string{"a:5671", "b:1234", "[::1]:99"}, got.hosts)
	require.True(t, got.secure)
	require.True(t, got.external)
	require.Equal(t, "me", got.user)
	require.Equal(t, "p@ss/word", got.password)
	require.Equal(t, "my/host", got.vhost)
	require.Equal(t, 3, got.replicas)
	require.Equal(t, "p", got.prefix)
	require.Equal(t, 3*time.Second, got.beat)
	require.Equal(t, time.Second, got.timeout)
	require.Equal(t, 32<<20, got.limit)
	require.Equal(t, "m:15671", got.manage.Host)

	const secret = "hunter2"
	for _, bad := range []string{
		"", "localhost", "nats://localhost", "amqp://u:" + secret + "%zz@h", "amqp://u:" + secret + "@h:x", "amqp://h,,i", "amqp://h/%zz",
		"amqp://h?unknown=1", "amqp://h?replicas=0", "amqp://h?prefix=UP", "amqp://h?heartbeat=1ms", "amqp://h?auth=none",
		"amqp://h?publish-timeout=x", "amqp://h?management=ftp://" + secret + "@x", "amqp://h?max-message-bytes=1", "amqp://h?ca=" + "%zz" + secret,
		"amqp://h?password-file=/does/not/exist",
	} {
		_, err := parse(bad)
		require.Error(t, err, "%s", bad)
		require.NotContains(t, err.Error(), secret, "%s", bad)
	}
}

func TestTags(t *testing.T) {
	var tags tags
	multiple, single := tags.plan([]uint64{2, 3})
	require.Zero(t, multiple, "1 is not settled")
	require.Equal(t, []uint64{2, 3}, single)
	multiple, single = tags.plan([]uint64{5, 1, 4})
	require.EqualValues(t, 5, multiple)
	require.Empty(t, single)
	multiple, single = tags.plan([]uint64{1, 5})
	require.Zero(t, multiple, "nothing is settled twice")
	require.Empty(t, single)
	multiple, single = tags.plan([]uint64{8, 6, 6})
	require.EqualValues(t, 6, multiple)
	require.Equal(t, []uint64{8}, single)
	tags.settle(7)
	require.EqualValues(t, 8, tags.low)
	require.Empty(t, tags.beyond)
	require.True(t, tags.settled(3))
	require.False(t, tags.settled(9))
}

func TestPrefetch(t *testing.T) {
	cfg := broker.ConsumerConfig{}.WithDefaults()
	s := newSizes(cfg)
	require.Equal(t, firstPrefetch, s.fit(0))
	for range learnFrom {
		s.add(100)
	}
	require.Equal(t, 4*cfg.MaxMessages, s.fit(firstPrefetch), "small messages: as many as batches need")
	require.Equal(t, 4*cfg.MaxMessages, s.fit(4*cfg.MaxMessages))
	now := 4 * cfg.MaxMessages
	for range 200 {
		s.add(8 << 20)
		now = s.fit(now)
	}
	require.LessOrEqual(t, now*8<<20, 2*3*cfg.MaxBytes, "large ones: what memory allows")
	require.GreaterOrEqual(t, now, cfg.MaxInFlight+1)
	for range 1000 {
		s.add(100)
		now = s.fit(now)
	}
	require.Equal(t, 4*cfg.MaxMessages, now)
	small := newSizes(broker.ConsumerConfig{MaxMessages: 10, MaxInFlight: 8}.WithDefaults())
	require.Equal(t, 100, small.fit(0))
}

func TestLongNames(t *testing.T) {
	var e encoder
	long := strings.Repeat("x", 300)
	m := broker.Message{Topic: "t", ID: long, Key: []byte(long)}
	key, out := e.encode(&m, time.Now())
	require.Empty(t, key)
	require.Empty(t, out.MessageId)
	require.NoError(t, out.Headers.Validate())
	require.Equal(t, long, out.Headers[headerID])
}
