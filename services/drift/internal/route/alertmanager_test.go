package route_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
	"github.com/driftmesh/driftmesh/test/server/alertmanager"
)

const (
	patience = 30 * time.Second
	tick     = 20 * time.Millisecond
)

// A real Alertmanager, which forgets within a second what has no end: an alert
// fires for as long as it is open, also when Alertmanager begins anew, is one
// however often it is told, and is over when it is.
func TestAlertmanager(t *testing.T) {
	t.Parallel()
	server := alertmanager.Start(t)
	of := deps()
	of.Now = time.Now
	table, err := route.New(route.Settings{Routes: map[string]route.Config{"am": {Type: "alertmanager", URL: secret(server.URL())}}}, of)
	require.NoError(t, err)
	t.Cleanup(table.CloseIdle)
	am, _ := table.Route("am")
	firing := func() []alertmanager.Alert {
		alerts, err := server.Alerts(t.Context())
		require.NoError(t, err)
		return alerts
	}
	e := news(alert.Raised)
	e.Raised, e.Time = time.Now().Add(-time.Minute), time.Now().Add(-time.Minute)
	require.NoError(t, am.Deliver(t.Context(), e))
	again := *e
	again.Change = alert.Repeated
	require.NoError(t, am.Deliver(t.Context(), &again))
	require.Eventually(t, func() bool { return len(firing()) == 1 }, patience, tick)
	one := firing()[0]
	require.Equal(t, map[string]string{
		"alertname": "Drift", "alert_id": e.AlertID, "tenant": "acme", "space": "pay", "profile": "fraud", "version": "1.2.0",
		"monitor": "shape", "detector": "psi", "severity": "critical",
	}, one.Labels)
	require.Contains(t, one.Annotations["description"], "reference █▁")
	require.WithinDuration(t, e.Raised, one.StartsAt, time.Second)
	require.WithinDuration(t, time.Now().Add(4*time.Hour), one.EndsAt, time.Minute, "an outage of the mesh does not end it")

	server.Kill()
	server.Restart()
	require.Empty(t, firing(), "it keeps alerts in memory")
	r := am.(route.Refresher)
	require.Equal(t, time.Minute, r.Every())
	var open []*alert.Event
	for i := range 250 {
		other := *e
		other.AlertID = time.Unix(int64(i), 0).String()
		open = append(open, &other)
	}
	require.NoError(t, r.Refresh(t.Context(), append(open, e)))
	require.Eventually(t, func() bool { return len(firing()) == 251 }, patience, tick)
	over := *e
	over.Change, over.Time = alert.Resolved, time.Now()
	require.NoError(t, am.Deliver(t.Context(), &over))
	require.Eventually(t, func() bool { return len(firing()) == 250 }, patience, tick)
}
