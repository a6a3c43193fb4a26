package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/bench/load"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// Bounds of the answers while a broker is away.
const (
	callDeadline  = 15 * time.Second // what callers allow for
	publishLimit  = 13 * time.Second // the door's publish timeout, and some time to say so
	quickLimit    = 3 * time.Second  // once the door knows that the broker is away
	recoveryLimit = 15 * time.Second // from the moment that the broker is back
	blackout      = 20 * time.Second
)

// All five services as processes on every broker: one bad record does not hurt
// its neighbours, and faults lose nothing.
func TestFiveServicesOnEveryBroker(t *testing.T) {
	t.Parallel()
	for i, name := range mesh.Brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := mesh.StartFiveOn(t, mesh.On{Broker: name, Proxied: true}, "DRIFTMESH_AUTH_BOOTSTRAP_PASSWORD="+mesh.AdminPassword)
			t.Run("transports", func(t *testing.T) { requireTransports(t, f, name) })
			t.Run("poison", func(t *testing.T) { requireRedrive(t, f, name) })
			t.Run("faults under load", func(t *testing.T) { surviveFaults(t, f, uint64(10+i)) }) //nolint:gosec // small and positive
			f.Stop()
		})
	}
}

// Promises 1, 2 and 4 under a steady load of spans and records: whatever was
// acknowledged is there, once, and the ledger balances, although the broker is
// killed, its network swallows everything, workers are killed, and a second
// worker comes and goes. Meanwhile every call is answered in time.
func surviveFaults(t *testing.T, f *mesh.Five, seed uint64) {
	t.Helper()
	const profile = "default/steady"
	f.MustCLI(t, "profile", "create", "--reference", wine(t), "--name", "steady")
	spansBefore, recordsBefore := f.Settled(t, "spans"), f.Settled(t, "records")
	begin := time.Now().UTC().Truncate(time.Minute)
	w := &witness{}
	start := time.Now()
	step := func(name string) { t.Logf("%5.1f s: %s", time.Since(start).Seconds(), name) }
	spans := steadySpans(t, f.OTLPGRPC, seed, w)
	records := steadyRecords(t, f.Addresses, profile)
	pause := func() { time.Sleep(1500 * time.Millisecond) } // under load

	pause()
	w.away(t, "killed broker", time.Second, quickLimit, func() {
		f.Broker.Kill()
		gone := time.Now()
		time.Sleep(4 * time.Second) // away
		w.told(t, gone.Add(time.Second))
		f.Broker.Restart()
	})
	pause()
	for _, name := range []string{"trace-store", "ingest-worker"} {
		step("kill " + name)
		f.Kill(name)
		f.Restart(name)
		pause()
	}
	step("join")
	second := []*mesh.Process{f.Join("trace-store"), f.Join("ingest-worker")}
	time.Sleep(3 * time.Second) // both at work
	step("leave")
	for _, p := range second {
		require.NoError(t, p.Stop())
	}
	pause()
	w.away(t, "swallowed traffic", time.Second, publishLimit, func() {
		f.Network.Swallow()
		gone := time.Now()
		time.Sleep(blackout) // swallowed
		w.told(t, gone.Add(time.Second))
		f.Network.Resume()
	})
	pause()

	step("settle")
	r, acknowledged := spans(), records()
	w.requireInTime(t)
	requireAllAcknowledged(t, r, len(r.Acknowledged))
	account := f.Settled(t, "spans")
	require.EqualValues(t, r.Spans(), account.GetStored()-spansBefore.GetStored(), "%v", account)
	require.Equal(t, spansBefore.GetDeadLettered(), account.GetDeadLettered(), "%v", account)
	require.Empty(t, account.GetRejected(), "%v", account)
	mesh.RequireStored(t, f.ClickHouseURL, seed, r.Acknowledged)
	step("spans settled")
	account = f.Settled(t, "records")
	require.EqualValues(t, acknowledged, account.GetStored()-recordsBefore.GetStored(), "%v", account)
	require.Equal(t, recordsBefore.GetDeadLettered(), account.GetDeadLettered(), "%v", account)
	step("records settled")
	evaluated(t, f.Addresses, profile, begin, acknowledged)
	t.Logf("%d spans, %d records, %d attempts failed: %v", r.Spans(), acknowledged, len(w.attempts)-len(r.Acknowledged), r.Failures)
}

// steadySpans sends spans at an even rate, again when they are not accepted,
// until the returned function is called, which waits for the last answer.
func steadySpans(t *testing.T, target string, seed uint64, w *witness) (stop func() *load.Result) {
	t.Helper()
	const seconds = 60 // that it takes at least
	rate := float64(spans(t, 60_000)) / seconds
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	done := make(chan *load.Result, 1)
	ended := make(chan struct{})
	go func() {
		r, err := load.Run(ctx, load.Config{
			Target: target, Until: ended, Rate: rate, Retry: true, Seed: seed,
			Timeout: callDeadline, Observe: w.observe,
		})
		if err != nil {
			t.Errorf("load: %v", err)
		}
		done <- r
	}()
	return func() *load.Result {
		close(ended)
		return <-done
	}
}

