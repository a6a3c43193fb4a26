package process_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/process"
)

// forgetful is the admin of a broker that keeps nothing for who comes late.
type forgetful struct {
	broker.Admin
	latest []string // groups made to begin with what comes
}

func (f *forgetful) EnsureGroup(ctx context.Context, g broker.GroupSpec) error {
	if g.Start.Place == broker.Earliest {
		return broker.ErrUnsupported
	}
	f.latest = append(f.latest, g.Topic+"/"+g.Name)
	return f.Admin.EnsureGroup(ctx, g)
}

func provisioner(t *testing.T) (process.Env, broker.Admin) {
	t.Helper()
	b := memory.NewServer().Open(memory.Options{})
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	env := process.Env{Log: slog.New(slog.DiscardHandler)}
	env.Shared.Broker = process.Broker{Provision: true, MaxAge: time.Hour, MaxBytes: 1 << 30, Replicas: 1}
	return env, b.Admin()
}

func TestProvisionMakesEveryTopicItsDeadLettersAndGroups(t *testing.T) {
	env, admin := provisioner(t)
	for range 2 { // it may be repeated
		require.NoError(t, env.Provision(t.Context(), admin))
	}
	for _, topic := range event.Topics() {
		for _, name := range []string{topic, broker.DLQ(topic)} {
			require.NotEmpty(t, process.Readers(name), name)
			for _, group := range process.Readers(name) {
				_, err := admin.Lag(t.Context(), name, group)
				require.NoError(t, err, "%s/%s", name, group)
			}
		}
	}
}

// Two producers outside the mesh may use one id; within the mesh it is one
// message.
func TestOnlyTheMeshIsBelievedItsIDs(t *testing.T) {
	env, _ := provisioner(t)
	b := memory.NewServer().Open(memory.Options{})
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	require.NoError(t, env.Provision(t.Context(), b.Admin()))
	p, err := b.Publisher()
	require.NoError(t, err)
	for topic, want := range map[string]int64{event.Inbox: 2, event.Spans: 1} {
		for range 2 {
			require.NoError(t, p.Publish(t.Context(), []broker.Message{{Topic: topic, ID: "1"}}))
		}
		lag, err := b.Admin().Lag(t.Context(), topic, process.Readers(topic)[0])
		require.NoError(t, err)
		require.Equal(t, want, lag.Pending, topic)
	}
}

func TestALateGroupBeginsNowWhereTheBrokerKeptNothingForIt(t *testing.T) {
	env, admin := provisioner(t)
	f := &forgetful{Admin: admin}
	require.NoError(t, env.Provision(t.Context(), f))
	require.Contains(t, f.latest, "spans/"+event.GroupTraceStore)
}
