package kafka

import (
	"errors"
	"io"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka/frontier"
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

func FuzzDecode(f *testing.F) {
	f.Add("Traceparent", []byte("x"))
	f.Add(headerID, []byte(" a\n"))
	f.Add("x-bin", []byte{0, 0xff})
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		var m broker.Message
		decode(&record{value: []byte{}, headers: []kmsg.Header{{Key: name, Value: value}, {Key: name, Value: value}}}, &m)
		m.Topic = "spans"
		require.NoError(t, broker.ValidMessage(&m, 0), "what came in can be published again")
	})
}

func TestLaneLag(t *testing.T) {
	t.Parallel()
	meta := func(s frontier.State) string { return s.Encode() }
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
		"with workers":     {mark{10, meta(frontier.State{Open: true, Waiting: 1, Settled: []bool{false, true, false, false}})}, bounds{5, 25}, broker.Lag{Pending: 12, InFlight: 2, Known: true}},
		"workers are gone": {mark{10, meta(frontier.State{Settled: []bool{false, true, false, false}})}, bounds{5, 25}, broker.Lag{Pending: 14, Known: true}},
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

// What a cluster says that is starting passes; what is wrong does not.
func TestPassing(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		kafkago.InvalidReplicationFactor, kafkago.BrokerIDNotRegistered, kafkago.NotEnoughReplicas, kafkago.BrokerNotAvailable,
		kafkago.GroupLoadInProgress, kafkago.GroupCoordinatorNotAvailable, kafkago.NotController, kafkago.RequestTimedOut,
		kafkago.ThrottlingQuotaExceeded, io.ErrUnexpectedEOF,
	} {
		require.True(t, passing(classify(err)), "%v", err)
	}
	for _, err := range []error{
		kafkago.TopicAuthorizationFailed, kafkago.InvalidConfiguration, kafkago.PolicyViolation, kafkago.InvalidPartitionNumber,
	} {
		require.False(t, passing(classify(err)), "%v", err)
	}
}
