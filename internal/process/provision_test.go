package process_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/process"
)

// rig is a service's view of a broker in memory.
type rig struct {
	*testing.T
	server *memory.Server
	broker broker.Broker
	env    process.Env
	stats  *prometheus.Registry
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, server: memory.NewServer(), stats: prometheus.NewRegistry()}
	r.broker = broker.NewTelemetry(nil, nil).Instrument(r.server.Open(memory.Options{}))
	t.Cleanup(func() { require.NoError(t, r.broker.Close(context.Background())) })
	r.env = process.Env{Log: slog.New(slog.DiscardHandler), Stats: r.stats}
	r.env.Shared.Broker = process.Broker{Provision: true, MaxAge: time.Hour, MaxBytes: 1 << 30, Replicas: 1}
	return r
}

// keep runs Keep until the test ends.
func (r *rig) keep(topics *process.Topics) {
	ctx, stop := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() { done <- topics.Keep(ctx) }()
	r.Cleanup(func() {
		stop()
		require.NoError(r, <-done)
	})
}

func TestProvisionMakesEveryTopicItsDeadLettersAndGroups(t *testing.T) {
	r := newRig(t)
	topics := r.env.Topics(r.broker, event.Spans)
	require.Error(t, topics.Ready(t.Context()))
	for range 2 { // it may be repeated
		require.NoError(t, topics.Provision(t.Context()))
	}
	require.NoError(t, topics.Ready(t.Context()))
	for _, topic := range event.All() {
		require.NotEmpty(t, process.Readers(topic.Name), topic.Name)
		require.NoError(t, r.broker.Admin().Check(t.Context(), topic.Name, process.Readers(topic.Name)...))
	}
	for _, topic := range []string{"records.retry", "inbox.retry"} {
		require.NoError(t, r.broker.Admin().Check(t.Context(), topic, event.GroupIngest))
	}
}

// Two producers outside the mesh may use one id; within the mesh it is one
// message.
func TestOnlyTheMeshIsBelievedItsIDs(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.env.Topics(r.broker).Provision(t.Context()))
	p, err := r.broker.Publisher()
	require.NoError(t, err)
	for topic, want := range map[string]int64{event.Inbox: 2, event.Spans: 1} {
		for range 2 {
			require.NoError(t, p.Publish(t.Context(), []broker.Message{{Topic: topic, ID: "1"}}))
		}
		lag, err := r.broker.Admin().Lag(t.Context(), topic, process.Readers(topic)[0])
		require.NoError(t, err)
		require.Equal(t, want, lag.Pending, topic)
	}
}

// What is deleted under a running service is named by its readiness within
// seconds, and made anew: topics and groups that it needs, and in time all.
func TestWhatIsProvisionedIsReconciled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		topics := r.env.Topics(r.broker, event.Spans, event.Records)
		require.NoError(t, topics.Provision(t.Context()))
		r.keep(topics)
		for _, gone := range [][2]string{{event.Spans, ""}, {event.Records, event.GroupIngest}} {
			r.server.Remove(gone[0], gone[1])
			time.Sleep(3 * time.Second)
			require.NoError(t, topics.Ready(t.Context()))
			require.NoError(t, r.broker.Admin().Check(t.Context(), gone[0], process.Readers(gone[0])...))
			require.InDelta(t, 1, testutil.ToFloat64(mended(r.stats, gone[0])), 0)
		}
		r.server.Remove(broker.DLQ(event.Alerts), "") // no need of this service
		time.Sleep(time.Minute)
		require.NoError(t, r.broker.Admin().Check(t.Context(), broker.DLQ(event.Alerts), event.GroupDeadLetters))
	})
}

