package kafka

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	kafkaserver "github.com/driftmesh/driftmesh/test/server/kafka"
)

// A stranger's message that unpacks to a gibibyte is counted as lost; those
// before and after it come, also after a restart, and the group ends with no lag.
// (On Apache Kafka: the fake unpacks what it is given.)
func TestCompressionBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	s := kafkaserver.Start(t, kafkaserver.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	var lost atomic.Int64
	b, err := Open(ctx, Config{URL: s.URL(), Lost: func(_, _ string, n int64) { lost.Add(n) }})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close(context.WithoutCancel(ctx))) }()
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "inbox"}, broker.GroupSpec{Name: "g"}))
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(s.Addr()), Transport: transport, Timeout: 30 * time.Second}
	put := func(raw []byte) {
		res, err := client.RawProduce(ctx, &kafkago.RawProduceRequest{
			Topic: "driftmesh.inbox", Partition: 0, RequiredAcks: kafkago.RequireAll,
			RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(prefixed(raw))},
		})
		require.NoError(t, err)
		require.NoError(t, res.Error)
	}
	const gib = 1 << 30
	put(batchOf(t, 0, 1, compress.Zstd, text(0, "before")))
	put(batchOf(t, 0, 1, compress.Zstd, message(0, zeros(gib), gib)))
	put(batchOf(t, 0, 2, compress.Zstd, text(0, "after"), text(1, "last")))
	put(batchOf(t, 0, 1, compress.Zstd, message(0, zeros(gib), gib))) // nothing comes after this one

	for _, want := range [][]string{{"before", "after", "last"}, {"later"}} {
		c, err := b.Consumer(broker.ConsumerConfig{Topic: "inbox", Group: "g", Linger: time.Millisecond})
		require.NoError(t, err)
		var got []string
		for len(got) < len(want) {
			batch, err := c.Receive(ctx)
			require.NoError(t, err)
			for _, d := range batch.Deliveries {
				got = append(got, string(d.Value))
			}
			require.NoError(t, batch.Ack(ctx))
		}
		require.Equal(t, want, got)
		require.Eventually(t, func() bool {
			lag, err := b.Admin().Lag(ctx, "inbox", "g")
			return err == nil && lag.Known && lag.Total() == 0
		}, 20*time.Second, 20*time.Millisecond, "a bomb at the end holds up nothing")
		require.NoError(t, c.Close(ctx))
		require.EqualValues(t, 2, lost.Load(), "each is counted once")
		put(batchOf(t, 0, 1, compress.None, text(0, "later")))
	}
}

// prefixed puts the length before a batch that a produce request has.
func prefixed(raw []byte) []byte {
	n := len(raw)
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, raw...)
}
