package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Main(m)) }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// each runs a test on every database.
func each(t *testing.T, test func(t *testing.T, s *store.State)) {
	t.Helper()
	sqltest.Each(t, func(t *testing.T, url string) {
		db, err := sqlstate.Open(t.Context(), url, store.Schema)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		s := store.NewState(db)
		require.NoError(t, s.Migrate(t.Context(), slog.New(slog.DiscardHandler)))
		require.NoError(t, s.Migrate(t.Context(), slog.New(slog.DiscardHandler)))
		test(t, s)
	})
}

func register(t *testing.T, s *store.State, tenant, name string) *store.Registered {
	t.Helper()
	c := profile.Column{Name: "x", Type: profile.Float}
	for i := range 100 {
		c.Numbers = append(c.Numbers, float64(i))
	}
	p, err := profile.New([]profile.Column{c}, profile.Options{Space: "s", Name: name})
	require.NoError(t, err)
	r, err := s.CreateProfile(t.Context(), store.NewProfile{Tenant: tenant, Active: true, Now: noon, First: noon.Add(time.Hour), Profile: p})
	require.NoError(t, err)
	return r
}

func TestSlotIsInOneHandAtATime(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a")
		ctx := t.Context()
		none, err := s.ClaimSlot(ctx, "w", noon.Add(time.Hour-1), noon.Add(time.Hour), time.Minute)
		require.NoError(t, err)
		require.Nil(t, none, "it is not due")

		now := noon.Add(time.Hour + 5*time.Second)
		claims := make(chan *store.Slot, 8)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				slot, err := s.ClaimSlot(ctx, fmt.Sprint(i), now, now, time.Minute)
				if err == nil && slot != nil {
					claims <- slot
				}
			})
		}
		group.Wait()
		require.Len(t, claims, 1)
		slot := <-claims
		require.Equal(t, noon, slot.Previous)
		require.Equal(t, noon.Add(time.Hour), slot.At)

		// The owner dies: when the lease is over another takes the same slot, and
		// the first can conclude it no more.
		taken, err := s.ClaimSlot(ctx, "heir", now, now.Add(time.Minute), time.Minute)
		require.NoError(t, err)
		require.Equal(t, slot.At, taken.At)
		err = s.Conclude(ctx, store.Conclusion{Profile: p, At: slot.At, Trigger: store.TriggerSchedule, Now: now, Slot: slot, Next: noon.Add(2 * time.Hour)})
		require.ErrorIs(t, err, fault.Precondition)

		// It fails: it stays due, but not at once.
		require.NoError(t, s.FailSlot(ctx, taken, now.Add(2*time.Minute)))
		none, err = s.ClaimSlot(ctx, "w", now, now.Add(time.Minute), time.Minute)
		require.NoError(t, err)
		require.Nil(t, none)
		again, err := s.ClaimSlot(ctx, "w", now, now.Add(2*time.Minute), time.Minute)
		require.NoError(t, err)
		require.Equal(t, slot.At, again.At)
		require.Equal(t, slot.Previous, again.Previous, "the range is not skipped")
		require.Equal(t, 1, again.Attempts)
		require.NoError(t, s.Conclude(ctx, store.Conclusion{
			Profile: p, At: again.At, Trigger: store.TriggerSchedule, Now: now, Slot: again, Next: noon.Add(2 * time.Hour),
		}))
		next, err := s.ClaimSlot(ctx, "w", noon.Add(2*time.Hour), noon.Add(2*time.Hour), time.Minute)
		require.NoError(t, err)
		require.Equal(t, slot.At, next.Previous)
		require.Equal(t, noon.Add(2*time.Hour), next.At)
		require.Zero(t, next.Attempts)
	})
}

func report(verdict score.Verdict) score.Report {
	return score.Report{Feature: "x", Detector: score.PSI, Verdict: verdict, Value: 0.3, Threshold: 0.1, Sample: 200,
		Bins: []score.Bin{{Label: "(-inf, 1]", Observed: 1, Contribution: 0.3, Exemplars: []score.Exemplar{{Record: "r", Trace: "t"}}}}}
}

