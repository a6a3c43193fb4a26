package runner_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a memory broker with one topic, its DLQ and one group.
type bundle struct {
	*testing.T
	server *memory.Server
	b      broker.Broker
	pub    broker.Publisher
}

func setup(t *testing.T, wrap ...func(broker.Broker) broker.Broker) *bundle {
	t.Helper()
	server := memory.NewServer()
	b := server.Open(memory.Options{})
	for _, w := range wrap {
		b = w(b)
	}
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	spec := broker.GroupSpec{Name: "g", AckWait: 2 * time.Second}
	require.NoError(t, broker.Provision(t.Context(), b.Admin(), broker.TopicSpec{Name: "spans"}, spec))
	require.NoError(t, b.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: "spans.dlq", Name: "dlq"}))
	pub, err := b.Publisher()
	require.NoError(t, err)
	return &bundle{T: t, server: server, b: b, pub: pub}
}

func (b *bundle) publish(values ...string) {
	b.Helper()
	for _, v := range values {
		require.NoError(b, b.pub.Publish(b.Context(), []broker.Message{{Topic: "spans", ID: v, Value: []byte(v)}}))
	}
}

// run runs a handler until stop.
func (b *bundle) run(cfg runner.Config) (stop func() error) {
	b.Helper()
	cfg.Broker = b.b
	cfg.Consumer.Topic, cfg.Consumer.Group = cmp.Or(cfg.Consumer.Topic, "spans"), "g"
	cfg.Consumer.Linger = 20 * time.Millisecond
	if cfg.BackoffMin == 0 {
		cfg.BackoffMin, cfg.BackoffMax = 2*time.Millisecond, 20*time.Millisecond
	}
	r, err := runner.New(cfg)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	b.Cleanup(func() { _ = stop() })
	return stop
}

func (b *bundle) settled() bool {
	lag, err := b.b.Admin().Lag(b.Context(), "spans", "g")
	return err == nil && lag.Total() == 0
}

// parked are the reasons in the DLQ by value.
func (b *bundle) parked() map[string]string {
	b.Helper()
	c, err := b.b.Consumer(broker.ConsumerConfig{Topic: "spans.dlq", Group: "dlq", Linger: 10 * time.Millisecond})
	require.NoError(b, err)
	defer func() { require.NoError(b, c.Close(b.Context())) }()
	out := map[string]string{}
	for {
		ctx, cancel := context.WithTimeout(b.Context(), 50*time.Millisecond)
		batch, err := c.Receive(ctx)
		cancel()
		if err != nil {
			return out
		}
		for _, d := range batch.Deliveries {
			out[string(d.Value)] = d.Header(event.HeaderDLQReason)
		}
		require.NoError(b, batch.Ack(b.Context()))
	}
}

// script answers per value, by how often it was seen alone or in company.
type script struct {
	mu   sync.Mutex
	seen map[string]int
	done map[string]int
	errs func(value string, n int) error
}

func newScript(errs func(value string, n int) error) *script {
	return &script{seen: map[string]int{}, done: map[string]int{}, errs: errs}
}

func (s *script) handle(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		s.seen[string(d.Value)]++
	}
	for _, d := range ds {
		if err := s.errs(string(d.Value), s.seen[string(d.Value)]); err != nil {
			return nil, err
		}
	}
	for _, d := range ds {
		s.done[string(d.Value)]++
	}
	return nil, nil
}

func (s *script) count(m map[string]int, v string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m[v]
}

func eventually(t *testing.T, ok func() bool, msg string) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, 5*time.Millisecond, msg)
}

// The table of fault kinds: what becomes of one bad message among good ones
// when the handler fails the whole batch for it.
func TestRunnerByKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   error
		times  int    // how often the handler fails; 0 is always
		reason string // it is parked for; "" is done
	}{
		{fault.Invalid, 0, "schema"},
		{fault.Unauthenticated, 0, "denied"},
		{fault.Denied, 0, "denied"},
		{fault.NotFound, 0, "store_rejected"},
		{fault.Precondition, 0, "store_rejected"},
		{fault.Unsupported, 0, "store_rejected"},
		{broker.ErrTooLarge, 0, "too_large"},
		{fault.Exists, 0, ""},
		{fault.Conflict, 3, ""},
		{fault.Conflict, 0, ""}, // no evidence against the message; stops when it succeeds
		{fault.Unavailable, 12, ""},
		{fault.Timeout, 12, ""},
		{fault.Exhausted, 12, ""},
		{fault.Internal, 2, ""},
		{fault.Internal, 0, "max_deliveries"},
		{errors.New("unknown"), 0, "max_deliveries"},
	} {
		t.Run(fmt.Sprintf("%v/%d", c.kind, c.times), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			times := c.times
			if times == 0 && errors.Is(c.kind, fault.Conflict) {
				times = 40
			}
			s := newScript(func(v string, n int) error {
				if v == "bad" && (times == 0 || n <= times) {
					return fmt.Errorf("store: %w", c.kind)
				}
				return nil
			})
			b.publish("a", "b", "bad", "c", "d")
			stop := b.run(runner.Config{Handler: s.handle, MaxAttempts: 3})
			eventually(t, b.settled, "everything is settled")
			require.NoError(t, stop())
			want := map[string]string{}
			if c.reason != "" {
				want["bad"] = c.reason
			}
			require.Equal(t, want, b.parked())
			if errors.Is(c.kind, fault.Exists) {
				return // nothing was done: it was there already
			}
			for _, v := range []string{"a", "b", "c", "d"} {
				require.Equal(t, 1, s.count(s.done, v), "neighbour %q", v)
			}
			if c.reason == "" {
				require.Equal(t, 1, s.count(s.done, "bad"))
			}
		})
	}
}

