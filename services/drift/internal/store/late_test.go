package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// A minute is late when it was recomputed after a slot judged it, or may have; the
// slot that adds it up after is not late.
func TestWhatIsLate(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx := t.Context()
		p := register(t, s, "acme", "a")
		minute := noon.Unix() / 60
		recomputed := func(slot *store.Slot, now time.Time, minutes ...int64) {
			t.Helper()
			r := store.Recomputed{Now: now, Refresh: time.Second, Slot: slot}
			for _, m := range minutes {
				r.Windows = append(r.Windows, store.Waiting{Tenant: "acme", Profile: p.UID, Minute: m})
			}
			require.NoError(t, s.WindowsDone(ctx, r))
		}
		claim := func(now time.Time) []store.Waiting {
			t.Helper()
			l, err := s.ClaimLate(ctx, "w", now, time.Minute)
			require.NoError(t, err)
			if l == nil {
				return nil
			}
			require.NoError(t, s.LateDone(ctx, l, now))
			return l.Minutes
		}
		now := noon.Add(time.Hour + 5*time.Second)
		recomputed(nil, now, minute, minute+59)
		require.Empty(t, claim(now.Add(time.Hour)), "no slot has judged it")

		slot, err := s.ClaimSlot(ctx, "a", now, now, time.Minute)
		require.NoError(t, err)
		recomputed(slot, now, minute, minute+59)
		require.Empty(t, claim(now.Add(2*time.Minute)), "the slot adds it up after")
		recomputed(nil, now, minute+59, minute+60)
		recomputed(nil, now, minute+59)
		require.Empty(t, claim(now.Add(time.Second)), "the slot is in somebody's hands")
		conclude := func() error {
			return s.Conclude(ctx, store.Conclusion{
				Profile: p, Result: &store.Evaluation{}, At: slot.At, Trigger: store.TriggerSchedule, Now: now, Slot: slot, Next: noon.Add(2 * time.Hour),
			})
		}
		require.NoError(t, conclude())
		require.Empty(t, claim(now), "it waits for the refresh, for more to come")
		require.Equal(t, []store.Waiting{{"acme", p.UID, minute + 59, 2}}, claim(now.Add(time.Second)))
		require.Empty(t, claim(now.Add(time.Hour)))
		recomputed(nil, now, minute+60)
		require.Empty(t, claim(now.Add(time.Hour)), "it belongs to the next slot")

		// A profile is in one hand at a time, what comes during the work is not
		// forgotten, and who lost it can conclude no more.
		recomputed(nil, now, minute+1)
		first, err := s.ClaimLate(ctx, "first", now.Add(time.Minute), time.Minute)
		require.NoError(t, err)
		require.NoError(t, s.KeepLate(ctx, first, now.Add(time.Minute), 2*time.Minute))
		recomputed(nil, now, minute+1, minute+2)
		require.Empty(t, claim(now.Add(2*time.Minute)))
		heir, err := s.ClaimLate(ctx, "heir", now.Add(3*time.Minute), time.Minute)
		require.NoError(t, err)
		require.Equal(t, []store.Waiting{{"acme", p.UID, minute + 1, 2}, {"acme", p.UID, minute + 2, 1}}, heir.Minutes)
		err = s.Conclude(ctx, store.Conclusion{Profile: p, Result: &store.Evaluation{}, At: slot.At, Trigger: store.TriggerSchedule, Now: now.Add(3 * time.Minute), Late: first})
		require.ErrorIs(t, err, fault.Precondition)
		require.ErrorIs(t, s.KeepLate(ctx, first, now.Add(3*time.Minute), time.Minute), fault.Precondition)
		recomputed(nil, now, minute+2)
		require.NoError(t, s.LateDone(ctx, heir, now.Add(4*time.Minute)))
		require.Equal(t, []store.Waiting{{"acme", p.UID, minute + 2, 2}}, claim(now.Add(4*time.Minute)))
	})
}

