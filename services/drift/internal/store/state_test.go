package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
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

func register(t *testing.T, s *store.State, tenant, name string, monitors ...profile.Monitor) *store.Registered {
	t.Helper()
	var columns []profile.Column
	for _, feature := range []string{"x", "y", "z"} {
		c := profile.Column{Name: feature, Type: profile.Float}
		for i := range 100 {
			c.Numbers = append(c.Numbers, float64(i))
		}
		columns = append(columns, c)
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: name, Monitors: monitors})
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

		// The owner dies: when the lease is over the first can conclude it no more,
		// and another takes the same slot.
		conclude := func(at time.Time) error {
			return s.Conclude(ctx, store.Conclusion{
				Profile: p, Result: &store.Evaluation{}, At: slot.At, Trigger: store.TriggerSchedule, Now: at, Slot: slot, Next: noon.Add(2 * time.Hour),
			})
		}
		require.ErrorIs(t, conclude(now.Add(time.Minute)), fault.Precondition)
		taken, err := s.ClaimSlot(ctx, "heir", now, now.Add(time.Minute), time.Minute)
		require.NoError(t, err)
		require.Equal(t, slot.At, taken.At)
		require.ErrorIs(t, conclude(now.Add(time.Minute-1)), fault.Precondition)

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
			Profile: p, Result: &store.Evaluation{}, At: again.At, Trigger: store.TriggerSchedule, Now: now, Slot: again, Next: noon.Add(2 * time.Hour),
		}))
		next, err := s.ClaimSlot(ctx, "w", noon.Add(2*time.Hour), noon.Add(2*time.Hour), time.Minute)
		require.NoError(t, err)
		require.Equal(t, slot.At, next.Previous)
		require.Equal(t, noon.Add(2*time.Hour), next.At)
		require.Zero(t, next.Attempts)
	})
}

// result is an evaluation with the verdicts on x, y and z, a letter each: d is
// drift, o is ok, i is insufficient. z drifts most.
func result(p *store.Registered, monitor string, at time.Time, letters string) *store.Evaluation {
	e := &store.Evaluation{Tenant: p.Tenant, Profile: p.UID, Start: at.Add(-time.Hour), End: at, Exemplars: map[int][][]score.Exemplar{}}
	for i, letter := range letters {
		s := score.Score{
			Monitor: monitor, Detector: "psi", Feature: i, Value: 0.01, Threshold: 0.1, Sample: 200, Reference: 100, P: 0.5, Adjusted: 0.5,
			Rate: 0.05, Lower: math.NaN(), Counts: make([]uint64, p.Features[i].Cells()), Contributions: make([]float64, len(p.Features[i].Bins)),
		}
		s.Verdict = map[rune]score.Verdict{'d': score.Drift, 'o': score.OK, 'i': score.Insufficient}[letter]
		if s.Verdict == score.Drift {
			s.Value, s.P, s.Adjusted = float64(i+1), 0, 0
			e.Exemplars[i] = [][]score.Exemplar{{{Record: "r", Trace: fmt.Sprint("t", i)}}}
		}
		e.Scores = append(e.Scores, s)
	}
	return e
}

// story plays evaluations of a profile and keeps what was told.
type story struct {
	t *testing.T
	s *store.State
	p *store.Registered
}

// conclude concludes an evaluation three times, as workers that die would.
func (o story) conclude(hour int, monitor, letters string) {
	o.t.Helper()
	at := noon.Add(time.Duration(hour) * time.Hour)
	for range 3 {
		require.NoError(o.t, o.s.Conclude(o.t.Context(), store.Conclusion{
			Profile: o.p, Result: result(o.p, monitor, at, letters), At: at, Trigger: store.TriggerSchedule, Now: at.Add(time.Second),
			Repeat: 2 * time.Hour,
		}))
	}
}

