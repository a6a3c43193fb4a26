package driver_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/fault"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

func TestMain(m *testing.M) {
	natsserver.Child()
	goleak.VerifyTestMain(m)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	server := natsserver.Start(t, natsserver.Options{})
	for _, url := range []string{server.URL(), "mem://"} {
		var logged bytes.Buffer
		reg := prometheus.NewRegistry()
		b, err := driver.Open(t.Context(), driver.Config{
			URL: url, Name: "test", Log: slog.New(slog.NewTextHandler(&logged, nil)), Stats: reg,
		})
		require.NoError(t, err, url)
		require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: "spans"}))
		p, err := b.Publisher()
		require.NoError(t, err)
		require.NoError(t, p.Publish(t.Context(), []broker.Message{{Topic: "spans"}}))
		n, err := testutil.GatherAndCount(reg, "driftmesh_broker_published_total")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.NoError(t, b.Close(t.Context()))
		require.NoError(t, b.Close(t.Context()), "twice is fine")
		require.Contains(t, logged.String(), "durability=")
	}
}

func TestOpenSharedMemory(t *testing.T) {
	t.Parallel()
	server := memory.NewServer()
	for range 2 {
		b, err := driver.Open(t.Context(), driver.Config{URL: "mem://", Memory: server})
		require.NoError(t, err)
		require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: "spans", MaxBytes: 1 << 20}))
		require.NoError(t, b.Close(context.Background()))
	}
}

// The scheme alone chooses the driver, and a broker that is away is no reason
// not to start.
func TestOpenChoosesTheDriverByTheScheme(t *testing.T) {
	t.Parallel()
	for scheme, system := range map[string]string{
		"nats": "nats", "nats+tls": "nats", "kafka": "kafka", "kafka+tls": "kafka",
		"amqp": "rabbitmq", "amqps": "rabbitmq", "redis": "redis", "rediss": "redis", "mem": "memory",
	} {
		b, err := driver.Open(t.Context(), driver.Config{URL: scheme + "://127.0.0.1:1"})
		require.NoError(t, err, scheme)
		require.Equal(t, system, b.Capabilities().System, scheme)
		require.NoError(t, b.Close(t.Context()), scheme)
	}
}

func TestOpenRefusesUnknownSchemes(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:4222", "http://x", "natz://x"} {
		_, err := driver.Open(t.Context(), driver.Config{URL: url})
		require.ErrorIs(t, err, fault.Invalid, url)
		require.ErrorContains(t, err, "supported are nats, nats+tls, kafka, kafka+tls, amqp, amqps, redis, rediss (each also +sentinel, +cluster) and mem", url)
	}
}
