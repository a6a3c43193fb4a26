package interop_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server/prometheus"
)

// TestPrometheusTakesThePush: what a mesh pushes by OTLP arrives at Prometheus's own
// receiver under every name that is scraped. It adds _total to a counter that has it
// not, which the older grpc_client_completed is, unless it is told to leave names alone.
func TestPrometheusTakesThePush(t *testing.T) {
	push := func(t *testing.T, config string, args ...string) *prometheus.Server {
		t.Helper()
		p := prometheus.StartOTLP(t, config)
		t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", p.ReceiverURL()+"/v1/metrics")
		t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "2000")
		callMesh(t, mesh.Start(t, append([]string{
			"--metrics.server-handling-time", "--metrics.client-handling-time", "--metrics.client-stream-receive-time", "--metrics.client-stream-send-time",
			"--metrics.buckets", "0.5,60", "--metrics.opentelemetry",
		}, args...)...))
		return p
	}
	t.Run("today's", func(t *testing.T) {
		p := push(t, "global: {}\n")
		awaitNames(t, p, append(todays, alike...)...)
		of := `{job="driftmesh/driftmesh",service="gateway",grpc_service="driftmesh.auth.v1.AuthService",grpc_method="WhoAmI",grpc_type="unary"`
		await(t, p, "grpc_server_handled_total"+of+`,grpc_code="OK"}`, calls)
		await(t, p, "grpc_server_handling_seconds_count"+of+"}", 2*calls)
		for _, name := range olders {
			require.Empty(t, p.Query(name), name)
		}
	})
	t.Run("older", func(t *testing.T) {
		awaitNames(t, push(t, "otlp: {translation_strategy: UnderscoreEscapingWithoutSuffixes}\n", "--metrics.legacy"), append(olders, alike...)...)
	})
}