// A worker that dies after any step has its work repeated, but not its alerts.
func TestConcludeTwiceTellsOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a")
		conclude := func(hour int, verdict score.Verdict) {
			t.Helper()
			at := noon.Add(time.Duration(hour) * time.Hour)
			for range 3 {
				require.NoError(t, s.Conclude(t.Context(), store.Conclusion{
					Profile: p, At: at, Trigger: store.TriggerSchedule, Start: at.Add(-time.Hour), End: at, Now: at.Add(time.Second),
					Repeat: 2 * time.Hour, Reports: []score.Report{report(verdict)},
				}))
			}
		}
		var told []string
		tell := func() []string {
			t.Helper()
			events, err := s.Outbox(t.Context(), 10)
			require.NoError(t, err)
			for _, e := range events {
				told = append(told, string(e.Change))
				require.Equal(t, "s/a/0.1.0", e.Title)
				require.Equal(t, "acme", e.Tenant)
			}
			require.NoError(t, s.Published(t.Context(), events))
			return told
		}
		conclude(1, score.OK)
		require.Empty(t, tell())
		conclude(2, score.Drift)
		conclude(3, score.Drift)
		require.Equal(t, []string{"raised"}, tell())
		conclude(1, score.OK) // an old slot, late
		conclude(4, score.Drift)
		require.Equal(t, []string{"raised", "repeated"}, tell(), "two hours after the first time")
		open, err := s.ListAlerts(t.Context(), "acme", p.UID, true, "", 10)
		require.NoError(t, err)
		require.Len(t, open, 1)
		require.EqualValues(t, 3, open[0].Occurrences)
		require.Equal(t, report(score.Drift), open[0].Score)
		require.Equal(t, noon.Add(2*time.Hour+time.Second), open[0].Raised)
		require.Equal(t, noon.Add(4*time.Hour), open[0].RangeEnd)

		acknowledged, err := s.Acknowledge(t.Context(), "acme", open[0].ID, "ada", noon.Add(4*time.Hour))
		require.NoError(t, err)
		require.Equal(t, "ada", acknowledged.AcknowledgedBy)
		_, err = s.Acknowledge(t.Context(), "other", open[0].ID, "eve", noon)
		require.ErrorIs(t, err, fault.NotFound)
		conclude(5, score.Insufficient)
		conclude(6, score.OK)
		require.Equal(t, []string{"raised", "repeated", "acknowledged", "resolved"}, tell())
		conclude(7, score.Drift)
		require.Equal(t, "raised", tell()[4])
		all, err := s.ListAlerts(t.Context(), "acme", "", false, "", 10)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.True(t, all[0].Raised.After(all[1].Raised), "newest first")
		require.False(t, all[1].Resolved.IsZero())
	})
}

// Alerts of closing windows do not meddle with those of the schedule.
func TestTriggersAreApart(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a")
		for trigger, verdict := range map[string]score.Verdict{store.TriggerSchedule: score.Drift, store.TriggerClose: score.OK} {
			require.NoError(t, s.Conclude(t.Context(), store.Conclusion{
				Profile: p, At: noon, Trigger: trigger, Start: noon.Add(-time.Hour), End: noon, Now: noon, Reports: []score.Report{report(verdict)},
			}))
		}
		open, err := s.ListAlerts(t.Context(), "acme", "", true, "", 10)
		require.NoError(t, err)
		require.Len(t, open, 1)
	})
}

