package ingest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/source"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/services/ingest-worker/ingest"
)

// queued is a source that a memory broker of somebody else's keeps.
type queued struct {
	broker.Consumer
	broker broker.Broker
}

const queue, workers = "scouter", "driftmesh"

// withSource gives the mesh a source, and how to publish there.
func (m *mesh) withSource() (publish func(values ...string)) {
	m.t.Helper()
	b := memory.NewServer().Open(memory.Options{Name: "theirs"})
	m.t.Cleanup(func() { require.NoError(m.t, b.Close(context.Background())) })
	require.NoError(m.t, broker.Provision(m.t.Context(), b.Admin(), broker.TopicSpec{Name: queue}, broker.GroupSpec{Name: workers}))
	c, err := b.Consumer(broker.ConsumerConfig{Topic: queue, Group: workers})
	require.NoError(m.t, err)
	s := queued{c, b}
	m.sources = append(m.sources, ingest.Source{Source: s, Broker: source.AsBroker(s)})
	p, err := b.Publisher()
	require.NoError(m.t, err)
	return func(values ...string) {
		m.t.Helper()
		for _, v := range values {
			require.NoError(m.t, p.Publish(m.t.Context(), []broker.Message{{Topic: queue, Value: []byte(v)}}))
		}
	}
}

func (q queued) Ping(ctx context.Context) error { return q.broker.Ping(ctx) }

func (q queued) Lag(ctx context.Context) (broker.Lag, error) {
	return q.broker.Admin().Lag(ctx, queue, workers)
}

func (queued) Traits() source.Traits {
	return source.Traits{System: "memory", Queue: queue, Group: workers, Keeps: true, Shared: true}
}

// While the mesh's broker refuses what comes from a source, or has no inbox, messages
// wait in the source: they are good, and nothing of them is parked.
func TestSourceWaitsForTheInbox(t *testing.T) {
	for _, refused := range []error{broker.ErrUnroutable, broker.ErrDenied, broker.ErrUnavailable, broker.ErrBackpressure} {
		t.Run(refused.Error(), func(t *testing.T) {
			m := newMesh(t)
			publish := m.withSource()
			f := &refusing{topic: event.Inbox, err: refused}
			f.times.Store(2)
			m.wrap = func(b broker.Broker) broker.Broker {
				f.Broker = b
				return f
			}
			r := m.run()
			for i := range 3 {
				publish(fmt.Sprintf(`{"records":[{"Spc":{"uid":%q,"created_at":"2026-11-21T10:00:00Z","feature":"acid","value":%d,"entity_id":0}}]}`, wine, i))
			}
			require.Eventually(t, func() bool {
				lag, err := m.sources[0].Lag(t.Context())
				return err == nil && lag.Total() == 0
			}, patience, tick)
			m.awaitInbox()
			require.Negative(t, f.times.Load())
			require.EqualValues(t, 3, m.rows("observations", "default"))
			require.EqualValues(t, 3, r.admitted("default")["records"].GetAccepted())
			require.Empty(t, m.dead())
		})
	}
}
