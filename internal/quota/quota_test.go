package quota_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

var start = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// refused requires a refusal for a limit and gives its wait.
func refused(t *testing.T, err error, limit string) time.Duration {
	t.Helper()
	require.ErrorIs(t, err, fault.Exhausted)
	require.Equal(t, quota.Reason, fault.Of(err).Reason())
	require.Contains(t, fault.Of(err).Message(), "the limit "+limit+" of tenant ")
	return fault.Of(err).RetryAfter()
}

// Names, fields of the API, texts and the state are about the same limits.
func TestEveryLimitHasOneName(t *testing.T) {
	t.Parallel()
	fields := (&authv1.Limits{}).ProtoReflect().Descriptor().Fields()
	require.Equal(t, len(quota.Names()), fields.Len())
	own := quota.Own{}
	for i, name := range quota.Names() {
		field := string(fields.ByNumber(fields.Get(i).Number()).Name())
		for _, text := range []string{name.String(), field} {
			parsed, err := quota.ParseName(text)
			require.NoError(t, err)
			require.Equal(t, name, parsed, text)
		}
		value, err := name.Parse(name.Format(int64(7 + i)))
		require.NoError(t, err)
		require.Equal(t, int64(7+i), value, name)
		own[name] = int64(7 + i)
	}
	back, err := quota.OwnOf(own.Message())
	require.NoError(t, err)
	require.Equal(t, own, back)
	text, err := own.MarshalText()
	require.NoError(t, err)
	var read quota.Own
	require.NoError(t, read.UnmarshalText(text))
	require.Equal(t, own, read)
	require.NoError(t, read.UnmarshalText([]byte(`{"tails":3,"of-a-newer-release":1}`)))
	require.Equal(t, quota.Own{quota.Tails: 3}, read)

	_, err = quota.ParseName("tail")
	require.ErrorIs(t, err, fault.Invalid)
	for name, text := range map[quota.Name]string{quota.Tails: "-1", quota.IngestRate: "5", quota.ShortestSchedule: "1500ms"} {
		_, err = name.Parse(text)
		require.ErrorIs(t, err, fault.Invalid, text)
	}
	huge := uint64(1) << 60
	_, err = quota.OwnOf(&authv1.Limits{Backlog: &huge})
	require.ErrorIs(t, err, fault.Invalid)
}

// In the long run no more than the rate comes in, a burst at once, and nobody waits
// who is below it.
func TestRate(t *testing.T) {
	t.Parallel()
	book := quota.NewBook(quota.Limits{quota.IngestRate: 1000, quota.IngestBurst: 5000})
	tenant := book.Of("a")
	in, now := 0, start
	for range 10_000 { // 100 s, 100 requests of 100 bytes a second
		if tenant.Enter(now) == nil {
			tenant.Charge(now, 100, 1)
			in += 100
		}
		now = now.Add(10 * time.Millisecond)
	}
	require.InDelta(t, 1000*100+5000, in, 200)

	// What was waited for as told is let in, and not earlier.
	wait := refused(t, tenant.Enter(now), "ingest-rate")
	require.Greater(t, wait, 90*time.Millisecond)
	require.NoError(t, tenant.Enter(now.Add(wait)))
	require.NoError(t, book.Of("b").Enter(now), "another tenant")

	// Larger than the burst: in when the bucket has something, and made up for after.
	large := book.Of("large")
	require.NoError(t, large.Enter(start))
	large.Charge(start, 60_000, 1)
	require.InDelta(t, 55, refused(t, large.Enter(start), "ingest-rate").Seconds(), 0.01)
	require.NoError(t, large.Enter(start.Add(56*time.Second)))

	items := quota.NewBook(quota.Limits{quota.IngestItems: 10}).Of("a")
	items.Charge(start, 1, 30)
	require.InDelta(t, 2, refused(t, items.Enter(start), "ingest-items").Seconds(), 0.01)
	require.Contains(t, fault.Of(items.Enter(start)).Message(), "is 10 a second: it is used up, and more fits in 2s")

	free := quota.NewBook(quota.Limits{}).Of("a")
	free.Charge(start, 1<<40, 1<<30)
	require.NoError(t, free.Enter(start))
}

// Of what many send at once, each is charged in full.
func TestChargesAreNotLost(t *testing.T) {
	t.Parallel()
	tenant := quota.NewBook(quota.Limits{quota.IngestRate: 1000}).Of("a")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				tenant.Charge(start, 10, 1)
			}
		})
	}
	all.Wait()
	require.InDelta(t, 79, refused(t, tenant.Enter(start), "ingest-rate").Seconds(), 0.001)
}