// What late verdicts mean for alerts, once is enough.
func TestLateVerdicts(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a", profile.Monitor{Name: "m", Detector: "psi", Severity: profile.Critical, Routes: []string{"console"}})
		o := story{t, s, p}
		for hour := 1; hour <= 5; hour++ {
			o.conclude(hour, "m", "ooo")
		}
		require.Empty(t, o.told())
		o.late(2, "m", "ooo")
		require.Empty(t, o.told(), "the same as before")
		o.late(2, "m", "odo")
		require.Equal(t, []string{"late raised y 1", "late resolved y 0"}, o.told(), "it had drifted, and was over by the next slot")
		all, err := s.ListAlerts(t.Context(), store.Alerts{Tenant: "acme", Profile: "", OpenOnly: false, Limit: 10})
		require.NoError(t, err)
		require.True(t, all[0].Late)
		require.Equal(t, noon.Add(2*time.Hour), all[0].RangeEnd)
		require.Contains(t, all[0].Reason, "found late")
		o.late(3, "m", "odd")
		require.Empty(t, o.told(), "it went on for longer than people heard")
		o.late(2, "m", "ooo")
		require.Empty(t, o.told(), "what was told is not taken back")

		o.late(5, "m", "doo") // the latest: as of now it has moved
		require.Equal(t, []string{"late raised x 1"}, o.told())
		o.conclude(6, "m", "doo")
		require.EqualValues(t, 2, o.open()[0].Occurrences)
		o.late(4, "m", "ddo")
		require.Empty(t, o.told(), "the alert that is open began earlier")
		require.Len(t, o.open(), 1)
		o.conclude(7, "m", "ooo")
		require.Equal(t, []string{"late resolved x 0"}, o.told())
		o.late(6, "m", "ddd")
		require.Empty(t, o.told(), "a resolved alert stays resolved")
		require.Empty(t, o.open())
	})
}

// With k of n a late verdict may complete or break what n evaluations came to.
func TestLateVerdictsAndPersistence(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a", profile.Monitor{
			Name: "m", Detector: "psi", Severity: profile.Critical, Routes: []string{"console"}, Persistence: profile.Persistence{K: 2, N: 3},
		})
		o := story{t, s, p}
		for hour, letters := range []string{"ooo", "ooo", "doo", "iii", "ooo", "doo"} {
			o.conclude(hour+1, "m", letters)
		}
		require.Equal(t, []string{"raised x 1"}, o.told(), "third and sixth; the fourth says nothing")
		o.late(4, "m", "ooo")
		require.Equal(t, []string{"resolved x 0"}, o.told(), "now the third is too long ago")
		o.late(5, "m", "doo")
		require.Equal(t, []string{"late raised x 1"}, o.told(), "two of the last three again")
		o.late(4, "m", "ddo")
		require.Empty(t, o.told(), "once is not twice")
		o.late(5, "m", "ddo")
		require.Equal(t, []string{"late grew y x 2"}, o.told())
		o.conclude(7, "m", "ooo")
		o.conclude(8, "m", "ooo")
		require.Equal(t, []string{"late resolved x y 0"}, o.told())
	})
}

// However late and in whatever order verdicts come, the standing is as if they had
// come in time: what follows brings about the same.
func TestLateVerdictsComeToTheSame(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		random := rand.New(rand.NewPCG(5, 6))
		for round := range 12 {
			by := profile.Persistence{K: 1 + random.IntN(3)}
			by.N = by.K + random.IntN(3)
			monitor := profile.Monitor{Name: "m", Detector: "psi", Persistence: by}
			const slots = 14
			first, final := make([]string, slots), make([]string, slots)
			for i := range slots {
				draw := func() string {
					return string([]byte{"doi"[random.IntN(3)], "doo"[random.IntN(3)], "ooi"[random.IntN(3)]})
				}
				first[i], final[i] = draw(), draw()
			}
			intime := story{t, s, register(t, s, "acme", fmt.Sprint("intime", round), monitor)}
			late := story{t, s, register(t, s, "acme", fmt.Sprint("late", round), monitor)}
			for i := range slots {
				intime.conclude(i+1, "m", final[i])
				late.conclude(i+1, "m", first[i])
			}
			for _, i := range random.Perm(slots) {
				late.late(i+1, "m", final[i])
			}
			for i := range 6 {
				require.Equal(t, moved(intime), moved(late), "round %d, %v, after %d", round, by, i)
				next := final[random.IntN(slots)]
				intime.conclude(slots+1+i, "m", next)
				late.conclude(slots+1+i, "m", next)
			}
		}
	})
}

// moved are the features of the open alert.
func moved(o story) (names []string) {
	for _, a := range o.open() {
		for i := range a.Scores {
			names = append(names, a.Scores[i].Feature)
		}
	}
	return names
}

// What is not remembered any more changes nothing.
func TestTooLate(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a", profile.Monitor{Name: "m", Detector: "psi", Severity: profile.Critical, Routes: []string{"console"}})
		o := story{t, s, p}
		for hour := 1; hour <= 4; hour++ {
			o.conclude(hour, "m", "ooo")
		}
		require.NoError(t, s.ForgetVerdicts(t.Context(), noon.Add(3*time.Hour), 2))
		o.late(2, "m", "doo")
		require.Empty(t, o.told())
		o.late(3, "m", "doo")
		require.Equal(t, []string{"late raised x 1", "late resolved x 0"}, o.told())
	})
}
