package nats_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/nats"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

// publishFunc publishes one batch and waits until it is durable.
type publishFunc func(ctx context.Context, msgs []broker.Message) error

// BenchmarkPublish compares the driver with the bare library, in the same run:
// small messages in batches from one caller, and large ones alone from eight.
// cpu-µs/msg is client and server together.
func BenchmarkPublish(b *testing.B) {
	for _, shape := range []struct {
		name                 string
		batch, size, callers int
	}{
		{"500x1KiB", 500, 1 << 10, 1},
		{"1x64KiB_by_8", 1, 64 << 10, 8},
	} {
		for _, who := range []string{"bare", "driver"} {
			b.Run(shape.name+"/"+who, func(b *testing.B) {
				s := natsserver.Start(b, natsserver.Options{})
				publish := publisher(b, s, who)
				benchmark(b, s, publish, shape.batch, shape.size, shape.callers)
			})
		}
	}
}

// publisher returns how to publish with the driver or with the bare library.
func publisher(b *testing.B, s *natsserver.Server, who string) publishFunc {
	ctx := b.Context()
	br, err := nats.Open(ctx, nats.Config{URL: s.URL()})
	require.NoError(b, err)
	b.Cleanup(func() { _ = br.Close(context.Background()) })
	require.NoError(b, br.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "spans", MaxBytes: 32 << 30}))
	if who == "driver" {
		p, err := br.Publisher()
		require.NoError(b, err)
		return p.Publish
	}
	nc, err := natsgo.Connect(s.URL())
	require.NoError(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(10*time.Second))
	require.NoError(b, err)
	return func(ctx context.Context, msgs []broker.Message) error { return bare(ctx, js, msgs) }
}

// bare publishes as the library's documentation shows.
func bare(ctx context.Context, js jetstream.JetStream, msgs []broker.Message) error {
	futures := make([]jetstream.PubAckFuture, len(msgs))
	for i, m := range msgs {
		msg := natsgo.NewMsg("driftmesh." + m.Topic)
		msg.Data = m.Value
		for _, h := range m.Headers {
			msg.Header[h.Key] = []string{string(h.Value)}
		}
		f, err := js.PublishMsgAsync(msg, jetstream.WithMsgID(m.ID), jetstream.WithStallWait(5*time.Second))
		if err != nil {
			return err
		}
		futures[i] = f
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func benchmark(b *testing.B, s *natsserver.Server, publish publishFunc, batch, size, callers int) {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(i * 7)
	}
	headers := []broker.Header{
		{Key: "driftmesh-tenant", Value: []byte("default")}, {Key: "driftmesh-type", Value: []byte("otlp.traces.v1")},
		{Key: "driftmesh-count", Value: []byte("100")}, {Key: "driftmesh-time", Value: []byte("1790000000000000000")},
		{Key: "driftmesh-seq", Value: []byte("0198a2b4c5d6:123456")},
		{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
	}
	var ids atomic.Int64
	ctx := b.Context()
	b.SetParallelism(max(1, callers/2)) // times two cores
	b.SetBytes(int64(batch * size))
	b.ReportAllocs()
	cpu := cpuTime(b, s)
	b.ResetTimer()
	one := func() error {
		msgs := make([]broker.Message, batch)
		for i := range msgs {
			id := "0198a2b4-c5d6-7000-8000-" + fmt.Sprintf("%012d", ids.Add(1))
			msgs[i] = broker.Message{Topic: "spans", Value: value, Headers: headers, ID: id}
		}
		return publish(ctx, msgs)
	}
	if callers == 1 {
		for b.Loop() {
			require.NoError(b, one())
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := one(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.StopTimer()
	n := float64(b.N * batch)
	b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((cpuTime(b, s)-cpu).Microseconds())/n, "cpu-µs/msg")
}

// cpuTime is the CPU time of this process and of the server.
func cpuTime(b *testing.B, s *natsserver.Server) time.Duration {
	var own syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &own))
	total := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		return total // not on this system
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	for _, f := range fields[11:13] { // utime and stime, in ticks of 10 ms
		ticks, err := strconv.Atoi(f)
		require.NoError(b, err)
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total
}

// BenchmarkConsume receives batches of 512 and acknowledges them.
func BenchmarkConsume(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := natsserver.Start(b, natsserver.Options{})
			ctx := b.Context()
			br, err := nats.Open(ctx, nats.Config{URL: s.URL()})
			require.NoError(b, err)
			b.Cleanup(func() { _ = br.Close(context.Background()) })
			require.NoError(b, broker.Provision(ctx, br.Admin(), broker.TopicSpec{Name: "spans", MaxBytes: 32 << 30}, broker.GroupSpec{Name: "g"}))
			p, err := br.Publisher()
			require.NoError(b, err)
			c, err := br.Consumer(broker.ConsumerConfig{Topic: "spans", Group: "g"})
			require.NoError(b, err)
			value := make([]byte, size)
			msgs := make([]broker.Message, 256)
			for i := range msgs {
				msgs[i] = broker.Message{Topic: "spans", Value: value, Headers: []broker.Header{{Key: "driftmesh-tenant", Value: []byte("default")}}}
			}
			for left := b.N; left > 0; left -= len(msgs) {
				require.NoError(b, p.Publish(ctx, msgs))
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			cpu := cpuTime(b, s)
			b.ResetTimer()
			for left := b.N; left > 0; {
				batch, err := c.Receive(ctx)
				require.NoError(b, err)
				left -= len(batch.Deliveries)
				require.NoError(b, batch.Ack(ctx))
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64((cpuTime(b, s)-cpu).Microseconds())/float64(b.N), "cpu-µs/msg")
		})
	}
}
