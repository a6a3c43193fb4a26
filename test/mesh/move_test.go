package mesh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

// A mesh moves from broker to broker under load, as docs/brokers.md says: first
// the gateway, then, when nobody has anything to do on the old broker, the
// workers. Nothing is lost, nothing is stored twice, and the ledger balances.
func TestMoveToAnotherBroker(t *testing.T) {
	t.Parallel()
	const profile, seed = "default/wine", 40
	// All of them before the load: where one is missing, the test ends here.
	next := map[string]server.Broker{}
	order := []string{"kafka", "rabbitmq", "redis", "nats"}
	for _, name := range order {
		next[name] = startWithLag(t, name)
	}
	f := mesh.StartFive(t)
	f.MustCLI(t, "profile", "create", "--reference", wine(t), "--name", "wine")
	begin := time.Now().UTC().Truncate(time.Minute)
	spans := steadySpans(t, f.OTLPGRPC, seed, &witness{})
	records := steadyRecords(t, f.Addresses, profile)
	old := f.Broker
	for _, name := range order {
		time.Sleep(2 * time.Second) // under load
		f.Move("gateway", next[name])
		requireDrained(t, old)
		for _, service := range []string{"auth", "ingest-worker", "drift", "trace-store"} {
			f.Move(service, next[name])
		}
		old = next[name]
	}
	time.Sleep(2 * time.Second) // under load
	r, acknowledged := spans(), records()
	requireAllAcknowledged(t, r, len(r.Acknowledged))
	account := f.Settled(t, "spans")
	require.EqualValues(t, r.Spans(), account.GetStored(), "%v", account)
	require.Zero(t, account.GetMissingMessages(), "%v", account)
	require.Zero(t, account.GetDeadLettered(), "%v", account)
	mesh.RequireStored(t, f.ClickHouseURL, seed, r.Acknowledged)
	account = f.Settled(t, "records")
	require.EqualValues(t, acknowledged, account.GetStored(), "%v", account)
	require.Zero(t, account.GetMissingMessages(), "%v", account)
	evaluated(t, f.Addresses, profile, begin, acknowledged)
	t.Logf("%d spans, %d records", r.Spans(), acknowledged)
	f.Stop()
}

// startWithLag starts a broker that can tell how far a group is behind whose
// workers are elsewhere.
func startWithLag(t *testing.T, name string) server.Broker {
	t.Helper()
	if name == "rabbitmq" {
		return rabbitmq.Start(t, rabbitmq.Options{Management: true})
	}
	return mesh.StartBroker(t, name)
}

// requireDrained waits until no group has anything to do on a broker, of any
// topic, dead letters included.
func requireDrained(t *testing.T, on server.Broker) {
	t.Helper()
	b, err := driver.Open(t.Context(), driver.Config{URL: on.URL()})
	require.NoError(t, err)
	defer b.Close(t.Context())
	mesh.Await(t, time.Minute, func() error {
		for _, topic := range event.All() {
			for _, group := range topic.Groups {
				lag, err := b.Admin().Lag(t.Context(), topic.Name, group)
				if err != nil {
					return err
				}
				if !lag.Known || lag.Total() > 0 {
					return fmt.Errorf("group %s of topic %s: %+v", group, topic.Name, lag)
				}
			}
		}
		return nil
	})
}