// steadyRecords does the same with records, and returns how many were
// acknowledged.
func steadyRecords(t *testing.T, m mesh.Addresses, profile string) (stop func() int) {
	t.Helper()
	client := ingestv1.NewIngestServiceClient(m.Conn(t))
	ended, done := make(chan struct{}), make(chan int, 1)
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { close(ended) }) })
	go func() {
		acknowledged := 0
		for batch := 0; ; batch++ {
			select {
			case <-ended:
				done <- acknowledged
				return
			case <-time.After(200 * time.Millisecond):
			}
			n, err := publishBatch(client, profile, batch, ended)
			if err != nil {
				t.Errorf("records: %v", err)
			}
			acknowledged += n
		}
	}()
	return func() int {
		once.Do(func() { close(ended) })
		return <-done
	}
}

const recordsPerBatch = 20

// publishBatch publishes until it is acknowledged, at the most a minute after
// the end of the load.
func publishBatch(client ingestv1.IngestServiceClient, profile string, batch int, ended <-chan struct{}) (int, error) {
	req := &ingestv1.PublishRecordsRequest{}
	for i := range recordsPerBatch {
		req.Records = append(req.Records, &ingestv1.Record{
			Id: fmt.Sprintf("record-%d-%d", batch, i), Profile: profile, EventTime: timestamppb.Now(),
			Body: &ingestv1.Record_Features{Features: &ingestv1.Features{Values: []*ingestv1.Feature{
				{Name: "alcohol", Value: &ingestv1.Feature_Float{Float: 9 + float64(i)/10}},
			}}},
		})
	}
	var late <-chan time.Time
	for {
		ctx, cancel := context.WithTimeout(context.Background(), callDeadline)
		begin := time.Now()
		answer, err := client.PublishRecords(ctx, req, grpc.WaitForReady(false))
		cancel()
		if took := time.Since(begin); took > callDeadline+time.Second {
			return 0, fmt.Errorf("answered after %v", took)
		}
		if err == nil {
			if answer.GetAccepted() != recordsPerBatch {
				return 0, fmt.Errorf("answer %v", answer)
			}
			return recordsPerBatch, nil
		}
		if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
			return 0, err
		}
		select {
		case <-ended:
			if late == nil {
				late, ended = time.After(time.Minute), nil
			}
		case <-late:
			return 0, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// witness remembers every attempt of a load.
type witness struct {
	mu       sync.Mutex
	attempts []load.Attempt
}

func (w *witness) observe(a load.Attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts = append(w.attempts, a)
}

func (w *witness) all() []load.Attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]load.Attempt(nil), w.attempts...)
}

// told waits until somebody who called after a moment was refused: on a busy
// machine that takes longer than a fault would have to last.
func (w *witness) told(t *testing.T, after time.Time) {
	t.Helper()
	mesh.Await(t, time.Minute, func() error {
		for _, a := range w.all() {
			if a.Begin.After(after) && a.Code != codes.OK {
				return nil
			}
		}
		return errors.New("nobody was told")
	})
}

// away calls fault, which takes the broker away and brings it back, and
// requires that callers, after a moment of grace, were told to try again
// within limit, and that they get through again by themselves.
func (w *witness) away(t *testing.T, what string, grace, limit time.Duration, fault func()) {
	t.Helper()
	from := time.Now()
	fault()
	back := time.Now()
	var recovered time.Duration
	mesh.Await(t, recoveryLimit, func() error {
		for _, a := range w.all() {
			if a.Code == codes.OK && a.Begin.Add(a.Took).After(back) {
				recovered = a.Begin.Add(a.Took).Sub(back)
				return nil
			}
		}
		return fmt.Errorf("%s: nobody gets through", what)
	})
	told, slowest := 0, time.Duration(0)
	for _, a := range w.all() {
		if a.Begin.Before(from.Add(grace)) || a.Begin.Add(a.Took).After(back) {
			continue
		}
		require.Contains(t, []codes.Code{codes.Unavailable, codes.DeadlineExceeded}, a.Code, what)
		told++
		slowest = max(slowest, a.Took)
	}
	require.Positive(t, told, "%s: nobody was told", what)
	require.LessOrEqual(t, slowest, limit, what)
	t.Logf("%s: %d callers told to try again, the slowest after %v; recovered %v after it was back",
		what, told, slowest.Round(time.Millisecond), recovered.Round(time.Millisecond))
}

// requireInTime requires that the door answered every single call, before its
// deadline.
func (w *witness) requireInTime(t *testing.T) {
	t.Helper()
	for _, a := range w.all() {
		require.LessOrEqual(t, a.Took, publishLimit, "answered %v", a.Code)
	}
}
