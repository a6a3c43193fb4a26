package rabbitmq_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/rabbitmq"
	node "github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

const (
	benchBatch = 500
	benchTopic = "bench"
)

var benchValue = make([]byte, 1<<10)

func benchHeaders() []broker.Header {
	return []broker.Header{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}}
}

// bench is a broker with a topic and one group.
func bench(b *testing.B) (*node.Server, broker.Broker) {
	s := node.Start(b, node.Options{})
	br, err := rabbitmq.Open(b.Context(), rabbitmq.Config{URL: s.URL()})
	require.NoError(b, err)
	b.Cleanup(func() { _ = br.Close(context.Background()) })
	spec := broker.TopicSpec{Name: benchTopic, MaxBytes: 16 << 30}
	require.NoError(b, broker.Provision(b.Context(), br.Admin(), spec, broker.GroupSpec{Name: "g"}))
	return s, br
}

func bareChannel(b *testing.B, s *node.Server) *amqp.Channel {
	c, err := amqp.Dial(s.URL())
	require.NoError(b, err)
	b.Cleanup(func() { _ = c.Close() })
	ch, err := c.Channel()
	require.NoError(b, err)
	return ch
}

// BenchmarkPublish compares the driver with the bare library in the same run:
// one caller, batches of 500 x 1 KiB.
func BenchmarkPublish(b *testing.B) {
	s, br := bench(b)
	pub, err := br.Publisher()
	require.NoError(b, err)
	ch := bareChannel(b, s)
	require.NoError(b, ch.Confirm(false))
	// The library needs somebody who reads returns, if it is to be used safely.
	go func() {
		for range ch.NotifyReturn(make(chan amqp.Return, benchBatch)) {
			b.Log("returned")
		}
	}()
	for name, publish := range map[string]func(msgs []broker.Message) error{
		"driver": func(msgs []broker.Message) error { return pub.Publish(b.Context(), msgs) },
		"bare":   func(msgs []broker.Message) error { return barePublish(b.Context(), ch, msgs) },
	} {
		b.Run(name, func(b *testing.B) {
			_, err := ch.QueuePurge("driftmesh.bench.g", false)
			require.NoError(b, err)
			b.SetBytes(benchBatch << 10)
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, publish(benchMessages()))
			}
			b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

var benchID atomic.Int64

func benchMessages() []broker.Message {
	msgs, headers := make([]broker.Message, benchBatch), benchHeaders()
	for i := range msgs {
		msgs[i] = broker.Message{Topic: benchTopic, ID: fmt.Sprintf("0198a2b4-c5d6-7000-8000-%012d", benchID.Add(1)), Value: benchValue, Headers: headers}
	}
	return msgs
}

func barePublish(ctx context.Context, ch *amqp.Channel, msgs []broker.Message) error {
	confirms := make([]*amqp.DeferredConfirmation, len(msgs))
	for i, m := range msgs {
		headers := amqp.Table{}
		for _, h := range m.Headers {
			headers[h.Key] = string(h.Value)
		}
		dc, err := ch.PublishWithDeferredConfirm("driftmesh."+m.Topic, "", true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, MessageId: m.ID, Headers: headers, Body: m.Value,
		})
		if err != nil {
			return err
		}
		confirms[i] = dc
	}
	for _, dc := range confirms {
		if ok, err := dc.WaitContext(ctx); err != nil || !ok {
			return fmt.Errorf("not confirmed: %w", err)
		}
	}
	return nil
}

// BenchmarkConsume compares the driver with the bare library: batches of 512,
// each acknowledged at once.
func BenchmarkConsume(b *testing.B) {
	s, br := bench(b)
	pub, err := br.Publisher()
	require.NoError(b, err)
	for _, who := range []string{"driver", "bare"} {
		b.Run(who, func(b *testing.B) {
			b.StopTimer()
			for left := b.N; left > 0; left -= benchBatch {
				require.NoError(b, pub.Publish(b.Context(), benchMessages()))
			}
			b.SetBytes(1 << 10)
			b.ReportAllocs()
			b.StartTimer()
			if who == "driver" {
				consume(b, br)
			} else {
				bareConsume(b, s)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			_, err := bareChannel(b, s).QueuePurge("driftmesh.bench.g", false)
			require.NoError(b, err)
		})
	}
}

func consume(b *testing.B, br broker.Broker) {
	c, err := br.Consumer(broker.ConsumerConfig{Topic: benchTopic, Group: "g"})
	require.NoError(b, err)
	for left := b.N; left > 0; {
		batch, err := c.Receive(b.Context())
		require.NoError(b, err)
		left -= len(batch.Deliveries)
		require.NoError(b, batch.Ack(b.Context()))
	}
	require.NoError(b, c.Close(b.Context()))
}

func bareConsume(b *testing.B, s *node.Server) {
	ch := bareChannel(b, s)
	require.NoError(b, ch.Qos(2048, 0, false))
	deliveries, err := ch.Consume("driftmesh.bench.g", "", false, false, false, false, nil)
	require.NoError(b, err)
	n := 0
	for d := range deliveries {
		if n++; n%512 == 0 || n >= b.N {
			require.NoError(b, d.Ack(true))
		}
		if n >= b.N {
			break
		}
	}
	require.NoError(b, ch.Close())
}
