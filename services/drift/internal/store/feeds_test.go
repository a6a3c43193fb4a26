package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// findings empties the outbox: what was told that is not about features.
func findings(t *testing.T, s *store.State) (told []string) {
	t.Helper()
	events, err := s.Outbox(t.Context(), 100)
	require.NoError(t, err)
	for _, e := range events {
		told = append(told, e.Title+" "+e.Monitor+" "+string(e.Change)+": "+e.Finding)
	}
	require.NoError(t, s.Published(t.Context(), events))
	return told
}

// A feed that dies raises one alert, whoever listens, and its return resolves it.
func TestAFeedThatDies(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx := t.Context()
		p, q := register(t, s, "acme", "a"), register(t, s, "acme", "b")
		now := noon
		listen := func() {
			t.Helper()
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() {
					if err := s.Listen(ctx, now, store.Patience{Silence: time.Hour}); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
		}
		came := func(p *store.Registered, at time.Time) {
			t.Helper()
			require.NoError(t, s.Came(ctx, []store.Arrival{{Tenant: "acme", Profile: p.UID, At: at}}))
		}
		pass := func(until time.Time) {
			t.Helper()
			for ; now.Before(until); now = now.Add(time.Minute) {
				require.NoError(t, s.Listen(ctx, now, store.Patience{Silence: time.Hour}))
			}
		}
		for minute := range 121 {
			came(p, noon.Add(time.Duration(minute)*time.Minute))
		}
		came(q, noon) // sent once, and that was it
		pass(noon.Add(3 * time.Hour))
		require.Empty(t, findings(t, s))
		now = noon.Add(3*time.Hour + time.Second)
		listen()
		require.Equal(t, []string{"s/a/0.1.0 feed raised: no data since 2026-11-21T14:00:00Z"}, findings(t, s))
		now = now.Add(time.Second)
		listen()
		require.Empty(t, findings(t, s), "one alert")
		came(p, noon.Add(30*time.Minute)) // a message that was delivered again
		listen()
		require.Empty(t, findings(t, s))
		came(p, now)
		listen()
		require.Equal(t, []string{"s/a/0.1.0 feed resolved: no data since 2026-11-21T14:00:00Z"}, findings(t, s))

		// It has paused for an hour: now it takes two. And while nobody listened
		// nobody knows.
		pass(now.Add(2*time.Hour + time.Minute))
		require.Empty(t, findings(t, s))
		now = now.Add(10 * time.Hour)
		listen()
		require.Empty(t, findings(t, s))
		pass(now.Add(2*time.Hour + 5*time.Minute))
		require.Len(t, findings(t, s), 1)

		// Who is switched off is not listened to.
		came(p, now)
		listen()
		require.Len(t, findings(t, s), 1)
		require.NoError(t, s.SetActive(ctx, p, store.Switch{Active: false, Now: now, First: now.Add(time.Hour)}))
		pass(now.Add(30 * time.Hour))
		require.Empty(t, findings(t, s))
		require.NoError(t, s.SetActive(ctx, p, store.Switch{Active: true, Now: now, First: now.Add(time.Hour)}))
		listen()
		require.Empty(t, findings(t, s))
	})
}

// Too little to judge by, again and again, is an alert of its own, by monitor; not
// while people know that nothing comes.
func TestTooLittleAgainAndAgain(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a", profile.Monitor{Name: "m", Detector: "psi"}, profile.Monitor{Name: "n", Detector: "psi"})
		conclude := func(hour int, m, n string) {
			t.Helper()
			at := noon.Add(time.Duration(hour) * time.Hour)
			r := result(p, "m", at, m)
			r.Scores = append(r.Scores, result(p, "n", at, n).Scores...)
			for range 2 {
				require.NoError(t, s.Conclude(t.Context(), store.Conclusion{
					Profile: p, Result: r, At: at, Trigger: store.TriggerSchedule, Now: at.Add(time.Second), Insufficient: 3,
				}))
			}
		}
		conclude(1, "iii", "ooo")
		conclude(2, "iii", "iio")
		require.Empty(t, findings(t, s))
		conclude(3, "iii", "iio")
		conclude(4, "iii", "iii")
		require.NoError(t, s.ForgetVerdicts(t.Context(), noon.Add(100*time.Hour), 3))
		require.Equal(t, []string{"s/a/0.1.0 m raised: too little to judge by in the last 3 evaluations, since 2026-11-21T13:00:00Z"}, findings(t, s))
		conclude(5, "iio", "iii")
		require.Equal(t, []string{"s/a/0.1.0 m resolved: too little to judge by in the last 3 evaluations, since 2026-11-21T13:00:00Z"}, findings(t, s))
		for minute := range 61 {
			require.NoError(t, s.Came(t.Context(), []store.Arrival{{Tenant: "acme", Profile: p.UID, At: noon.Add(time.Duration(minute) * time.Minute)}}))
		}
		for minute := range 130 {
			require.NoError(t, s.Listen(t.Context(), noon.Add(time.Duration(minute)*time.Minute), store.Patience{Silence: time.Hour}))
		}
		require.Len(t, findings(t, s), 1)
		conclude(6, "ioi", "iii")
		require.Empty(t, findings(t, s), "nothing comes at all, as people know")
		require.NoError(t, s.Came(t.Context(), []store.Arrival{{Tenant: "acme", Profile: p.UID, At: noon.Add(130 * time.Minute)}}))
		require.NoError(t, s.Listen(t.Context(), noon.Add(130*time.Minute), store.Patience{Silence: time.Hour}))
		require.Len(t, findings(t, s), 1)
		conclude(7, "ioi", "iii")
		require.Equal(t, []string{"s/a/0.1.0 n raised: too little to judge by in the last 3 evaluations, since 2026-11-21T17:00:00Z"}, findings(t, s))
	})
}

