package redis_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	redisserver "github.com/driftmesh/driftmesh/test/server/redis"
)

const benchBatch, benchSize = 500, 1 << 10

// benchHeaders are those of a message of the mesh.
func benchHeaders() []broker.Header {
	return []broker.Header{
		{Key: "driftmesh-tenant", Value: []byte("default")}, {Key: "driftmesh-type", Value: []byte("otlp.traces.v1")},
		{Key: "driftmesh-count", Value: []byte("100")}, {Key: "driftmesh-time", Value: []byte("1790000000000000000")},
		{Key: "driftmesh-seq", Value: []byte("0198a2b4c5d6:123456")},
		{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
	}
}

func benchMessages() []broker.Message {
	value := make([]byte, benchSize)
	for i := range value {
		value[i] = byte(i * 7)
	}
	msgs := make([]broker.Message, benchBatch)
	for i := range msgs {
		msgs[i] = broker.Message{Topic: "spans", Value: value, Headers: benchHeaders(), ID: fmt.Sprintf("0198a2b4-c5d6-7000-8000-%012d", i)}
	}
	return msgs
}

// barePublish publishes as the library's documentation shows.
func barePublish(ctx context.Context, c *goredis.Client, msgs []broker.Message) error {
	pipe := c.Pipeline()
	for i := range msgs {
		values := []any{"v", msgs[i].Value, "i", msgs[i].ID}
		for _, h := range msgs[i].Headers {
			values = append(values, "h:"+h.Key, h.Value)
		}
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: key, Values: values})
	}
	_, err := pipe.Exec(ctx)
	return err
}

func bench(b *testing.B) (broker.Broker, *goredis.Client, *redisserver.Server) {
	// Where the disk does not hide what the driver costs.
	s := redisserver.Start(b, redisserver.Options{Config: map[string]string{"appendfsync": "everysec"}})
	br := dial(b, redis.Config{URL: s.URL()})
	topic := broker.TopicSpec{Name: "spans", MaxBytes: 16 << 30}
	require.NoError(b, broker.Provision(b.Context(), br.Admin(), topic, broker.GroupSpec{Name: "g", MaxInFlight: 1 << 20}))
	bare := s.Admin()
	b.Cleanup(func() { _ = bare.Close() })
	return br, bare, s
}

// rate reports messages per second, and CPU time of client and server together
// since from.
func rate(b *testing.B, s *redisserver.Server, from time.Duration) {
	n := float64(b.N * benchBatch)
	b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((cpuTime(b, s)-from).Microseconds())/n, "cpu-µs/msg")
}

// cpuTime is the CPU time of this process and of the server.
func cpuTime(b *testing.B, s *redisserver.Server) time.Duration {
	var own syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &own))
	total := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		return total // not on this system
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	for _, f := range strings.Fields(rest)[11:13] { // user and system, in ticks of 10 ms
		ticks, err := strconv.Atoi(f)
		require.NoError(b, err)
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total
}

// BenchmarkPublish compares the driver with the bare library, in batches of 500
// messages of 1 KiB.
func BenchmarkPublish(b *testing.B) {
	for _, who := range []string{"bare", "driver"} {
		b.Run(who, func(b *testing.B) {
			br, bare, s := bench(b)
			p, msgs := publisher(b, br), benchMessages()
			b.ReportAllocs()
			from := cpuTime(b, s)
			for b.Loop() {
				if who == "driver" {
					require.NoError(b, p.Publish(b.Context(), msgs))
				} else {
					require.NoError(b, barePublish(b.Context(), bare, msgs))
				}
			}
			rate(b, s, from)
		})
	}
}

// BenchmarkConsume receives and acknowledges such batches.
func BenchmarkConsume(b *testing.B) {
	for _, who := range []string{"bare", "driver"} {
		b.Run(who, func(b *testing.B) {
			br, bare, s := bench(b)
			msgs := benchMessages()
			for range b.N {
				require.NoError(b, barePublish(b.Context(), bare, msgs))
			}
			c, err := br.Consumer(broker.ConsumerConfig{Topic: "spans", Group: "g", MaxMessages: benchBatch})
			require.NoError(b, err)
			b.ReportAllocs()
			from := cpuTime(b, s)
			b.ResetTimer()
			for left := b.N * benchBatch; left > 0; {
				if who == "driver" {
					batch, err := c.Receive(b.Context())
					require.NoError(b, err)
					left -= len(batch.Deliveries)
					require.NoError(b, batch.Ack(b.Context()))
					continue
				}
				streams, err := bare.XReadGroup(b.Context(), &goredis.XReadGroupArgs{
					Group: "g", Consumer: "c", Streams: []string{key, ">"}, Count: benchBatch,
				}).Result()
				require.NoError(b, err)
				ids := make([]string, 0, benchBatch)
				for _, m := range streams[0].Messages {
					ids = append(ids, m.ID)
				}
				left -= len(ids)
				require.NoError(b, bare.XAck(b.Context(), key, "g", ids...).Err())
			}
			rate(b, s, from)
		})
	}
}
