package transport_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/sdk"
	transportkafka "github.com/driftmesh/driftmesh/sdk/broker/kafka"
	transportnats "github.com/driftmesh/driftmesh/sdk/broker/nats"
	transportrabbitmq "github.com/driftmesh/driftmesh/sdk/broker/rabbitmq"
	transportredis "github.com/driftmesh/driftmesh/sdk/broker/redis"
	"github.com/driftmesh/driftmesh/sdk/transporttest"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/nats"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

// BenchmarkSend measures what a batch of 100 spans costs its sender: time until it is
// durable, one after the other, and CPU.
func BenchmarkSend(b *testing.B) {
	for _, c := range []struct {
		name  string
		start func() (server.Broker, string)
		open  sdk.OpenTransport
	}{
		{"nats", func() (server.Broker, string) { s := nats.Start(b, nats.Options{}); return s, s.URL() }, transportnats.New},
		{"kafka", func() (server.Broker, string) { s := kafka.Start(b, kafka.Options{}); return s, "kafka://" + s.Addr() }, transportkafka.New},
		{"rabbitmq", func() (server.Broker, string) { s := rabbitmq.Start(b, rabbitmq.Options{}); return s, s.URL() }, transportrabbitmq.New},
		{"redis", func() (server.Broker, string) { s := redis.Start(b, redis.Options{}); return s, s.URL() }, transportredis.New},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, address := c.start()
			d, err := driver.Open(b.Context(), driver.Config{URL: s.URL()})
			require.NoError(b, err)
			require.NoError(b, broker.Provision(b.Context(), d.Admin(), broker.TopicSpec{Name: event.Inbox, MaxBytes: 1 << 30}, broker.GroupSpec{Name: event.GroupIngest}))
			require.NoError(b, d.Close(b.Context()))
			tr, err := c.open(address, sdk.TransportConfig{})
			require.NoError(b, err)
			defer tr.Close(b.Context())
			batch, _ := transporttest.NewSeries("default/wine").Batch(sdk.TypeSpans, 100, 400)
			_, err = tr.Send(b.Context(), batch)
			require.NoError(b, err)
			b.SetBytes(int64(len(batch.Body)))
			from := cpu(b)
			for b.Loop() {
				if _, err := tr.Send(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-from).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
