package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

func TestANewVersionTakesThePlaceOfTheOld(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx := t.Context()
		old, other := register(t, s, "acme", "a"), register(t, s, "acme", "b")
		foreign := register(t, s, "globex", "a")
		at := noon.Add(time.Hour)
		for _, p := range []*store.Registered{old, other, foreign} {
			require.NoError(t, s.Conclude(ctx, store.Conclusion{
				Profile: p, Result: result(p, "psi", at, "doo"), At: at, Trigger: store.TriggerSchedule, Now: at, Repeat: time.Hour,
			}))
		}
		told, err := s.Outbox(ctx, 10)
		require.NoError(t, err)
		require.NoError(t, s.Published(ctx, told))
		held, err := s.ClaimSlot(ctx, "w", at, at, time.Minute) // the oldest: of a
		require.NoError(t, err)
		require.Equal(t, old.UID, held.Profile)

		young := register(t, s, "acme", "a")
		require.Equal(t, "0.2.0", young.Version)
		for p, active := range map[*store.Registered]bool{old: false, young: true, other: true, foreign: true} {
			got, err := s.Active(ctx, p.UID)
			require.NoError(t, err)
			require.Equal(t, active, got, p.Title())
		}
		alerts, err := s.ListAlerts(ctx, store.Alerts{Tenant: "acme", Profile: old.UID, OpenOnly: false, Limit: 10})
		require.NoError(t, err)
		require.Len(t, alerts, 1)
		require.False(t, alerts[0].Resolved.IsZero())
		require.Equal(t, "version 0.2.0 takes its place", alerts[0].Reason)
		told, err = s.Outbox(ctx, 10)
		require.NoError(t, err)
		require.Len(t, told, 1, "nobody else's alert closes")
		require.Equal(t, alert.Resolved, told[0].Change)
		require.Equal(t, alerts[0].Reason, told[0].Reason)
		require.Contains(t, told[0].Text(), "drift in s/a/0.1.0 is over (monitor psi): version 0.2.0 takes its place")

		// What was at work on the old one ends without a word.
		err = s.Conclude(ctx, store.Conclusion{
			Profile: old, Result: result(old, "psi", held.At, "ddd"), At: held.At, Trigger: store.TriggerSchedule, Now: at, Slot: held, Next: at.Add(time.Hour),
		})
		require.ErrorIs(t, err, fault.Precondition)
		require.NoError(t, s.Conclude(ctx, store.Conclusion{
			Profile: old, Result: result(old, "psi", at, "ddd"), At: at, Trigger: store.TriggerClose, Now: at,
		}))
		open, err := s.ListAlerts(ctx, store.Alerts{Tenant: "acme", Profile: old.UID, OpenOnly: true, Limit: 10})
		require.NoError(t, err)
		require.Empty(t, open)
	})
}

func TestWhatDoesNotTakeThePlace(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		p := register(t, s, "acme", "a")
		for version, active := range map[string]bool{"0.0.9": true, "7.0.0": false} {
			again := *p.Profile
			again.Version, again.UID = version, ""
			_, err := s.CreateProfile(t.Context(), store.NewProfile{Tenant: "acme", Active: active, Now: noon, First: noon.Add(time.Hour), Profile: &again})
			require.NoError(t, err)
		}
		got, err := s.Active(t.Context(), p.UID)
		require.NoError(t, err)
		require.True(t, got, "neither a lower version nor one that is not active does")
	})
}
