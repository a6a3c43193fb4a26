package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// windows are those of a profile, at a time.
type windows struct {
	t       *testing.T
	s       *store.State
	refresh time.Duration
}

func (w windows) touch(now time.Time, tenant, profile string, minutes ...int64) {
	w.t.Helper()
	var touches []store.Touch
	for _, m := range minutes {
		touches = append(touches, store.Touch{Tenant: tenant, Profile: profile, Minute: m})
	}
	require.NoError(w.t, w.s.Touch(w.t.Context(), touches, now, w.refresh))
}

func (w windows) claim(now time.Time, limit int) []store.Waiting {
	w.t.Helper()
	claimed, err := w.s.ClaimWindows(w.t.Context(), now, time.Minute, limit)
	require.NoError(w.t, err)
	return claimed
}

func (w windows) done(now time.Time, done []store.Waiting) {
	w.t.Helper()
	require.NoError(w.t, w.s.WindowsDone(w.t.Context(), store.Recomputed{Windows: done, Now: now, Refresh: w.refresh}))
}

// minutesOf are the minutes of windows, which are of the profile.
func minutesOf(profile string, windows []store.Waiting) (minutes []int64) {
	for _, w := range windows {
		if w.Profile == profile {
			minutes = append(minutes, w.Minute)
		}
	}
	return minutes
}

// Two recompute a window, as a slot's evaluation may beside whoever claimed it. When
// the second is done, late, the window has been forgotten and touched anew: that is
// not what it saw.
func TestAWindowTouchedAnewWaitsWhoeverIsDoneWithTheOldOne(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		w := windows{t, s, 2 * time.Second}
		p, minute := register(t, s, "acme", "a").UID, noon.Unix()/60
		for range 5 {
			w.touch(noon, "acme", p, minute)
		}
		now := noon.Add(2 * time.Second)
		claimed := w.claim(now, 10)
		w.done(now, claimed)
		now = now.Add(10 * time.Second)
		require.NoError(t, s.ForgetWindows(t.Context(), now))
		w.touch(now, "acme", p, minute)
		w.done(now, claimed)
		now = now.Add(2 * time.Second)
		again := w.claim(now, 10)
		require.Equal(t, []int64{minute}, minutesOf(p, again))
		w.done(now, again)
		require.Empty(t, w.claim(now.Add(time.Hour), 10))
	})
}

func TestTouchedDuringWorkIsNotForgotten(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx, w := t.Context(), windows{t, s, 2 * time.Second}
		p, q := register(t, s, "acme", "a").UID, register(t, s, "acme", "b").UID
		first := noon.Unix() / 60
		w.touch(noon, "acme", p, first+1, first+2)
		w.touch(noon.Add(time.Second), "acme", p, first+1) // the earlier time counts
		w.touch(noon, "acme", q, first+3)
		w.touch(noon.Add(time.Hour), "acme", p, first+9)
		waiting, oldest, err := s.WindowBacklog(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 4, waiting)
		now := noon.Add(2 * time.Second)
		require.Equal(t, now, oldest)

		require.Empty(t, w.claim(now.Add(-1), 10))
		claimed := w.claim(now, 10)
		require.Equal(t, []int64{first + 1, first + 2}, minutesOf(p, claimed), "one profile at a time")
		other := w.claim(now, 10)
		require.Equal(t, []int64{first + 3}, minutesOf(q, other))
		require.Empty(t, w.claim(now, 10), "all are in hands")

		w.touch(now.Add(time.Second), "acme", p, first+1)
		now = now.Add(time.Second)
		w.done(now, claimed)
		w.done(now, other)
		left, err := s.WaitingWindows(ctx, "acme", p, 0, first+100)
		require.NoError(t, err)
		require.Equal(t, []int64{first + 1, first + 9}, minutesOf(p, left))
		now = now.Add(2 * time.Second)
		again := w.claim(now, 10)
		require.Equal(t, left[:1], again)
		require.NoError(t, s.PostponeWindows(ctx, again, now.Add(time.Second)))
		require.Empty(t, w.claim(now, 10))
		require.Equal(t, left[:1], w.claim(now.Add(time.Second), 10))

		// A worker that died: its windows come back with the end of the lease.
		require.Equal(t, left[:1], w.claim(now.Add(time.Second+time.Minute), 1))

		// What does not wait is forgotten, but not before it has been quiet.
		w.done(now, left[:1])
		require.NoError(t, s.ForgetWindows(ctx, now.Add(time.Hour)))
		waiting, _, err = s.WindowBacklog(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, waiting)
	})
}