func TestRetained(t *testing.T) {
	t.Parallel()
	book := quota.NewBook(quota.Limits{quota.Retained: 1 << 20})
	book.Kept(map[string]int64{"a": 1 << 20, "b": 100})
	require.Equal(t, time.Minute, refused(t, book.Of("a").Enter(start), "retained"))
	require.NoError(t, book.Of("b").Enter(start))
	book.Of("b").Charge(start, 1<<20, 1)
	refused(t, book.Of("b").Enter(start), "retained") // before it is told anew
	book.Kept(map[string]int64{"b": 100})
	require.NoError(t, book.Of("a").Enter(start))
	require.NoError(t, book.Of("b").Enter(start))
}

func TestChangesHoldAtOnceForThoseWhoAreThere(t *testing.T) {
	t.Parallel()
	book := quota.NewBook(quota.Limits{quota.Tails: 5})
	a := book.Of("a")
	change := func(own quota.Own) {
		book.Hear(quota.Change{Defaults: quota.Limits{quota.Tails: 7}, Own: map[string]quota.Own{"a": own}, Head: 1})
	}
	change(quota.Own{quota.Tails: 0, quota.Queries: 3})
	require.Equal(t, int64(0), a.Limits()[quota.Tails])
	require.Equal(t, int64(3), a.Limits()[quota.Queries])
	require.Equal(t, int64(7), book.Of("b").Limits()[quota.Tails])
	change(nil)
	require.Equal(t, int64(7), a.Limits()[quota.Tails])
}

// A rate that was set too low by mistake is over when it is set right, however much was
// sent at it: a request of a megabyte at 8 B a second would be made up for in a day.
func TestARateThatIsChangedHoldsAtOnce(t *testing.T) {
	t.Parallel()
	book := quota.NewBook(quota.Limits{})
	own := func(own quota.Own) {
		book.Hear(quota.Change{Own: map[string]quota.Own{"a": own}, Head: 1})
	}
	a := book.Of("a")
	own(quota.Own{quota.IngestRate: 8, quota.IngestItems: 1})
	a.Charge(start, 1<<20, 1000)
	require.Greater(t, refused(t, a.Enter(start), "ingest-rate"), 24*time.Hour)
	own(quota.Own{quota.IngestRate: 8 << 20, quota.IngestItems: 1, quota.Tails: 3})
	refused(t, a.Enter(start), "ingest-items") // which was not changed
	own(quota.Own{quota.IngestRate: 8 << 20, quota.IngestItems: 2})
	require.NoError(t, a.Enter(start))
	a.Charge(start, 64<<20, 0)
	own(quota.Own{quota.IngestRate: 8 << 20, quota.IngestItems: 2, quota.Tails: 4})
	refused(t, a.Enter(start), "ingest-rate") // another limit changes nothing of it
}

// One tenant gets most of a pool and never all; two share it.
func TestPoolAlwaysHasSomethingForOthers(t *testing.T) {
	t.Parallel()
	pool := quota.NewPool(1000)
	var a, b, c quota.Share
	fill := func(s *quota.Share) quota.Taken {
		for {
			if got := pool.Take(s, 1, 0, 0); got != quota.Given {
				return got
			}
		}
	}
	require.Equal(t, quota.Unfair, fill(&a))
	require.Equal(t, int64(750), a.Used())
	require.Equal(t, quota.Unfair, fill(&b))
	require.InDelta(t, 187, b.Used(), 1)
	require.Equal(t, quota.Given, pool.Take(&c, 10, 0, 0))
	require.Equal(t, quota.Over, pool.Take(&c, 1, 10, 0))
	require.Equal(t, quota.Full, pool.Take(&c, 500, 0, 0))
	require.Equal(t, quota.Full, pool.Take(nil, 10, 0, 500), "half is left alone")
	require.Equal(t, a.Used()+b.Used()+c.Used(), pool.Used(), "what was not given is not taken")
}

// Tenants take turns however many of one wait, and none has more places than it may.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		book := quota.NewBook(quota.Limits{quota.Queries: 2})
		turns := quota.NewTurns(3, 10*time.Second)
		a, b := book.Of("a"), book.Of("b")
		var leaves []func()
		enter := func(who *quota.Tenant) {
			leave, err := turns.Enter(ctx, who)
			require.NoError(t, err)
			leaves = append(leaves, leave)
		}
		enter(a)
		enter(a)
		order := make(chan string, 100)
		queue := func(who *quota.Tenant) {
			go func() {
				leave, err := turns.Enter(ctx, who)
				if err == nil {
					order <- who.Name()
					time.Sleep(time.Second)
					leave()
				}
			}()
			synctest.Wait()
		}
		for range 6 {
			queue(a)
		}
		require.Empty(t, order, "a third place is free and not for a")
		enter(b)
		for range 3 {
			queue(b)
		}
		for _, leave := range leaves {
			leave()
		}
		var got strings.Builder
		for range 6 {
			got.WriteString(<-order)
		}
		require.Equal(t, 3, strings.Count(got.String(), "b"), "the three of b are among the first six, behind six of a: %s", got.String())
		time.Sleep(time.Minute)
		require.Len(t, order, 3)
		taken, waiting := turns.Counts("a")
		require.Equal(t, [2]int{}, [2]int{taken, waiting})
	})
}

