package mesh_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// What a newcomer sees of the demo within two minutes: traces, an alert, and the
// traces behind the alert. A second start on the same data works.
func TestTheDemoShowsDriftAndTheTracesBehindIt(t *testing.T) {
	t.Parallel()
	m := mesh.StartDemo(t, "--demo.calm", "5s")
	alert := firstAlert(t, m)
	require.Equal(t, "wine/red/0.1.0", alert.GetProfileName())
	require.Equal(t, "alcohol", alert.GetMoved()[0].GetFeature())
	require.Greater(t, alert.GetMoved()[0].GetValue(), 0.25)
	require.NotEmpty(t, alert.GetExemplarTraceIds())
	for _, id := range alert.GetExemplarTraceIds() {
		requirePrediction(t, m, id)
	}
	require.Eventually(t, func() bool { return strings.Contains(m.Log(), "Look at it:") }, 10*time.Second, 100*time.Millisecond)
	first := alert.GetExemplarTraceIds()[0]
	require.Contains(t, m.Log(), "http://"+m.HTTP+"/traces/"+first)
	require.Contains(t, m.Log(), "traces show "+first+" --addr "+m.GRPC)
	require.Contains(t, m.MustCLI(t, "traces", "show", first), "model.predict")

	// Everything that the load says it sent is there, once.
	m.Stop()
	sent := regexp.MustCompile(`stopping: sent \d+ requests, (\d+) predictions`).FindStringSubmatch(m.Log())
	require.NotNil(t, sent, m.Log())
	predictions, err := strconv.ParseUint(sent[1], 10, 64)
	require.NoError(t, err)
	m.Boot()
	records := m.Settled(t, "records")
	require.Equal(t, predictions, records.GetAccepted())
	require.Equal(t, predictions, records.GetStored())
	spans := m.Settled(t, "spans")
	require.Equal(t, spans.GetAccepted(), spans.GetStored())
	require.Greater(t, spans.GetStored(), 6*predictions)
	m.Stop()

	m.BootDemo("--demo.history", "2m", "--demo.duration", "8s")
	require.Eventually(t, func() bool { return strings.Contains(m.Log(), "stopping: sent") }, time.Minute, 100*time.Millisecond)
	require.Contains(t, m.Log(), "wine/red/0.2.0")
	m.Stop()
}

// firstAlert is the first alert, which may not be about the time before the
// drift.
func firstAlert(t *testing.T, m *mesh.Mesh) (first *driftv1.Alert) {
	t.Helper()
	begin := time.Now()
	client := driftv1.NewDriftServiceClient(m.Conn(t))
	for first == nil {
		require.Less(t, time.Since(begin), 2*time.Minute, "no alert")
		list, err := client.ListAlerts(t.Context(), &driftv1.ListAlertsRequest{})
		require.NoError(t, err)
		for _, a := range list.GetAlerts() {
			require.True(t, a.GetRangeEnd().AsTime().After(begin), "false alarm: %v", a)
			first = a
		}
		time.Sleep(200 * time.Millisecond) // between two questions
	}
	t.Logf("alert after %s", time.Since(begin).Round(time.Second))
	return first
}

// requirePrediction requires that Jaeger's API knows the trace, and that it is
// one of a request that led to a prediction.
func requirePrediction(t *testing.T, m *mesh.Mesh, id string) {
	t.Helper()
	var answer struct {
		Data []struct {
			Spans     []struct{ OperationName, ProcessID string }
			Processes map[string]struct{ ServiceName string }
		}
	}
	require.Equal(t, 200, m.Get(t, "/jaeger/api/traces/"+id, &answer))
	require.Len(t, answer.Data, 1)
	found := map[string]string{}
	for _, s := range answer.Data[0].Spans {
		found[s.OperationName] = answer.Data[0].Processes[s.ProcessID].ServiceName
	}
	require.Equal(t, "model-server", found["model.predict"])
	require.Equal(t, "frontend", found["GET /wines/{wine}"])
}