// mended is a counter of the registry, by topic.
func mended(reg *prometheus.Registry, topic string) prometheus.Collector {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_topics_mended_total", Help: "How often a topic, or a group of it, was missing on the broker and is there again.",
	}, []string{"topic"})
	var are prometheus.AlreadyRegisteredError
	if errors.As(reg.Register(vec), &are) {
		vec, _ = are.ExistingCollector.(*prometheus.CounterVec)
	}
	return vec.WithLabelValues(topic)
}

// Where somebody else provisions, what is missing stays missing, is named, and
// is found when it is there again.
func TestWithoutProvisioningReadinessNamesWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		require.NoError(t, r.env.Topics(r.broker).Provision(t.Context()))
		r.env.Shared.Broker.Provision, r.env.Stats = false, nil
		topics := r.env.Topics(r.broker, event.Spans)
		require.NoError(t, topics.Provision(t.Context()))
		require.NoError(t, topics.Ready(t.Context()))
		r.keep(topics)
		r.server.Remove(event.Spans, event.GroupTraceStore)
		time.Sleep(time.Minute)
		err := topics.Ready(t.Context())
		require.ErrorIs(t, err, broker.ErrNoGroup)
		require.ErrorContains(t, err, event.GroupTraceStore)
		require.NoError(t, r.broker.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: event.Spans, Name: event.GroupTraceStore}))
		time.Sleep(2 * time.Second)
		require.NoError(t, topics.Ready(t.Context()))
		r.server.Down()
		time.Sleep(2 * time.Second)
		require.ErrorIs(t, topics.Ready(t.Context()), broker.ErrUnavailable)
	})
}

// What callers of the service meet counts before the next check: an answer that
// the topic is gone, and a topic that has been full for a while.
func TestReadinessHearsOfPublishesThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		topics := r.env.Topics(r.broker, event.Spans)
		require.NoError(t, topics.Provision(t.Context()))
		pub, err := r.broker.Publisher()
		require.NoError(t, err)
		publish := func() error {
			return pub.Publish(t.Context(), []broker.Message{{Topic: event.Spans, Value: []byte("x")}})
		}
		require.NoError(t, publish())
		r.server.Remove(event.Spans, "")
		require.Error(t, publish())
		require.ErrorIs(t, topics.Ready(t.Context()), broker.ErrUnroutable, "nobody has checked")
		r.keep(topics)
		time.Sleep(3 * time.Second)
		require.NoError(t, topics.Ready(t.Context()), "it is made anew, and that is news too")
		require.NoError(t, publish())
	})
}

// flaky fails a few times, as a broker does that is still starting.
type flaky struct {
	broker.Broker
	left atomic.Int32
	err  error
}

func (f *flaky) Admin() broker.Admin { return flakyAdmin{f.Broker.Admin(), f} }

type flakyAdmin struct {
	broker.Admin
	of *flaky
}

func (f flakyAdmin) EnsureGroup(ctx context.Context, g broker.GroupSpec) error {
	if f.of.left.Add(-1) >= 0 {
		return f.of.err
	}
	return f.Admin.EnsureGroup(ctx, g)
}

func TestProvisionOutlastsWhatPassesAndNothingElse(t *testing.T) {
	for _, row := range []struct {
		name  string
		err   error
		lasts bool
	}{
		{"away", broker.ErrUnavailable, false},
		{"unknown", errors.New("brokers are fenced"), false},
		{"deleted meanwhile", broker.ErrUnroutable, false},
		{"full", broker.ErrBackpressure, false},
		{"too slow", context.DeadlineExceeded, false},
		{"denied", broker.ErrDenied, true},
		{"cannot be", broker.ErrUnsupported, true},
		{"invalid", broker.ErrInvalid, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				f := &flaky{Broker: r.broker, err: row.err}
				f.left.Store(3)
				topics := r.env.Topics(f, event.Spans)
				err := topics.Provision(t.Context())
				if row.lasts {
					require.ErrorIs(t, err, row.err)
					return
				}
				require.NoError(t, err)
				require.NoError(t, topics.Ready(t.Context()))
			})
		})
	}
}