// A profile that never gets data raises one alert, once it could have got some for long
// enough; its first data resolve it.
func TestAProfileWithoutData(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx := t.Context()
		now, most := noon, store.Patience{Silence: time.Hour, Unfed: 2 * time.Hour}
		pass := func(until time.Time) []string {
			t.Helper()
			for ; now.Before(until); now = now.Add(time.Minute) {
				require.NoError(t, s.Listen(ctx, now, most))
			}
			return findings(t, s)
		}
		p, off := register(t, s, "acme", "a"), register(t, s, "acme", "off")
		require.NoError(t, s.SetActive(ctx, off, store.Switch{Now: now, First: now}))
		require.Empty(t, pass(noon.Add(2*time.Hour)))
		require.Equal(t, []string{"s/a/0.1.0 feed raised: no data at all, since 2026-11-21T12:00:00Z"}, pass(noon.Add(150*time.Minute)))
		// Who is switched on has as long from then.
		require.NoError(t, s.SetActive(ctx, off, store.Switch{Active: true, Now: now, First: now.Add(time.Hour)}))
		require.Empty(t, pass(noon.Add(270*time.Minute)))
		require.Equal(t, []string{"s/off/0.1.0 feed raised: no data at all, since 2026-11-21T14:30:00Z"}, pass(noon.Add(272*time.Minute)))
		require.NoError(t, s.Came(ctx, []store.Arrival{{Tenant: "acme", Profile: p.UID, At: now}}))
		require.Equal(t, []string{"s/a/0.1.0 feed resolved: no data at all, since 2026-11-21T12:00:00Z"}, pass(now.Add(time.Minute)))
		require.Empty(t, pass(now.Add(5*time.Hour)), "it came once, a file perhaps, and no feed has died")
		most.Unfed = 0
		register(t, s, "acme", "ahead")
		require.Empty(t, pass(now.Add(4*time.Hour)))
	})
}

// Where no monitor has enough to judge by there is one alert and not one for each; and
// none beside that of a profile without data, whichever comes first.
func TestTooLittleForAll(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		most := store.Patience{Unfed: 2 * time.Hour}
		at := func(hour int) time.Time { return noon.Add(time.Duration(hour) * time.Hour) }
		conclude := func(p *store.Registered, hour int, m, n string) []string {
			t.Helper()
			r := result(p, "m", at(hour), m)
			r.Scores = append(r.Scores, result(p, "n", at(hour), n).Scores...)
			require.NoError(t, s.Conclude(t.Context(), store.Conclusion{
				Profile: p, Result: r, At: at(hour), Trigger: store.TriggerSchedule, Now: at(hour).Add(time.Second), Insufficient: 3,
			}))
			return findings(t, s)
		}
		listen := func(from, to int) []string {
			t.Helper()
			for now := at(from); now.Before(at(to)); now = now.Add(time.Minute) {
				require.NoError(t, s.Listen(t.Context(), now, most))
			}
			return findings(t, s)
		}
		monitors := []profile.Monitor{{Name: "m", Detector: "psi"}, {Name: "n", Detector: "psi"}}
		p := register(t, s, "acme", "a", monitors...)
		conclude(p, 1, "iii", "ooo")
		conclude(p, 2, "iii", "iii")
		require.Equal(t, []string{"s/a/0.1.0 m raised: too little to judge by in the last 3 evaluations, since 2026-11-21T13:00:00Z"}, conclude(p, 3, "iii", "iii"))
		require.ElementsMatch(t, []string{
			"s/a/0.1.0 m resolved: too little to judge by in the last 3 evaluations, since 2026-11-21T13:00:00Z",
			"s/a/0.1.0 all raised: no monitor had enough to judge by in the last 3 evaluations, since 2026-11-21T14:00:00Z",
		}, conclude(p, 4, "iii", "iii"))
		require.Empty(t, conclude(p, 5, "iii", "iii"))
		require.Empty(t, listen(0, 5), "people know")
		// One has enough again, and the other still has not.
		require.ElementsMatch(t, []string{
			"s/a/0.1.0 all resolved: no monitor had enough to judge by in the last 3 evaluations, since 2026-11-21T14:00:00Z",
			"s/a/0.1.0 m raised: too little to judge by in the last 3 evaluations, since 2026-11-21T16:00:00Z",
		}, conclude(p, 6, "iii", "ooo"))

		q := register(t, s, "acme", "b", monitors...)
		require.Equal(t, []string{"s/b/0.1.0 feed raised: no data at all, since 2026-11-21T12:00:00Z"}, listen(5, 6))
		for hour := 6; hour < 11; hour++ {
			require.Empty(t, conclude(q, hour, "iii", "iii"), "people know that nothing comes")
		}
	})
}