func TestTouchedDuringWorkIsNotForgotten(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx := t.Context()
		touch := func(profile string, minute int64, due time.Time) {
			t.Helper()
			require.NoError(t, s.Touch(ctx, []store.Touch{{Tenant: "acme", Profile: profile, Minute: minute, Due: due}}))
		}
		touch("p", 1, noon.Add(time.Minute))
		touch("p", 1, noon) // the earlier time counts
		touch("p", 2, noon)
		touch("q", 3, noon)
		touch("p", 9, noon.Add(time.Hour))
		waiting, oldest, err := s.WindowBacklog(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 4, waiting)
		require.Equal(t, noon, oldest)

		claimed, err := s.ClaimWindows(ctx, noon, time.Minute, 10)
		require.NoError(t, err)
		require.Equal(t, []store.Waiting{{"acme", "p", 1, 2}, {"acme", "p", 2, 1}}, claimed, "one profile at a time")
		other, err := s.ClaimWindows(ctx, noon, time.Minute, 10)
		require.NoError(t, err)
		require.Equal(t, []store.Waiting{{"acme", "q", 3, 1}}, other)
		none, err := s.ClaimWindows(ctx, noon, time.Minute, 10)
		require.NoError(t, err)
		require.Empty(t, none, "all are in hands")

		touch("p", 1, noon.Add(time.Second))
		require.NoError(t, s.WindowsDone(ctx, claimed, noon.Add(3*time.Second)))
		left, err := s.WaitingWindows(ctx, "acme", "p", 0, 100)
		require.NoError(t, err)
		require.Equal(t, []store.Waiting{{"acme", "p", 1, 3}, {"acme", "p", 9, 1}}, left)
		again, err := s.ClaimWindows(ctx, noon.Add(3*time.Second), time.Minute, 10)
		require.NoError(t, err)
		require.Equal(t, left[:1], again)
		require.NoError(t, s.PostponeWindows(ctx, again, noon.Add(4*time.Second)))
		again, err = s.ClaimWindows(ctx, noon.Add(4*time.Second), time.Minute, 10)
		require.NoError(t, err)
		require.Equal(t, left[:1], again)

		// A worker that died: its windows come back with the end of the lease.
		again, err = s.ClaimWindows(ctx, noon.Add(4*time.Second+time.Minute), time.Minute, 1)
		require.NoError(t, err)
		require.Len(t, again, 1)
	})
}

func TestDeliveriesAreRemembered(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		var memory alert.Delivered = s
		ctx := t.Context()
		for _, want := range []bool{false, true, true} {
			had, err := memory.WasDelivered(ctx, "e", "console")
			require.NoError(t, err)
			require.Equal(t, want, had)
			require.NoError(t, memory.SetDelivered(ctx, "e", "console", noon))
		}
		had, err := memory.WasDelivered(ctx, "e", "slack")
		require.NoError(t, err)
		require.False(t, had)
		require.NoError(t, s.ForgetDelivered(ctx, noon.Add(time.Microsecond)))
		had, err = memory.WasDelivered(ctx, "e", "console")
		require.NoError(t, err)
		require.False(t, had)
	})
}

// Many who register one name at once get versions of their own.
func TestVersionsUnderContention(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		first := register(t, s, "acme", "a")
		var group sync.WaitGroup
		versions := make(chan string, 6)
		for range cap(versions) {
			group.Go(func() {
				for {
					r, err := s.CreateProfile(context.WithoutCancel(t.Context()), store.NewProfile{Tenant: "acme", Now: noon, First: noon, Profile: unversioned(first)})
					if fault.KindOf(err) == fault.Conflict || fault.KindOf(err) == fault.Exists {
						continue
					}
					if err == nil {
						versions <- r.Version
					}
					return
				}
			})
		}
		group.Wait()
		close(versions)
		seen := map[string]bool{}
		for v := range versions {
			seen[v] = true
		}
		require.Len(t, seen, 6)
		newest, err := s.Profile(t.Context(), "acme", "s/a")
		require.NoError(t, err)
		require.Equal(t, "0.7.0", newest.Version)
	})
}

func unversioned(r *store.Registered) *profile.Profile {
	p := *r.Profile
	p.Version, p.UID = "", ""
	return &p
}
