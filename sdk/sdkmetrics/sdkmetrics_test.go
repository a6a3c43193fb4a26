package sdkmetrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/sdkmetrics"
	"github.com/driftmesh/driftmesh/sdk/sdktest"
)

// TestWhatIsSentAndLostIsCounted looks at the same numbers by Prometheus and by
// OpenTelemetry.
func TestWhatIsSentAndLostIsCounted(t *testing.T) {
	gateway := sdktest.New(t)
	reader := sdkmetric.NewManualReader()
	client := gateway.Client(sdk.WithSpanBatch(100, 10, time.Hour), sdk.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	gateway.RefuseSpans(func(s *tracepb.Span) string { return map[string]string{"refused": "why"}[s.GetName()] })
	for _, name := range []string{"a", "b", "refused", "c", "d"} {
		_, span := client.TracerProvider().Tracer("test").Start(t.Context(), name)
		span.End()
	}
	_ = client.Flush(t.Context()) // says what the numbers say

	reg := prometheus.NewRegistry()
	reg.MustRegister(sdkmetrics.New(client))
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP driftmesh_sdk_sent_total Spans and records that are durable.
# TYPE driftmesh_sdk_sent_total counter
driftmesh_sdk_sent_total{place="mesh",signal="records"} 0
driftmesh_sdk_sent_total{place="mesh",signal="spans"} 4
# HELP driftmesh_sdk_lost_total Spans and records that did not arrive, by reason.
# TYPE driftmesh_sdk_lost_total counter
driftmesh_sdk_lost_total{place="mesh",reason="failed",signal="records"} 0
driftmesh_sdk_lost_total{place="mesh",reason="failed",signal="spans"} 0
driftmesh_sdk_lost_total{place="mesh",reason="queue_full",signal="records"} 0
driftmesh_sdk_lost_total{place="mesh",reason="queue_full",signal="spans"} 0
driftmesh_sdk_lost_total{place="mesh",reason="refused",signal="records"} 0
driftmesh_sdk_lost_total{place="mesh",reason="refused",signal="spans"} 0
driftmesh_sdk_lost_total{place="mesh",reason="rejected",signal="records"} 0
driftmesh_sdk_lost_total{place="mesh",reason="rejected",signal="spans"} 1
driftmesh_sdk_lost_total{place="mesh",reason="shutdown",signal="records"} 0
driftmesh_sdk_lost_total{place="mesh",reason="shutdown",signal="spans"} 0
driftmesh_sdk_lost_total{place="mesh",reason="too_large",signal="records"} 0
driftmesh_sdk_lost_total{place="mesh",reason="too_large",signal="spans"} 0
# HELP driftmesh_sdk_queued Spans and records that wait, or are on their way without an answer.
# TYPE driftmesh_sdk_queued gauge
driftmesh_sdk_queued{place="mesh",signal="records"} 0
driftmesh_sdk_queued{place="mesh",signal="spans"} 0
`), "driftmesh_sdk_sent_total", "driftmesh_sdk_lost_total", "driftmesh_sdk_queued"))

	var got metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &got))
	numbers := map[string]int64{}
	for _, m := range got.ScopeMetrics[0].Metrics {
		sum, _ := m.Data.(metricdata.Sum[int64])
		for _, p := range sum.DataPoints {
			name := m.Name
			for _, key := range []attribute.Key{"signal", "place", "reason"} {
				if v, ok := p.Attributes.Value(key); ok {
					name += " " + v.AsString()
				}
			}
			numbers[name] = p.Value
		}
	}
	require.Equal(t, int64(4), numbers["driftmesh.sdk.sent spans mesh"])
	require.Equal(t, int64(1), numbers["driftmesh.sdk.lost spans mesh rejected"])
	require.Contains(t, numbers, "driftmesh.sdk.lost records mesh shutdown")
	require.Contains(t, numbers, "driftmesh.sdk.queued spans mesh")
	require.Contains(t, numbers, "driftmesh.sdk.retries records mesh")
}