// late concludes a slot again for late data, three times.
func (o story) late(hour int, monitor, letters string) {
	o.t.Helper()
	at := noon.Add(time.Duration(hour) * time.Hour)
	minute := at.Unix()/60 - 1
	for range 3 {
		now := noon.Add(100 * time.Hour)
		require.NoError(o.t, o.s.WindowsDone(o.t.Context(), store.Recomputed{
			Windows: []store.Waiting{{Tenant: "acme", Profile: o.p.UID, Minute: minute}}, Now: now, Closed: minute + 1,
		}))
		l, err := o.s.ClaimLate(o.t.Context(), "w", now, time.Minute)
		require.NoError(o.t, err)
		require.NotNil(o.t, l)
		require.NoError(o.t, o.s.Conclude(o.t.Context(), store.Conclusion{
			Profile: o.p, Result: result(o.p, monitor, at, letters), At: at, Trigger: store.TriggerSchedule, Now: now, Repeat: 2 * time.Hour, Late: l,
		}))
		require.NoError(o.t, o.s.LateDone(o.t.Context(), l, now))
	}
}

// told empties the outbox: what happened, with the features.
func (o story) told() (told []string) {
	o.t.Helper()
	events, err := o.s.Outbox(o.t.Context(), 10)
	require.NoError(o.t, err)
	for _, e := range events {
		text := string(e.Change)
		if e.Late {
			text = "late " + text
		}
		for _, m := range e.Moved {
			text += " " + m.Feature
		}
		told = append(told, fmt.Sprint(text, " ", e.Count))
		require.Equal(o.t, "s/a/0.1.0", e.Title)
		require.Equal(o.t, "acme", e.Tenant)
		require.Equal(o.t, profile.Critical, e.Severity)
		require.Equal(o.t, []string{"console"}, e.Routes)
	}
	require.NoError(o.t, o.s.Published(o.t.Context(), events))
	return told
}

func (o story) open() []*alert.Alert {
	o.t.Helper()
	open, err := o.s.ListAlerts(o.t.Context(), store.Alerts{Tenant: "acme", Profile: o.p.UID, OpenOnly: true, Limit: 10})
	require.NoError(o.t, err)
	return open
}

// A worker that dies after any step has its work repeated, but not its alerts.
// There is one alert of all features that moved, and it follows them.
func TestOneAlertListsWhatMoved(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a", profile.Monitor{Name: "m", Detector: "psi", Severity: profile.Critical, Routes: []string{"console"}})
		o := story{t, s, p}
		o.conclude(1, "m", "ooo")
		require.Empty(t, o.told())
		o.conclude(2, "m", "ddo")
		o.conclude(3, "m", "ddo")
		require.Equal(t, []string{"raised y x 2"}, o.told(), "the worst first")
		o.conclude(1, "m", "ooo") // an old slot, late
		o.conclude(4, "m", "dio")
		require.Equal(t, []string{"repeated y x 2"}, o.told(), "two hours after the first time; y stands as it was")
		open := o.open()
		require.Len(t, open, 1)
		require.EqualValues(t, 3, open[0].Occurrences)
		require.Equal(t, 2, open[0].Moved)
		require.Equal(t, "y", open[0].Scores[0].Feature)
		require.InDelta(t, 2, *open[0].Scores[0].Value, 0)
		require.Equal(t, noon.Add(2*time.Hour+time.Second), open[0].Raised)
		require.Equal(t, noon.Add(4*time.Hour), open[0].RangeEnd)

		o.conclude(5, "m", "dod")
		require.Equal(t, []string{"grew z x 2"}, o.told())
		o.conclude(6, "m", "iii")
		require.Empty(t, o.told())
		o.conclude(7, "m", "odo")
		require.Equal(t, []string{"repeated y 1"}, o.told(), "of y people had heard")
		require.Len(t, o.open()[0].Scores, 1)

		requireOpen(t, s, 1, 0)
		acknowledged, err := s.Acknowledge(t.Context(), identity.Identity{Tenant: "acme", Subject: "ada"}, open[0].ID, noon.Add(7*time.Hour))
		require.NoError(t, err)
		require.Equal(t, "ada", acknowledged.AcknowledgedBy)
		requireOpen(t, s, 0, 1)
		_, err = s.Acknowledge(t.Context(), identity.Identity{Tenant: "other", Subject: "eve"}, open[0].ID, noon)
		require.ErrorIs(t, err, fault.NotFound)
		o.conclude(8, "m", "iio")
		o.conclude(9, "m", "ooo")
		require.Equal(t, []string{"acknowledged y 1", "resolved y 0"}, o.told())
		requireOpen(t, s, 0, 0)
		o.conclude(10, "m", "doo")
		require.Equal(t, []string{"raised x 1"}, o.told())
		all, err := s.ListAlerts(t.Context(), store.Alerts{Tenant: "acme", Profile: "", OpenOnly: false, Limit: 10})
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.True(t, all[0].Raised.After(all[1].Raised), "newest first")
		require.False(t, all[1].Resolved.IsZero())
		require.EqualValues(t, 5, all[1].Occurrences)
	})
}

