package scouter_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

// theirs are the brokers that the client publishes to.
type theirs struct {
	kafka    *kafka.Server
	rabbitmq *rabbitmq.Server
	redis    *redis.Server
}

func startTheirs(t *testing.T) (b theirs) {
	t.Helper()
	asShipped := kafka.Options{Config: map[string]string{"auto.create.topics.enable": "true", "num.partitions": "3"}}
	var all sync.WaitGroup
	all.Go(func() { b.kafka = kafka.Start(t, asShipped) })
	all.Go(func() { b.rabbitmq = rabbitmq.Start(t, rabbitmq.Options{}) })
	all.Go(func() { b.redis = redis.Start(t, redis.Options{}) })
	all.Wait()
	return b
}

// settings let a mesh take what is published there.
func (b theirs) settings() map[string]string {
	return map[string]string{"kafka": "kafka://" + b.kafka.Addr(), "rabbitmq": b.rabbitmq.URL(), "redis": b.redis.URL()}
}

// flags are the settings of a mesh in one program.
func (b theirs) flags() (list []string) {
	for name, url := range b.settings() {
		list = append(list, "--ingest-worker.scouter-"+name, url)
	}
	return list
}

// env are those of services of their own.
func (b theirs) env() (list []string) {
	for name, url := range b.settings() {
		list = append(list, "DRIFTMESH_INGEST_WORKER_SCOUTER_"+strings.ToUpper(name)+"="+url)
	}
	return list
}

// addresses are how the client is told.
func (b theirs) addresses() []string {
	return []string{"--kafka", b.kafka.Addr(), "--rabbitmq", b.rabbitmq.Addr(), "--redis", strings.TrimSuffix(b.redis.URL(), "/0")}
}

// What the client publishes on its three brokers is there when it asks, as over HTTP,
// and in the ledger and the store to the last record.
func TestThePublishedClientOnItsBrokers(t *testing.T) {
	t.Parallel()
	python(t)
	b := startTheirs(t)
	m := mesh.Start(t, append(b.flags(), "--auth.scouter-accounts")...)
	scripts, reports := map[string]*script{}, map[string]*report{"kafka": {}, "rabbitmq": {}, "redis": {}}
	for way := range reports {
		scripts[way] = begin(t, "drive.py", append(b.addresses(), "--transport", way, "--run", way, "--http", "http://"+m.HTTP,
			"--otlp-http", "http://"+m.OTLPHTTP, "--otlp-grpc", "http://"+m.OTLPGRPC, "--verify")...)
	}
	for way, r := range reports {
		scripts[way].end(r)
	}
	m.Account(t, "records", func(a *ledgerv1.Account) bool {
		return a.GetAccepted() == 3*109 && a.GetStored() == 3*108 && a.GetRejected()["not_finite"] == 3 && a.GetBalanced()
	})
	m.Settled(t, "spans")
	m.Stop()
	db := openStore(t, m.OpenStore())
	require.Equal(t, []uint64{3 * 12, 3 * 108}, row[uint64](t, db, "SELECT [count(), sum(Written)] FROM record_ledger FINAL WHERE Tenant = 'default'"))
	for _, r := range reports {
		requireRun(t, db, r)
	}
}
