package mesh_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/driftmesh/driftmesh/bench/load"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server/nats"
)

func TestMain(m *testing.M) {
	nats.Child()
	os.Exit(m.Run())
}

// spans is how large the loads of the fault tests are. DRIFTMESH_TEST_SPANS
// makes them larger: 1000000 takes several minutes with the race detector.
func spans(t *testing.T, otherwise int) int {
	t.Helper()
	if v := os.Getenv("DRIFTMESH_TEST_SPANS"); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		return n
	}
	return otherwise
}

// loadInBackground sends requests that are sent again, with the same ids, when
// the mesh is away, as an OpenTelemetry exporter does.
func loadInBackground(t *testing.T, target string, requests int, seed uint64) <-chan *load.Result {
	t.Helper()
	done := make(chan *load.Result, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		r, err := load.Run(ctx, load.Config{Target: target, Requests: requests, Retry: true, Seed: seed})
		if err != nil {
			t.Errorf("load: %v", err)
		}
		done <- r
	}()
	return done
}

// requireAllAcknowledged: a load that may be sent again gets through in the
// end, and meets no answer that an exporter would take for final.
func requireAllAcknowledged(t *testing.T, r *load.Result, requests int) {
	t.Helper()
	require.NotNil(t, r)
	for code := range r.Failures {
		require.Contains(t, []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Canceled}, code, "%v", r.Failures)
	}
	require.Len(t, r.Acknowledged, requests)
}

// Promises 1, 2 and 4: whatever was acknowledged is there, once, and the
// ledger balances, although everything was killed again and again.
func TestKilledFiveTimesUnderLoadNothingIsLostOrTwice(t *testing.T) {
	t.Parallel()
	m := mesh.Start(t)
	requests := spans(t, 200_000) / load.SpansPerRequest
	done := loadInBackground(t, m.OTLPGRPC, requests, 1)
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		time.Sleep(time.Duration(500+random.IntN(2000)) * time.Millisecond) // when it dies is up to chance
		m.Kill()
		m.Boot()
	}
	r := <-done
	requireAllAcknowledged(t, r, requests)
	account := m.Settled(t, "spans")
	require.EqualValues(t, r.Spans(), account.GetStored())
	require.Zero(t, account.GetDeadLettered())
	require.Empty(t, account.GetRejected())
	m.Stop()
	mesh.RequireStored(t, m.OpenStore(), 1, r.Acknowledged)
}

func TestEachServiceKilledInTurnUnderLoadNothingIsLostOrTwice(t *testing.T) {
	f := mesh.StartFive(t)
	requests := spans(t, 150_000) / load.SpansPerRequest
	done := loadInBackground(t, f.OTLPGRPC, requests, 2)
	for _, name := range mesh.Services {
		time.Sleep(700 * time.Millisecond) // under load
		f.Kill(name)
		f.Restart(name)
	}
	time.Sleep(700 * time.Millisecond)
	f.Broker.Kill()
	f.Broker.Restart()
	r := <-done
	requireAllAcknowledged(t, r, requests)
	account := f.Settled(t, "spans")
	require.EqualValues(t, r.Spans(), account.GetStored())
	mesh.RequireStored(t, f.ClickHouseURL, 2, r.Acknowledged)
	f.Stop()
}

func TestEngineKilledUnderLoadNothingIsLostOrTwice(t *testing.T) {
	f := mesh.StartFive(t)
	requests := spans(t, 100_000) / load.SpansPerRequest
	done := loadInBackground(t, f.OTLPGRPC, requests, 3)
	for range 3 {
		time.Sleep(time.Second) // under load
		pid := f.Engine.PID()
		require.NotZero(t, pid)
		p, err := os.FindProcess(pid)
		require.NoError(t, err)
		require.NoError(t, p.Kill())
		require.Eventually(t, func() bool { now := f.Engine.PID(); return now != 0 && now != pid }, 30*time.Second, 20*time.Millisecond)
	}
	r := <-done
	requireAllAcknowledged(t, r, requests)
	require.EqualValues(t, r.Spans(), f.Settled(t, "spans").GetStored())
	mesh.RequireStored(t, f.ClickHouseURL, 3, r.Acknowledged)
}
