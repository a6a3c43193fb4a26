package kafka

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	u, err := parse("kafka+tls://mesh:p%40ss%2Fword@a,b:9000,[::1]?sasl=scram-sha-512&partitions=3&replicas=3&prefix=x&session-timeout=6s&compression=lz4")
	require.NoError(t, err)
	require.Equal(t, []string{"a:9092", "b:9000", "[::1]:9092"}, u.brokers)
	require.True(t, u.secure)
	require.Equal(t, 3, u.partitions)
	require.Equal(t, 3, u.replicas)
	require.Equal(t, 6*time.Second, u.session)
	require.Equal(t, kafkago.Lz4, u.compression)
	require.Equal(t, "x.spans.g", u.group("spans", "g"))
	m, err := u.sasl()
	require.NoError(t, err)
	require.Equal(t, "SCRAM-SHA-512", m.Name())
	for _, bad := range []string{
		"kafka", "kafka://", "kafka://a b", "kafka://a,", "kafka://a?what=1", "kafka://a?sasl=x", "kafka://a?partitions=0",
		"kafka://a?replicas=x", "kafka://a?session-timeout=1", "kafka://a?compression=rar", "kafka://a?prefix=a%20b",
	} {
		_, err := parse(bad)
		require.Error(t, err, bad)
	}
	_, err = parse("kafka://u:se%zzcret@a")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "cret")
}

func TestState(t *testing.T) {
	t.Parallel()
	for range 300 {
		want := state{open: rand.N(2) == 0, settled: make([]bool, rand.N(span)), attempts: map[int]int{}}
		bias := rand.Float64()
		for i := range want.settled {
			want.settled[i] = rand.Float64() < bias
		}
		for range rand.N(20) {
			if n := len(want.settled); n > 0 {
				want.attempts[rand.N(n)] = 2 + rand.N(30)
			}
		}
		want.waiting = len(want.settled) / 2
		text := want.encode()
		require.LessOrEqual(t, len(text), metadataMax)
		got, err := decodeState(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	worst := state{settled: make([]bool, span), attempts: map[int]int{}}
	for i := range worst.settled {
		worst.settled[i] = i%2 == 1
		worst.attempts[i] = 2 + i%100
	}
	text := worst.encode()
	require.LessOrEqual(t, len(text), metadataMax)
	got, err := decodeState(text)
	require.NoError(t, err)
	require.Equal(t, worst.settled, got.settled)
	require.Equal(t, 3, got.attempts[1], "the first attempts are kept")
}

func FuzzDecodeState(f *testing.F) {
	f.Add("")
	f.Add((&state{open: true, waiting: 1, settled: []bool{false, true, true, false}, attempts: map[int]int{3: 7}}).encode())
	f.Add(stateMark + "AgAA")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := decodeState(text)
		if err != nil {
			return
		}
		again, err := decodeState(s.encode())
		require.NoError(t, err)
		require.Equal(t, append([]bool{}, s.settled...), append([]bool{}, again.settled...))
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("Traceparent", []byte("x"))
	f.Add(headerID, []byte(" a\n"))
	f.Add("x-bin", []byte{0, 0xff})
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		var m broker.Message
		decode(&record{value: []byte{}, headers: []protocol.Header{{Key: name, Value: value}, {Key: name, Value: value}}}, &m)
		m.Topic = "spans"
		require.NoError(t, broker.ValidMessage(&m, 0), "what came in can be published again")
	})
}

func TestLaneLag(t *testing.T) {
	t.Parallel()
	meta := func(s state) string { return s.encode() }
	for name, c := range map[string]struct {
		m    mark
		b    bounds
		want broker.Lag
	}{
		"never committed":  {mark{offset: -1}, bounds{5, 25}, broker.Lag{Pending: 20, Known: true}},
		"nothing to do":    {mark{offset: 25}, bounds{5, 25}, broker.Lag{Known: true}},
		"of another kind":  {mark{offset: 20, metadata: "x"}, bounds{5, 25}, broker.Lag{Pending: 5, Known: true}},
		"overtaken":        {mark{offset: 2}, bounds{5, 25}, broker.Lag{Pending: 20, Known: true}},
		"made anew":        {mark{offset: 30}, bounds{0, 25}, broker.Lag{Known: false}},
		"with workers":     {mark{10, meta(state{open: true, waiting: 1, settled: []bool{false, true, false, false}})}, bounds{5, 25}, broker.Lag{Pending: 12, InFlight: 2, Known: true}},
		"workers are gone": {mark{10, meta(state{settled: []bool{false, true, false, false}})}, bounds{5, 25}, broker.Lag{Pending: 14, Known: true}},
	} {
		require.Equal(t, c.want, laneLag(c.m, c.b), name)
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]error{
		kafkago.NotLeaderForPartition:        broker.ErrUnavailable,
		kafkago.NotEnoughReplicas:            broker.ErrUnavailable,
		kafkago.NotEnoughReplicasAfterAppend: broker.ErrUnknownOutcome,
		kafkago.RequestTimedOut:              broker.ErrUnknownOutcome,
		kafkago.MessageSizeTooLarge:          broker.ErrTooLarge,
		kafkago.TopicAuthorizationFailed:     broker.ErrDenied,
		kafkago.UnknownTopicOrPartition:      broker.ErrUnroutable,
		errors.New("connection reset"):       broker.ErrUnknownOutcome,
	} {
		require.ErrorIs(t, outcome(err), want, err)
	}
}