// A window that receives for an hour is recomputed a dozen times, not once every
// refresh, and is read some three times over in all; when rows stop, soon; and
// what comes after a long while is new again.
func TestAWindowThatStillReceivesIsNotRecomputedOverAndOver(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		w := windows{t, s, 2 * time.Second}
		p := register(t, s, "acme", "a").UID
		minute := noon.Unix() / 60
		now, records, read := noon, 0, 0
		var at []time.Duration
		look := func() {
			if claimed := w.claim(now, 10); len(claimed) > 0 {
				require.Len(t, claimed, 1)
				at, read = append(at, now.Sub(noon)), read+records
				w.done(now, claimed)
			}
		}
		for range 1800 {
			w.touch(now, "acme", p, minute)
			records++
			now = now.Add(2 * time.Second)
			look()
		}
		t.Logf("recomputed %d times, a row was read %.1f times on average", len(at), float64(read)/float64(records))
		require.LessOrEqual(t, len(at), 12, at)
		require.Equal(t, 2*time.Second, at[0])
		require.LessOrEqual(t, read, 3*records)
		stopped := now
		for now.Before(noon.Add(3 * time.Hour)) {
			now = now.Add(2 * time.Second)
			look()
		}
		require.LessOrEqual(t, at[len(at)-1], stopped.Sub(noon)+time.Hour/8+10*time.Second, "once more soon after the last")
		n := len(at)
		w.touch(now, "acme", p, minute)
		now = now.Add(2 * time.Second)
		look()
		require.Len(t, at, n+1, "it begins again")
	})
}

// A tenant with many profiles, and a profile with many windows or slots, do not
// make others wait.
func TestTurns(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx, w := t.Context(), windows{t, s, 0}
		const many = 30
		tenantOf, of := map[string]string{}, map[string]*store.Registered{}
		for i := range many {
			p := register(t, s, "large", fmt.Sprint("p", i))
			tenantOf[p.UID], of[p.UID] = "large", p
			w.touch(noon, "large", p.UID, noon.Unix()/60+1)
		}
		small := register(t, s, "small", "p")
		tenantOf[small.UID], of[small.UID] = "small", small
		w.touch(noon.Add(time.Second), "small", small.UID, noon.Unix()/60+1, noon.Unix()/60+2, noon.Unix()/60+3)
		now := noon.Add(10 * time.Hour)

		var turns []string
		for range 4 {
			claimed := w.claim(now, 1)
			require.Len(t, claimed, 1)
			turns = append(turns, claimed[0].Tenant)
		}
		require.ElementsMatch(t, []string{"large", "small", "large", "small"}, turns)

		// All have ten slots to make up for.
		served, order := map[string]int{}, []string(nil)
		for range 20 + 2*many {
			slot, err := s.ClaimSlot(ctx, "w", now, now, time.Minute)
			require.NoError(t, err)
			require.NotNil(t, slot)
			require.Equal(t, noon.Add(time.Duration(1+served[slot.Profile])*time.Hour), slot.At, "in order, none skipped")
			served[slot.Profile]++
			order = append(order, tenantOf[slot.Profile])
			require.NoError(t, s.Conclude(ctx, store.Conclusion{
				Profile: of[slot.Profile], Result: &store.Evaluation{}, At: slot.At, Trigger: store.TriggerSchedule, Now: now, Slot: slot, Next: slot.At.Add(time.Hour),
			}))
		}
		require.Contains(t, order[:2], "small")
		require.Equal(t, 10, served[small.UID], "a tenant of one profile is done first")
		for uid := range tenantOf {
			require.GreaterOrEqual(t, served[uid], 2, "profiles have their turns too")
		}
	})
}

// However often a window is touched again and looked at, it is recomputed within an hour.
func TestAWindowWaitsForAnHourAtMost(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a")
		w := windows{t, s, time.Second}
		now := noon
		for range 80 {
			w.touch(now, "acme", p.UID, 1)
			now = now.Add(time.Hour)
			claimed := w.claim(now, 10)
			require.Len(t, claimed, 1)
			w.touch(now, "acme", p.UID, 1) // while it is looked at
			w.done(now, claimed)
		}
	})
}

// What is to run now does not wait for the next try, but for who runs it.
func TestClaimNow(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx := t.Context()
		p := register(t, s, "acme", "a")
		now := noon.Add(30 * time.Second)
		slot, last, err := s.ClaimNow(ctx, "a", p.UID, now, time.Minute)
		require.NoError(t, err)
		require.Nil(t, slot)
		require.Equal(t, noon, last)

		now = noon.Add(10*time.Minute + time.Second)
		slot, _, err = s.ClaimNow(ctx, "a", p.UID, now, time.Minute)
		require.NoError(t, err)
		require.Equal(t, noon.Add(10*time.Minute), slot.At)
		_, _, err = s.ClaimNow(ctx, "b", p.UID, now, time.Minute)
		require.ErrorIs(t, err, fault.Unavailable, "it is in hand")
		require.NoError(t, s.FailSlot(ctx, slot, now.Add(time.Hour)))
		again, _, err := s.ClaimNow(ctx, "b", p.UID, now, time.Minute)
		require.NoError(t, err)
		require.Equal(t, slot.At, again.At)
		require.Equal(t, 1, again.Attempts)
		require.NoError(t, s.Conclude(ctx, store.Conclusion{
			Profile: p, Result: &store.Evaluation{}, At: again.At, Trigger: store.TriggerSchedule, Now: now, Slot: again, Next: noon.Add(time.Hour),
		}))
		slot, last, err = s.ClaimNow(ctx, "a", p.UID, now, time.Minute)
		require.NoError(t, err)
		require.Nil(t, slot, "this minute has been judged")
		require.Equal(t, again.At, last)
	})
}
