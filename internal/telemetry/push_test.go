package telemetry_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// receiver keeps the paths that were pushed to, and the metrics.
type receiver struct {
	mu    sync.Mutex
	paths []string
	names []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	var message colmetricspb.ExportMetricsServiceRequest
	if err != nil || req.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(raw, &message) != nil {
		http.Error(w, "not OTLP in protobuf", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, req.URL.Path)
	for _, rm := range message.GetResourceMetrics() {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				r.names = append(r.names, m.GetName())
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func counted() *prometheus.Registry {
	stats := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "seen_total", Help: "For the test."})
	c.Inc()
	stats.MustRegister(c)
	return stats
}

func TestMetricsGoWhereTheEnvironmentSays(t *testing.T) {
	for name, row := range map[string]struct {
		vars  map[string]string // with PATH for the rest of the endpoint
		paths []string
	}{
		"its own endpoint, as it is": {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "/api/v1/otlp/v1/metrics"}, []string{"/api/v1/otlp/v1/metrics"}},
		"the general one":            {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "/base"}, []string{"/base/v1/metrics"}},
		"its own before the general": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "/base", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "/own"}, []string{"/own"}},
		"none":                       {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var r receiver
			server := httptest.NewServer(&r)
			defer server.Close()
			vars := map[string]string{}
			for k, path := range row.vars {
				vars[k] = server.URL + path
				t.Setenv(k, vars[k]) // the library reads it too
			}
			push, err := telemetry.NewMetricsPush(t.Context(), vars, counted(), "driftmesh.test", "1")
			require.NoError(t, err)
			if push == nil {
				require.Empty(t, row.paths)
				return
			}
			require.NoError(t, push.Shutdown(t.Context()))
			require.Equal(t, row.paths, r.paths)
			require.Equal(t, []string{"seen_total"}, r.names)
		})
	}
}

func TestNothingIsPushedWhenItIsOff(t *testing.T) {
	for _, off := range []map[string]string{{"OTEL_SDK_DISABLED": "true"}, {"OTEL_METRICS_EXPORTER": "none"}} {
		off["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1"
		push, err := telemetry.NewMetricsPush(t.Context(), off, counted(), "driftmesh.test", "1")
		require.NoError(t, err)
		require.Nil(t, push)
	}
}

func TestAnEndpointThatCannotBeReadIsNamed(t *testing.T) {
	for _, row := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: must be a URL"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://"}, "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:hunter2@\x7f"}, "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, `OTEL_EXPORTER_OTLP_PROTOCOL "http/json": must be grpc or http/protobuf`},
	} {
		_, err := telemetry.NewMetricsPush(t.Context(), row.vars, counted(), "driftmesh.test", "1")
		require.ErrorContains(t, err, row.want)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
