package tail_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/tail"
)

func anyRoom(*quota.Tenant) broker.Room { return nil }

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source counts the readers that are open.
type source struct {
	mu     sync.Mutex
	opened int
	open   map[*reader]struct{}
	err    error
}

type reader struct {
	*broker.TailBuffer
	of *source
}

func (s *source) Tail(context.Context, string) (broker.Tail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	r := &reader{broker.NewTailBuffer(), s}
	s.opened++
	if s.open == nil {
		s.open = map[*reader]struct{}{}
	}
	s.open[r] = struct{}{}
	return r, nil
}

func (r *reader) Close() error {
	r.of.mu.Lock()
	delete(r.of.open, r)
	r.of.mu.Unlock()
	return r.TailBuffer.Close()
}

func (s *source) push(tenant, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.open {
		r.Push(broker.Delivery{Message: broker.Message{
			Value: []byte(value), Headers: []broker.Header{{Key: event.HeaderTenant, Value: []byte(tenant)}},
		}})
	}
}

func (s *source) counts() (open, opened int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open), s.opened
}

func next(t *testing.T, w *tail.Watcher) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d, err := w.Next(ctx)
	require.NoError(t, err)
	return string(d.Value)
}

func TestOneReaderServesAll(t *testing.T) {
	t.Parallel()
	tenants := quota.NewBook(quota.Limits{})
	s := &source{}
	hub := tail.NewHub(s, 3, anyRoom, slog.New(slog.DiscardHandler))
	defer hub.Stop()
	a, err := hub.Watch(t.Context(), "spans", tenants.Of("acme"))
	require.NoError(t, err)
	b, err := hub.Watch(t.Context(), "spans", tenants.Of("acme"))
	require.NoError(t, err)
	c, err := hub.Watch(t.Context(), "spans", tenants.Of("other"))
	require.NoError(t, err)
	_, err = hub.Watch(t.Context(), "spans", tenants.Of("acme"))
	require.ErrorIs(t, err, fault.Unavailable, "three may watch")
	s.push("acme", "1")
	s.push("other", "2")
	require.Equal(t, "1", next(t, a))
	require.Equal(t, "1", next(t, b))
	require.Equal(t, "2", next(t, c))
	open, opened := s.counts()
	require.Equal(t, []int{1, 1}, []int{open, opened})
	a.Close()
	a.Close()
	b.Close()
	c.Close()
	open, _ = s.counts()
	require.Zero(t, open, "nobody watches: nobody reads")
	require.Zero(t, hub.Watchers())
}

func TestReaderThatFails(t *testing.T) {
	t.Parallel()
	tenants := quota.NewBook(quota.Limits{})
	s := &source{}
	hub := tail.NewHub(s, 3, anyRoom, slog.New(slog.DiscardHandler))
	defer hub.Stop()
	w, err := hub.Watch(t.Context(), "spans", tenants.Of("acme"))
	require.NoError(t, err)
	s.mu.Lock()
	for r := range s.open {
		_ = r.TailBuffer.Close()
	}
	s.mu.Unlock()
	_, err = w.Next(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
	again, err := hub.Watch(t.Context(), "spans", tenants.Of("acme"))
	require.NoError(t, err)
	s.push("acme", "1")
	require.Equal(t, "1", next(t, again))
	w.Close()
	again.Close()
	open, opened := s.counts()
	require.Equal(t, []int{0, 2}, []int{open, opened})

	s.err = broker.ErrUnavailable
	_, err = hub.Watch(t.Context(), "spans", tenants.Of("acme"))
	require.ErrorIs(t, err, fault.Unavailable)
}

func TestStopEndsAllViews(t *testing.T) {
	t.Parallel()
	tenants := quota.NewBook(quota.Limits{})
	s := &source{}
	hub := tail.NewHub(s, 3, anyRoom, slog.New(slog.DiscardHandler))
	w, err := hub.Watch(t.Context(), "spans", tenants.Of("acme"))
	require.NoError(t, err)
	hub.Stop()
	_, err = w.Next(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
	w.Close()
	_, err = hub.Watch(t.Context(), "spans", tenants.Of("acme"))
	require.ErrorIs(t, err, fault.Unavailable)
	open, _ := s.counts()
	require.Zero(t, open)
}

// A tenant that floods with tails that nobody reads gets as many as it may, and its
// share of the memory; another's go on.
func TestTailFlood(t *testing.T) {
	t.Parallel()
	tenants := quota.NewBook(quota.Limits{})
	tenants.Hear(quota.Change{Own: map[string]quota.Own{"flood": {quota.Tails: 5, quota.InFlight: 1 << 20}}})
	flood, other := tenants.Of("flood"), tenants.Of("other")
	budget := door.NewBudget(8 << 20)
	s := &source{}
	hub := tail.NewHub(s, 100, func(t *quota.Tenant) broker.Room { return budget.Room(t) }, slog.New(slog.DiscardHandler))
	var open []*tail.Watcher
	for range 5 {
		w, err := hub.Watch(t.Context(), "spans", flood)
		require.NoError(t, err)
		open = append(open, w)
	}
	_, err := hub.Watch(t.Context(), "spans", flood)
	require.ErrorIs(t, err, fault.Exhausted)
	require.Equal(t, "the limit tails of tenant flood is 5: 5 are open", fault.Of(err).Message())
	require.Positive(t, fault.Of(err).RetryAfter())
	theirs, err := hub.Watch(t.Context(), "spans", other)
	require.NoError(t, err)

	for range 200 { // five times 12 MiB
		s.push("flood", strings.Repeat("x", 64<<10))
		require.LessOrEqual(t, flood.Memory.Used(), int64(1<<20))
	}
	s.push("other", "mine")
	require.Equal(t, "mine", next(t, theirs))
	require.Greater(t, flood.Memory.Used(), int64(900<<10), "what fits is kept")
	var missed uint64
	for _, w := range open {
		missed += w.Missed()
		w.Close()
	}
	require.GreaterOrEqual(t, missed, uint64(1000-16))
	require.Zero(t, flood.Memory.Used())
	w, err := hub.Watch(t.Context(), "spans", flood)
	require.NoError(t, err, "its places are free again")
	w.Close()
	theirs.Close()
	hub.Stop()
	require.Zero(t, budget.Used())
}
