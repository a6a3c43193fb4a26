package scouter_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

// brokers are those that the client publishes to.
type brokers struct {
	kafka    *kafka.Server
	rabbitmq *rabbitmq.Server
	redis    *redis.Server
}

func startBrokers(t *testing.T) (b brokers) {
	t.Helper()
	var all sync.WaitGroup
	all.Go(func() {
		b.kafka = kafka.Start(t, kafka.Options{Config: map[string]string{"auto.create.topics.enable": "true", "num.partitions": "3"}})
	})
	all.Go(func() { b.rabbitmq = rabbitmq.Start(t, rabbitmq.Options{}) })
	all.Go(func() { b.redis = redis.Start(t, redis.Options{}) })
	all.Wait()
	return b
}

// flags let a mesh take what is published there.
func (b brokers) flags() []string {
	return []string{
		"--ingest-worker.scouter-kafka", "kafka://" + b.kafka.Addr(), "--ingest-worker.scouter-rabbitmq", b.rabbitmq.URL(),
		"--ingest-worker.scouter-redis", b.redis.URL(),
	}
}

// client is the published client, driven.
type client struct {
	t      *testing.T
	python string
	b      brokers
}

// report is what it says that it did.
type report struct {
	Sent     struct{ Messages, Records, Spans uint64 }
	Profiles map[string]struct{ UID string }
	Queue    struct {
		Eval struct{ UIDs []string }
	}
	Traces []struct {
		TraceID string `json:"trace_id"`
		Spans   []struct{ Name string }
	}
}

func newClient(t *testing.T, b brokers) *client {
	t.Helper()
	python := filepath.Join(mesh.Root(t), ".bin/scouter/bin/python")
	if _, err := os.Stat(python); err != nil {
		server.Missing(t, "scouter", python+" is not there; scripts/setup.sh installs it")
	}
	return &client{t, python, b}
}

// drive lets the client speak over a transport, and read everything back.
func (c *client) drive(t *testing.T, m mesh.Addresses, transport, run string) (got report) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second) // where it cannot publish it tries for ten minutes
	defer cancel()
	drive := exec.CommandContext(ctx, c.python, "drive.py", "--transport", transport, "--run", run, "--http", "http://"+m.HTTP,
		"--kafka", c.b.kafka.Addr(), "--rabbitmq", c.b.rabbitmq.Addr(), "--redis", strings.TrimSuffix(c.b.redis.URL(), "/0"),
		"--otlp-http", "http://"+m.OTLPHTTP, "--otlp-grpc", "http://"+m.OTLPGRPC, "--verify", "--unevaluated")
	var said strings.Builder
	drive.Stderr = &said
	out, err := drive.Output()
	require.NoError(t, err, said.String())
	require.NoError(t, json.Unmarshal(out, &got))
	return got
}

// What the client publishes on its three brokers is there when it asks, as over HTTP,
// and in the ledger to the last record.
func TestThePublishedClientOnItsBrokers(t *testing.T) {
	b := startBrokers(t)
	c := newClient(t, b)
	m := mesh.Start(t, append(b.flags(), "--auth.scouter-accounts")...)
	var mu sync.Mutex
	var records uint64
	t.Run("transports", func(t *testing.T) {
		for _, transport := range []string{"kafka", "rabbitmq", "redis"} {
			t.Run(transport, func(t *testing.T) {
				t.Parallel()
				got := c.drive(t, m.Addresses, transport, transport)
				mu.Lock()
				defer mu.Unlock()
				records += got.Sent.Records
			})
		}
	})
	m.Account(t, "records", func(a *ledgerv1.Account) bool {
		return a.GetAccepted() == records && a.GetStored() == records-3 && a.GetRejected()["not_finite"] == 3 && a.GetBalanced()
	})
}