func TestRunnerVerdicts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("done", "dead", "later", "never", "outage")
	var mu sync.Mutex
	seen := map[string]int{}
	stop := b.run(runner.Config{
		MaxAttempts: 3,
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			mu.Lock()
			defer mu.Unlock()
			vs := make([]runner.Verdict, len(ds))
			for i, d := range ds {
				v := string(d.Value)
				seen[v]++
				switch {
				case v == "dead":
					vs[i] = runner.Dead(runner.ReasonDecode, errors.New("no sense"))
				case v == "later" && seen[v] < 3:
					vs[i] = runner.Retry(time.Millisecond, errors.New("not yet"))
				case v == "never":
					vs[i] = runner.FromError(errors.New("boom"))
				case v == "outage" && seen[v] < 10:
					vs[i] = runner.FromError(fault.Unavailable.New("away").WithRetryAfter(time.Millisecond))
				}
			}
			return vs, nil
		},
	})
	eventually(t, b.settled, "everything is settled")
	require.NoError(t, stop())
	require.Equal(t, map[string]string{"dead": "decode", "never": "max_deliveries"}, b.parked())
	require.Equal(t, map[string]int{"done": 1, "dead": 1, "later": 3, "never": 3, "outage": 10}, seen)
}

// A store that fails everything for an unknown reason is not the messages'
// fault.
func TestRunnerSystemicFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var values []string
	for i := range 40 {
		values = append(values, fmt.Sprint("m", i))
	}
	b.publish(values...)
	var mu sync.Mutex
	sick := true
	calls := 0
	s := newScript(func(string, int) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; sick {
			return errors.New("disk is on fire")
		}
		return nil
	})
	stop := b.run(runner.Config{Handler: s.handle, MaxAttempts: 2})
	eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return calls > 100
	}, "it is tried for a while")
	mu.Lock()
	sick = false
	mu.Unlock()
	eventually(t, b.settled, "everything is settled")
	require.NoError(t, stop())
	require.Empty(t, b.parked())
	for _, v := range values {
		require.Equal(t, 1, s.count(s.done, v))
	}
}

func TestRunnerPanicIsAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("a", "bad", "c")
	s := newScript(func(v string, _ int) error {
		if v == "bad" {
			var none []int
			return fmt.Errorf("unreachable %d", none[len(v)])
		}
		return nil
	})
	stop := b.run(runner.Config{
		MaxAttempts: 2,
		Handler: func(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			return s.handle(ctx, ds)
		},
	})
	eventually(t, b.settled, "everything is settled")
	require.NoError(t, stop())
	require.Equal(t, map[string]string{"bad": "max_deliveries"}, b.parked())
}

// While the store is away the batch waits in our hands, its lease is kept, and
// a stop gives it back at once.
func TestRunnerOutageAndStop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("a", "b")
	s := newScript(func(string, int) error { return fault.Unavailable.New("away") })
	stop := b.run(runner.Config{Handler: s.handle, MaxAttempts: 2, BackoffMin: 20 * time.Millisecond, BackoffMax: 50 * time.Millisecond})
	require.Never(t, func() bool {
		lag, err := b.b.Admin().Lag(t.Context(), "spans", "g")
		return err == nil && lag.InFlight != 2 && s.count(s.seen, "a") > 0
	}, 3*time.Second, 50*time.Millisecond, "the lease of two seconds is kept for three")
	start := time.Now()
	require.NoError(t, stop())
	require.Less(t, time.Since(start), time.Second)
	lag, err := b.b.Admin().Lag(t.Context(), "spans", "g")
	require.NoError(t, err)
	require.EqualValues(t, 2, lag.Pending)
	require.Empty(t, b.parked())
}

// What is stored is acknowledged even when the broker is away for a moment.
func TestRunnerAcksAfterOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var once sync.Once
	s := newScript(func(string, int) error {
		once.Do(func() {
			b.server.Down()
			time.AfterFunc(300*time.Millisecond, b.server.Up)
		})
		return nil
	})
	b.publish("a", "b")
	stop := b.run(runner.Config{Handler: s.handle})
	eventually(t, b.settled, "everything is settled")
	require.NoError(t, stop())
	require.Equal(t, 1, s.count(s.seen, "a"))
}

func TestRunnerParkHook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	var tries int
	stop := b.run(runner.Config{
		Consumer: broker.ConsumerConfig{Member: "w"},
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			return nil, fault.Invalid.New("bad")
		},
		OnPark: func(_ context.Context, d *broker.Delivery, p runner.Park) error {
			mu.Lock()
			defer mu.Unlock()
			if tries++; tries < 3 {
				return errors.New("the books are closed")
			}
			if p.Reason != runner.ReasonSchema || p.Group != "g" || p.Worker != "w" || d.ID != "a" {
				return fmt.Errorf("wrong park %+v", p)
			}
			return nil
		},
	})
	b.publish("a")
	eventually(t, b.settled, "it is acknowledged after the books are kept")
	require.NoError(t, stop())
	require.Equal(t, 3, tries)
}

// Whatever was delivered can be parked, also at the limit.
func TestRunnerParksTheLargest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := broker.Message{Topic: "spans", ID: "big"}
	m.Value = make([]byte, b.b.Capabilities().MaxMessageBytes-m.Size())
	require.NoError(t, b.pub.Publish(t.Context(), []broker.Message{m}))
	stop := b.run(runner.Config{Handler: func(context.Context, []broker.Delivery) ([]runner.Verdict, error) {
		long := make([]byte, 5000)
		for i := range long {
			long[i] = 'x'
		}
		return nil, fault.Invalid.New("%s", long)
	}})
	eventually(t, b.settled, "it is parked")
	require.NoError(t, stop())
	require.Len(t, b.parked(), 1)
}
