package mesh_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
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

// spans is how large the loads of the fault tests are at the least.
// DRIFTMESH_TEST_SPANS makes them larger: 1000000 takes several minutes with the
// race detector.
func spans(t *testing.T, otherwise int) int {
	t.Helper()
	if v := os.Getenv("DRIFTMESH_TEST_SPANS"); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		return n
	}
	return otherwise
}

// loadUnderFaults sends requests as loadInBackground does, as fast as they are
// answered, until the returned function is called after the last fault: it
// waits until the load is large enough and goes well again, and ends it.
func loadUnderFaults(t *testing.T, target string, seed uint64) (stop func() *load.Result) {
	t.Helper()
	const wellAgain = 100 // requests that are acknowledged after the last fault
	var acknowledged atomic.Int64
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(cancel)
	done, ended := make(chan *load.Result, 1), make(chan struct{})
	go func() {
		r, err := load.Run(ctx, load.Config{Target: target, Until: ended, Retry: true, Seed: seed, Observe: func(a load.Attempt) {
			if a.Code == codes.OK {
				acknowledged.Add(1)
			}
		}})
		if err != nil {
			t.Errorf("load: %v", err)
		}
		done <- r
	}()
	return func() *load.Result {
		enough := max(acknowledged.Load()+wellAgain, int64(spans(t, 20_000)/load.SpansPerRequest))
		mesh.Await(t, 5*time.Minute, func() error {
			if n := acknowledged.Load(); n < enough {
				return fmt.Errorf("%d requests of %d are acknowledged", n, enough)
			}
			return nil
		})
		close(ended)
		r := <-done
		requireAllAcknowledged(t, r, len(r.Acknowledged))
		t.Logf("%d spans in %v, %d requests sent again", r.Spans(), r.Elapsed.Round(time.Second), r.Retries)
		return r
	}
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
	stop := loadUnderFaults(t, m.OTLPGRPC, 1)
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		time.Sleep(time.Duration(500+random.IntN(2000)) * time.Millisecond) // when it dies is up to chance
		m.Kill()
		m.Boot()
	}
	r := stop()
	account := m.Settled(t, "spans")
	require.EqualValues(t, r.Spans(), account.GetStored())
	require.Zero(t, account.GetDeadLettered())
	require.Empty(t, account.GetRejected())
	m.Stop()
	mesh.RequireStored(t, m.OpenStore(), 1, r.Acknowledged)
}

// The same of five services, when one is killed at a time, their broker, or
// their store.
func TestFiveServicesKilledInTurnUnderLoadNothingIsLostOrTwice(t *testing.T) {
	t.Parallel()
	f := mesh.StartFive(t)
	stored := 0
	t.Run("services and broker", func(t *testing.T) {
		stored = requireAllStored(t, f, 2, 0, func() {
			for _, name := range mesh.Services {
				time.Sleep(700 * time.Millisecond) // under load
				f.Kill(name)
				f.Restart(name)
			}
			time.Sleep(700 * time.Millisecond)
			f.Broker.Kill()
			f.Broker.Restart()
		})
	})
	t.Run("engine", func(t *testing.T) {
		stored = requireAllStored(t, f, 3, stored, func() {
			for range 3 {
				time.Sleep(time.Second) // under load
				pid := f.Engine.PID()
				require.NotZero(t, pid)
				p, err := os.FindProcess(pid)
				require.NoError(t, err)
				require.NoError(t, p.Kill())
				require.Eventually(t, func() bool { now := f.Engine.PID(); return now != 0 && now != pid }, 30*time.Second, 20*time.Millisecond)
			}
		})
	})
	t.Run("the SDK", func(t *testing.T) { requireSDKLosesNothing(t, f, stored) })
	f.Stop()
}

// requireAllStored requires that faults under load lose nothing and store nothing
// twice, and returns how many spans are stored with those of before.
func requireAllStored(t *testing.T, f *mesh.Five, seed uint64, before int, faults func()) (stored int) {
	t.Helper()
	stop := loadUnderFaults(t, f.OTLPGRPC, seed)
	faults()
	r := stop()
	stored = before + r.Spans()
	account := f.Settled(t, "spans")
	require.EqualValues(t, stored, account.GetStored(), "%v", account)
	mesh.RequireStored(t, f.ClickHouseURL, seed, r.Acknowledged)
	return stored
}
