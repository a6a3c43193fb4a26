package kafka_test

import (
	"context"
	"fmt"
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

// servers are what the benchmarks run on.
func servers() map[string]func(server.T) server.Broker {
	return map[string]func(server.T) server.Broker{
		"fake":  func(t server.T) server.Broker { return fake.Start(t, fake.Options{}) },
		"kafka": func(t server.T) server.Broker { return kafkaserver.Start(t, kafkaserver.Options{}) },
	}
}

const (
	benchBatch = 500
	benchSize  = 1 << 10
)

// address is the host and port in a broker's URL.
func address(b server.Broker) string {
	return b.(interface{ Addr() string }).Addr() //nolint:forcetypeassert // both have it
}

// bareWriter is the library as brokers' users are told to configure it.
func bareWriter(addr string, t *kafkago.Transport) *kafkago.Writer {
	return &kafkago.Writer{
		Addr: kafkago.TCP(addr), Topic: "driftmesh.spans", Balancer: kafkago.Murmur2Balancer{}, Transport: t,
		RequiredAcks: kafkago.RequireAll, BatchSize: 1000, BatchBytes: 900 << 10, BatchTimeout: 5 * time.Millisecond,
	}
}

// BenchmarkPublish compares the driver with the bare library, in the same run.
func BenchmarkPublish(b *testing.B) {
	for name, start := range servers() {
		for _, who := range []string{"bare", "driver"} {
			b.Run(name+"/"+who, func(b *testing.B) {
				s := start(b)
				ctx := b.Context()
				br := dial(b, kafka.Config{URL: s.URL()})
				require.NoError(b, br.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "spans", MaxBytes: 1 << 40}))
				publish := publisher(b, br).Publish
				if who == "bare" {
					transport := &kafkago.Transport{}
					defer transport.CloseIdleConnections()
					w := bareWriter(address(s), transport)
					defer w.Close()
					publish = func(ctx context.Context, msgs []broker.Message) error {
						out := make([]kafkago.Message, len(msgs))
						for i, m := range msgs {
							out[i] = kafkago.Message{Value: m.Value, Headers: []kafkago.Header{
								{Key: m.Headers[0].Key, Value: m.Headers[0].Value}, {Key: "driftmesh-x-id", Value: []byte(m.ID)},
							}}
						}
						return w.WriteMessages(ctx, out...)
					}
				}
				msgs := benchMessages()
				require.NoError(b, publish(ctx, msgs))
				b.SetBytes(benchBatch * benchSize)
				b.ReportAllocs()
				for b.Loop() {
					require.NoError(b, publish(ctx, msgs))
				}
				b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

func benchMessages() []broker.Message {
	value := make([]byte, benchSize)
	for i := range value {
		value[i] = byte(i * 7)
	}
	msgs := make([]broker.Message, benchBatch)
	for i := range msgs {
		msgs[i] = broker.Message{
			Topic: "spans", Value: value, ID: fmt.Sprintf("0198a2b4-c5d6-7000-8000-%012d", i),
			Headers: []broker.Header{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}},
		}
	}
	return msgs
}

// BenchmarkConsume receives batches of 500 and acknowledges each; the bare
// library does with a group reader that commits after as many.
func BenchmarkConsume(b *testing.B) {
	for name, start := range servers() {
		for _, who := range []string{"bare", "driver"} {
			b.Run(name+"/"+who, func(b *testing.B) {
				s := start(b)
				ctx := b.Context()
				br := dial(b, kafka.Config{URL: s.URL()})
				require.NoError(b, broker.Provision(ctx, br.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: 32 << 30}, broker.GroupSpec{Name: "g"}))
				p, msgs := publisher(b, br), benchMessages()
				for left := max(b.N, benchBatch); left > 0; left -= benchBatch {
					require.NoError(b, p.Publish(ctx, msgs))
				}
				next := receiver(b, br)
				if who == "bare" {
					next = bareReceiver(b, address(s))
				}
				b.SetBytes(benchSize)
				b.ReportAllocs()
				b.ResetTimer()
				for left := b.N; left > 0; {
					left -= next(ctx, min(left, benchBatch))
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

// receiver receives and acknowledges one batch and returns its length.
func receiver(b *testing.B, br broker.Broker) func(context.Context, int) int {
	c, err := br.Consumer(broker.ConsumerConfig{Topic: "spans", Group: "g", MaxMessages: benchBatch, Linger: 20 * time.Millisecond})
	require.NoError(b, err)
	return func(ctx context.Context, _ int) int {
		batch, err := c.Receive(ctx)
		require.NoError(b, err)
		require.NoError(b, batch.Ack(ctx))
		return len(batch.Deliveries)
	}
}

func bareReceiver(b *testing.B, addr string) func(context.Context, int) int {
	r := kafkago.NewReader(kafkago.ReaderConfig{
		Brokers: []string{addr}, Topic: "driftmesh.spans", GroupID: "bare", MinBytes: 1, MaxBytes: 8 << 20,
		QueueCapacity: 2 * benchBatch, MaxWait: 500 * time.Millisecond, JoinGroupBackoff: 100 * time.Millisecond,
	})
	b.Cleanup(func() { _ = r.Close() })
	return func(ctx context.Context, n int) int {
		msgs := make([]kafkago.Message, 0, n)
		for len(msgs) < n {
			m, err := r.FetchMessage(ctx)
			require.NoError(b, err)
			msgs = append(msgs, m)
		}
		require.NoError(b, r.CommitMessages(ctx, msgs...))
		return n
	}
}
