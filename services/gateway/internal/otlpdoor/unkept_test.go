package otlpdoor_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
)

// someMetrics are five data points, of every kind one.
func someMetrics() *collectormetrics.ExportMetricsServiceRequest {
	return &collectormetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{ScopeMetrics: []*metricspb.ScopeMetrics{{Metrics: []*metricspb.Metric{
		{Name: "g", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{{}}}}},
		{Name: "s", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{DataPoints: []*metricspb.NumberDataPoint{{}}}}},
		{Name: "h", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{DataPoints: []*metricspb.HistogramDataPoint{{}}}}},
		{Name: "e", Data: &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{DataPoints: []*metricspb.ExponentialHistogramDataPoint{{}}}}},
		{Name: "q", Data: &metricspb.Metric_Summary{Summary: &metricspb.Summary{DataPoints: []*metricspb.SummaryDataPoint{{}}}}},
	}}}}}}
}

func someLogs() *collectorlogs.ExportLogsServiceRequest {
	return &collectorlogs.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{{}, {}, {}}}}}}}
}

// TestMetricsAndLogsAreTakenQuietly: an SDK that sends them gets no error, ever.
// It is told once that nothing keeps them, and how many were refused; then the
// answer is a plain success, which no exporter logs.
func TestMetricsAndLogsAreTakenQuietly(t *testing.T) {
	t.Parallel()
	for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(grpcgzip.Name)}} {
		b := start(t, otlpdoor.Config{})
		metrics, logs := collectormetrics.NewMetricsServiceClient(b.conn), collectorlogs.NewLogsServiceClient(b.conn)
		m, err := metrics.Export(t.Context(), someMetrics(), options...)
		require.NoError(t, err)
		require.EqualValues(t, 5, m.GetPartialSuccess().GetRejectedDataPoints())
		require.Contains(t, m.GetPartialSuccess().GetErrorMessage(), "turn the metrics exporter off")
		l, err := logs.Export(t.Context(), someLogs(), options...)
		require.NoError(t, err)
		require.EqualValues(t, 3, l.GetPartialSuccess().GetRejectedLogRecords())
		for range 3 {
			m, err = metrics.Export(t.Context(), someMetrics(), options...)
			require.NoError(t, err)
			require.Nil(t, m.PartialSuccess)
			l, err = logs.Export(t.Context(), someLogs(), options...)
			require.NoError(t, err)
			require.Nil(t, l.PartialSuccess)
		}
		m, err = metrics.Export(withToken(t.Context(), "acme-token"), someMetrics(), options...)
		require.NoError(t, err)
		require.EqualValues(t, 5, m.GetPartialSuccess().GetRejectedDataPoints(), "each tenant is told")
		_, err = metrics.Export(withToken(t.Context(), "wrong"), someMetrics())
		require.Equal(t, codes.Unauthenticated, status.Code(err))
		require.Empty(t, b.published.messages())
		families, err := b.stats.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "driftmesh_gateway_otlp_unkept_requests_total" {
				require.InDelta(t, 4, f.Metric[0].GetCounter().GetValue(), 0, f.Metric[0])
				require.InDelta(t, 5, f.Metric[1].GetCounter().GetValue(), 0, f.Metric[1])
			}
		}
	}
}

func TestMetricsAndLogsAreTakenQuietlyOverHTTP(t *testing.T) {
	t.Parallel()
	text := func(m proto.Message) []byte {
		raw, err := protojson.Marshal(m)
		require.NoError(t, err)
		return raw
	}
	for name, form := range map[string]struct {
		media         string
		metrics, logs []byte
		head          []string
		parse         func([]byte, proto.Message) error
	}{
		"protobuf": {typeProto, encode(t, someMetrics()), encode(t, someLogs()), nil, proto.Unmarshal},
		"json":     {typeJSON, text(someMetrics()), text(someLogs()), nil, protojson.Unmarshal},
		"gzip":     {typeJSON, packed(t, text(someMetrics())), packed(t, text(someLogs())), []string{"Content-Encoding", "gzip"}, protojson.Unmarshal},
	} {
		b := start(t, otlpdoor.Config{})
		for _, told := range []int64{1, 0} {
			resp, body := b.postTo(t, "/v1/metrics", form.media, form.metrics, form.head...)
			require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", name, body)
			var m collectormetrics.ExportMetricsServiceResponse
			require.NoError(t, form.parse(body, &m))
			require.Equal(t, 5*told, m.GetPartialSuccess().GetRejectedDataPoints(), name)
			resp, body = b.postTo(t, "/v1/logs", form.media, form.logs, form.head...)
			require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", name, body)
			var l collectorlogs.ExportLogsServiceResponse
			require.NoError(t, form.parse(body, &l))
			require.Equal(t, 3*told, l.GetPartialSuccess().GetRejectedLogRecords(), name)
		}
	}
}