func requireOpen(t *testing.T, s *store.State, waiting, acknowledged int64) {
	t.Helper()
	w, a, err := s.OpenAlerts(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int64{waiting, acknowledged}, []int64{w, a})
}

// Late data change the verdict of a slot; it counts as one evaluation all the same.
func TestASlotThatComesOutDifferently(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a", profile.Monitor{
			Name: "m", Detector: "psi", Severity: profile.Critical, Routes: []string{"console"}, Persistence: profile.Persistence{K: 2, N: 2},
		})
		o := story{t, s, p}
		o.conclude(1, "m", "doo")
		o.conclude(2, "m", "ooo")
		require.Empty(t, o.told(), "once is not twice")
		o.conclude(2, "m", "doo")
		require.Equal(t, []string{"raised x 1"}, o.told())
		o.conclude(2, "m", "ddo")
		require.EqualValues(t, 1, o.open()[0].Occurrences)
		o.conclude(3, "m", "ddo")
		require.Equal(t, []string{"grew y x 2"}, o.told())
		require.EqualValues(t, 2, o.open()[0].Occurrences)
		o.conclude(3, "m", "ooo")
		require.Equal(t, []string{"resolved x y 0"}, o.told())
	})
}

func TestManyThatMovedAreCounted(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		const features = 300
		var columns []profile.Column
		for i := range features {
			columns = append(columns, profile.Column{Name: fmt.Sprintf("f%03d", i), Type: profile.Float, Numbers: []float64{1, 2, 3}})
		}
		of, err := profile.New(columns, profile.Options{Space: "s", Name: "a"})
		require.NoError(t, err)
		p, err := s.CreateProfile(t.Context(), store.NewProfile{Tenant: "acme", Now: noon, First: noon, Profile: of})
		require.NoError(t, err)
		require.NoError(t, s.Conclude(t.Context(), store.Conclusion{
			Profile: p, Result: result(p, "psi", noon, strings.Repeat("d", features)), At: noon, Trigger: store.TriggerSchedule, Now: noon,
		}))
		events, err := s.Outbox(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, features, events[0].Count)
		require.Len(t, events[0].Moved, alert.MaxMoved)
		require.Equal(t, "f299", events[0].Moved[0].Feature)
		require.Len(t, events[0].Traces, 16)
		open, err := s.ListAlerts(t.Context(), store.Alerts{Tenant: "acme", Profile: "", OpenOnly: true, Limit: 10})
		require.NoError(t, err)
		require.Equal(t, features, open[0].Moved)
		require.Len(t, open[0].Scores, alert.MaxMoved)
	})
}

// Alerts of closing windows do not meddle with those of the schedule, nor those
// of one monitor with those of another.
func TestTriggersAndMonitorsAreApart(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a", profile.Monitor{Name: "m", Detector: "psi"}, profile.Monitor{Name: "n", Detector: "psi"})
		for _, c := range []struct{ trigger, monitor, letters string }{
			{store.TriggerSchedule, "m", "doo"}, {store.TriggerClose, "m", "ooo"}, {store.TriggerClose, "n", "ood"}, {store.TriggerSchedule, "n", "ooo"},
		} {
			require.NoError(t, s.Conclude(t.Context(), store.Conclusion{
				Profile: p, Result: result(p, c.monitor, noon, c.letters), At: noon, Trigger: c.trigger, Now: noon,
			}))
		}
		open, err := s.ListAlerts(t.Context(), store.Alerts{Tenant: "acme", Profile: "", OpenOnly: true, Limit: 10})
		require.NoError(t, err)
		require.Len(t, open, 2)
		require.Equal(t, []string{"n", store.TriggerClose, "m", store.TriggerSchedule}, []string{open[0].Monitor, open[0].Trigger, open[1].Monitor, open[1].Trigger})
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
