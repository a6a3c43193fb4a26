package mesh_test

import (
	"testing"

	"github.com/driftmesh/driftmesh/test/mesh"
)

// What needs no mesh of its own, only a tenant: all of it in one, side by side.
func TestTenantsOfOneMesh(t *testing.T) {
	t.Parallel()
	m := mesh.Start(t, "--auth.bootstrap-password", adminPassword, "--drift.trace-wait", "5s")
	t.Run("every hop", func(t *testing.T) { // as nobody
		requireEveryHop(t, m.Addresses)
	})
	t.Run("a noisy neighbour", func(t *testing.T) { requireNoisyNeighbour(t, m) }) // alone: the others would be neighbours too
	for name, test := range map[string]func(t *testing.T, m *mesh.Mesh){
		"an-alert-names-the-traces-that-moved-it": func(t *testing.T, m *mesh.Mesh) { requireAlert(t, m.Addresses, m.Log) },
		"the-client-registers-profiles":           requireRegistration,
		"labels-judge-performance":                requirePerformance,
		"traces-out-are-otlp":                     requireOTLPOut,
		"records-of-any-file":                     requireAnyFile,
		"what-was-sent-is-judged":                 requireSentIsJudged,
		"values-of-another-type":                  requireWrongTypes,
		"compare-is-what-the-mesh-says":           requireCompareIsTheMesh,
		"looking-at-a-profile":                    requireViews,
		"drift-of-telemetry":                      requireDriftOfTelemetry,
		"who-sent-what":                           requireSenders,
		"traces-and-records":                      requireTracesAndRecords,
		"scouter-speaks":                          requireScouter,
		"scouter-answers":                         requireScouterAnswers,
		"scouter-moves-in":                        requireScouterMovesIn,
		"scouter-genai":                           requireScouterGenAI,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, m.Tenant(t, name))
		})
	}
}