func TestTurnsRefuse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := quota.NewBook(quota.Limits{})
		turns := quota.NewTurns(1, 10*time.Second)
		a := book.Of("a")
		leave, err := turns.Enter(t.Context(), a)
		require.NoError(t, err)
		failed := make(chan error, 100)
		for range 64 {
			go func() {
				_, err := turns.Enter(t.Context(), a)
				failed <- err
			}()
		}
		synctest.Wait()
		_, err = turns.Enter(t.Context(), a)
		require.Positive(t, refused(t, err, "queries"), "as many wait as may")
		gone, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := turns.Enter(gone, book.Of("b"))
			done <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		time.Sleep(11 * time.Second)
		for range 64 {
			refused(t, <-failed, "queries")
		}
		leave()
		leave, err = turns.Enter(t.Context(), a)
		require.NoError(t, err, "nothing is left of those who went away")
		leave()
	})
}

// A topic that is not read is full for whoever fills it and not for others; what is
// settled counts no more.
func TestBacklog(t *testing.T) {
	t.Parallel()
	book := quota.NewBook(quota.Limits{})
	backlog := quota.NewBacklog(book, quota.Spans, 1000)
	a, b := book.Of("a"), book.Of("b")
	look := func(at int, pending int64, oldest time.Duration) {
		backlog.Look(t.Context(), start.Add(time.Duration(at)*time.Second), func(context.Context) (int64, time.Duration, error) {
			return pending, oldest, nil
		})
	}
	messages := int64(0)
	for backlog.Enter(a) == nil {
		backlog.Published(a, 10)
		messages++
	}
	require.Equal(t, int64(760), a.Backlog())
	require.Positive(t, refused(t, backlog.Enter(a), "backlog"))
	require.NoError(t, backlog.Enter(b), "there is room for another")
	look(60, messages, time.Minute)
	require.Equal(t, int64(760), a.Backlog(), "all of it is pending")
	backlog.Published(b, 10)
	look(61, 1, 0)
	require.Equal(t, int64(0), a.Backlog(), "what is in front of the last message is settled")
	require.Equal(t, int64(10), b.Backlog())
	look(120, 50, 10*time.Second)
	require.Equal(t, int64(0), b.Backlog(), "what is pending is younger: of another gateway")

	backlog.Published(b, 10)
	backlog.Look(t.Context(), start.Add(200*time.Second), func(context.Context) (int64, time.Duration, error) {
		return 0, 0, errors.New("the broker is away")
	})
	require.Equal(t, int64(10), b.Backlog())
	for i := range 1000 { // an outage: bounded, and nothing is forgotten
		backlog.Published(b, 1)
		look(200+i, int64(i+2), time.Hour)
	}
	require.Equal(t, int64(1010), b.Backlog())
	look(2000, 0, 0)
	require.Equal(t, int64(0), b.Backlog())

	book.Hear(quota.Change{Own: map[string]quota.Own{"a": {quota.BacklogBytes: 5}}})
	backlog.Published(a, 5)
	refused(t, backlog.Enter(a), "backlog")
}

// Metrics tell fifty tenants apart, and add the others up.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	book := quota.NewBook(quota.Limits{quota.Tails: 1})
	stats := prometheus.NewRegistry()
	require.NoError(t, book.Register(stats, "test", nil))
	book.Of("quiet")
	count, err := testutil.GatherAndCount(stats)
	require.NoError(t, err)
	require.Zero(t, count, "no traffic, no series")
	for i := range 60 {
		tenant := book.Of("t" + string(rune('a'+i/26)) + string(rune('a'+i%26)))
		_ = tenant.Refuse(quota.Tails, "", 0)
	}
	families, err := stats.Gather()
	require.NoError(t, err)
	tenants, others := map[string]bool{}, 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			tenants[labels["tenant"]] = true
			if f.GetName() == "driftmesh_test_tenant_refused_total" && labels["limit"] == "tails" && labels["tenant"] == quota.Other {
				others = m.GetCounter().GetValue()
			}
		}
	}
	require.Len(t, tenants, 51)
	require.InDelta(t, 10, others, 0)
}

func BenchmarkTenant(b *testing.B) {
	book := quota.NewBook(quota.Limits{quota.IngestRate: 1 << 40, quota.IngestItems: 1 << 40, quota.Retained: 1 << 50})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			tenant := book.Of("acme")
			now := time.Now()
			if tenant.Enter(now) != nil {
				b.Fail()
			}
			tenant.Charge(now, 100, 1)
		}
	})
}
