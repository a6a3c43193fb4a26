package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/driver/nats"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/deadletter"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

func TestMain(m *testing.M) {
	natsserver.Child()
	clickhousetest.Main(m, func() error { return goleak.Find() })
}

const (
	patience = 30 * time.Second
	tick     = 10 * time.Millisecond
)

// drivers open a broker of each kind that needs no server from outside.
var drivers = map[string]func(testing.TB) broker.Broker{
	"memory": func(testing.TB) broker.Broker { return memory.NewServer().Open(memory.Options{}) },
	"nats": func(t testing.TB) broker.Broker {
		b, err := nats.Open(t.Context(), nats.Config{URL: natsserver.Start(t, natsserver.Options{}).URL()})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return b.Ping(t.Context()) == nil }, patience, tick)
		return b
	},
}

// world is the service between a broker, a store and a worker of the topic
// spans whose handling a test decides.
type world struct {
	t      testing.TB
	broker broker.Broker
	db     *clickhouse.DB
	stats  *prometheus.Registry
	deadletterv1.DeadLetterServiceServer

	mu     sync.Mutex
	broken error               // what the worker says of every message, nil for none
	good   map[string][]string // tenant → ledger ids of the messages it took, in order
}

func newWorld(t testing.TB, b broker.Broker) *world {
	w := &world{t: t, broker: b, db: clickhousetest.Open(t), stats: prometheus.NewRegistry(), good: map[string][]string{}}
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	for _, topic := range event.Topics() {
		require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: topic}))
		require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: broker.DLQ(topic), Dedupe: broker.DLQDedupe}))
		require.NoError(t, b.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: broker.DLQ(topic), Name: event.GroupDeadLetters}))
	}
	require.NoError(t, b.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: event.Spans, Name: event.GroupTraceStore}))
	service, err := deadletter.New(deadletter.Config{}, deadletter.Deps{
		Broker: broker.NewTelemetry(nil, w.stats).Instrument(b), ClickHouse: w.db, Member: "test", Drain: time.Second,
		Log: slog.New(slog.DiscardHandler), Stats: w.stats,
	})
	require.NoError(t, err)
	require.NoError(t, service.Migrate(t.Context()))
	service.Register(w)
	worker, err := runner.New(runner.Config{
		Broker: b, Handler: w.handle, Drain: time.Second,
		Consumer: broker.ConsumerConfig{Topic: event.Spans, Group: event.GroupTraceStore, Member: "worker", Linger: time.Millisecond},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { require.NoError(t, service.Run(ctx)) })
	running.Go(func() { require.NoError(t, worker.Run(ctx)) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return w
}

// RegisterService implements grpc.ServiceRegistrar: calls need no network.
func (w *world) RegisterService(_ *grpc.ServiceDesc, impl any) {
	w.DeadLetterServiceServer = impl.(deadletterv1.DeadLetterServiceServer)
}

func (w *world) handle(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	verdicts := make([]runner.Verdict, len(ds))
	for i := range ds {
		stamp := envelope.Of(&ds[i].Message)
		if w.broken != nil {
			verdicts[i] = runner.Dead("not_today", w.broken)
			continue
		}
		w.good[stamp.Tenant] = append(w.good[stamp.Tenant], stamp.Identity(&ds[i]))
	}
	return verdicts, nil
}

func (w *world) setBroken(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

func (w *world) taken(tenant string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.good[tenant]...)
}

var errBroken = errors.New("the disk is on fire")

// message is a message of the topic spans.
func message(tenant string, value []byte) broker.Message {
	return envelope.New(event.Spans, envelope.Stamp{Tenant: tenant, Type: event.TypeTraces, Count: 3, Accepted: time.Now(), Seq: "gw:1"}, value)
}

func (w *world) publish(msgs ...broker.Message) {
	w.t.Helper()
	p, err := w.broker.Publisher()
	require.NoError(w.t, err)
	defer p.Close(context.Background())
	require.NoError(w.t, p.Publish(w.t.Context(), msgs))
}

func as(tenant string) context.Context {
	return identity.With(context.Background(), identity.Identity{Tenant: tenant, Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)})
}

func (w *world) list(tenant string, req *deadletterv1.ListDeadLettersRequest) []*deadletterv1.DeadLetter {
	w.t.Helper()
	resp, err := w.ListDeadLetters(as(tenant), req)
	require.NoError(w.t, err)
	return resp.GetDeadLetters()
}

// parked waits until the tenant has so many letters that wait.
func (w *world) parked(tenant string, n int) []*deadletterv1.DeadLetter {
	w.t.Helper()
	var letters []*deadletterv1.DeadLetter
	require.Eventually(w.t, func() bool {
		letters = w.list(tenant, &deadletterv1.ListDeadLettersRequest{PageSize: 1000})
		return len(letters) == n
	}, patience, tick)
	return letters
}

// redrive redrives letters and returns the outcomes, without their prefix.
func (w *world) redrive(tenant string, ids ...string) []string {
	w.t.Helper()
	resp, err := w.RedriveDeadLetters(as(tenant), &deadletterv1.RedriveDeadLettersRequest{Ids: ids})
	require.NoError(w.t, err)
	return outcomes(resp)
}

func outcomes(resp *deadletterv1.RedriveDeadLettersResponse) []string {
	var out []string
	for _, r := range resp.GetResults() {
		out = append(out, r.GetOutcome().String()[len("REDRIVE_OUTCOME_"):])
	}
	return out
}

// settled waits until nothing is on its way in a topic.
func (w *world) settled(topic, group string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		lag, err := w.broker.Admin().Lag(w.t.Context(), topic, group)
		return err == nil && lag.Known && lag.Total() == 0
	}, patience, tick, fmt.Sprint(topic, " never settled"))
}
