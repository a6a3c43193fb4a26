package store_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// What was stored before there were monitors is still there: profiles, alerts and
// news that nobody heard yet. Open alerts of single features are closed.
func TestStateFromBeforeMonitors(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		db, err := sqlstate.Open(t.Context(), url, store.Schema)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		first, err := os.ReadFile("migrations/state/0001_drift.sql")
		require.NoError(t, err)
		require.NoError(t, db.Migrate(t.Context(), fstest.MapFS{"0001_drift.sql": {Data: first}}))
		body, err := os.ReadFile("../../../../sdk/profile/testdata/format1-fixed.json")
		require.NoError(t, err)
		const uid = "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11"
		exec := func(sql string, args ...any) {
			t.Helper()
			_, err := db.Exec(t.Context(), sql, args...)
			require.NoError(t, err)
		}
		exec(`INSERT INTO profiles (uid, tenant, space, name, major, minor, patch, active, created, request, body) VALUES (?, 'acme', 'ml', 'churn', 1, 2, 0, ?, ?, '', ?)`,
			uid, true, noon.UnixMicro(), string(body))
		score := `{"feature":"age","detector":"psi","verdict":"drift","value":0.3,"threshold":0.1,"sample":200,"bins":[{"label":"(-inf, 1]","expected":0,` +
			`"observed":1,"count":200,"contribution":0.3,"exemplars":[{"record":"r","trace":"t"}]}],"special":[0,0,0,0,0]}`
		for id, resolved := range map[string]int64{"a": 0, "b": noon.Add(time.Hour).UnixMicro()} {
			exec(`INSERT INTO alerts (id, tenant, profile, feature, detector, kind, raised, repeated, resolved, acknowledged, acknowledged_by,
				notified, occurrences, range_start, range_end, score) VALUES (?, 'acme', ?, 'age', 'psi', 'schedule', ?, ?, ?, 0, '', ?, 2, ?, ?, ?)`,
				id, uid, noon.UnixMicro(), noon.Add(time.Minute).UnixMicro(), resolved, noon.UnixMicro(), noon.UnixMicro(), noon.UnixMicro(), score)
		}
		exec(`INSERT INTO verdicts (profile, feature, detector, kind, slot, verdict) VALUES (?, 'age', 'psi', 'schedule', 1, 'drift')`, uid)
		event, err := json.Marshal(map[string]any{
			"id": "e", "tenant": "acme", "alert_id": "a", "change": "raised", "profile": uid, "title": "ml/churn/1.2.0",
			"feature": "age", "detector": "psi", "value": 0.3, "threshold": 0.1, "sample": 200,
		})
		require.NoError(t, err)
		exec(`INSERT INTO outbox (id, tenant, created, event) VALUES ('e', 'acme', 1, ?)`, string(event))

		s := store.NewState(db)
		require.NoError(t, s.Migrate(t.Context(), slog.New(slog.DiscardHandler)))
		p, err := s.Profile(t.Context(), "acme", "ml/churn")
		require.NoError(t, err)
		require.Equal(t, "psi", p.Monitors[0].Name)
		require.NoError(t, p.Validate())
		alerts, err := s.ListAlerts(t.Context(), store.Alerts{Tenant: "acme", Profile: uid, OpenOnly: false, Limit: 10})
		require.NoError(t, err)
		require.Len(t, alerts, 2)
		for i, want := range []struct {
			resolved time.Time
			reason   string
		}{{noon.Add(time.Hour), ""}, {noon.Add(time.Minute), "alerts list all features of a monitor now"}} {
			a := alerts[i]
			require.Equal(t, want.resolved, a.Resolved)
			require.Equal(t, want.reason, a.Reason)
			require.Equal(t, "psi", a.Monitor)
			require.Equal(t, 1, a.Moved)
			require.Equal(t, "age", a.Scores[0].Feature)
			require.InDelta(t, 0.3, *a.Scores[0].Value, 0)
			require.Equal(t, "t", a.Scores[0].Bins[0].Exemplars[0].Trace)
		}
		events, err := s.Outbox(t.Context(), 10)
		require.NoError(t, err)
		threshold := 0.1
		require.Equal(t, []alert.Moved{{Feature: "age", Value: 0.3, Threshold: &threshold, Sample: 200}}, events[0].Moved)
		require.Equal(t, "drift in ml/churn/1.2.0 raised (monitor psi): 1 feature moved: age psi 0.3 against 0.1 of 200 values", events[0].Text())

		// What still moves is raised again.
		require.NoError(t, s.Conclude(t.Context(), store.Conclusion{
			Profile: p, Result: result(p, "psi", noon, "doo"), At: noon, Trigger: store.TriggerSchedule, Now: noon,
		}))
		open, err := s.ListAlerts(t.Context(), store.Alerts{Tenant: "acme", Profile: uid, OpenOnly: true, Limit: 10})
		require.NoError(t, err)
		require.Len(t, open, 1)
	})
}
