package interop_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/test/interop"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/prometheus"
)

// calls in each of the loads below, so that counts are known.
const calls = 7

// sampled asks for the trace of a call to be recorded.
const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	sampled = "00-" + traceID + "-b7ad6b7169203331-01"
)

// callMesh makes a known number of calls of each kind.
func callMesh(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	conn := m.Conn(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", sampled)
	for range calls {
		_, err := authv1.NewAuthServiceClient(conn).WhoAmI(ctx, &authv1.WhoAmIRequest{}) // gateway, then auth
		require.NoError(t, err)
		_, err = authv1.NewAuthServiceClient(conn).WhoAmI(metadata.AppendToOutgoingContext(t.Context(), "x-api-key", "dm_wrong"), &authv1.WhoAmIRequest{})
		require.Equal(t, codes.Unauthenticated, status.Code(err), "%v", err)
		stream, err := tracev1.NewTraceServiceClient(conn).GetTrace(t.Context(), &tracev1.GetTraceRequest{TraceId: strings.Repeat("ab", 16)})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, codes.NotFound, status.Code(err), "%v", err)
	}
	up, err := ingestv1.NewIngestServiceClient(conn).StreamRecords(t.Context())
	require.NoError(t, err)
	for range calls {
		require.NoError(t, up.Send(&ingestv1.StreamRecordsRequest{}))
	}
	_, err = up.CloseAndRecv()
	require.NoError(t, err)
}

// scraped starts a mesh whose admin address has TLS and a token, a Prometheus
// that scrapes it, and makes the calls. Two more jobs do something wrong.
func scraped(t *testing.T, args ...string) *prometheus.Server {
	t.Helper()
	dir := t.TempDir()
	cert, key, token, root := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "token"), filepath.Join(dir, "root.crt")
	authority := server.NewAuthority(t, "root")
	authority.Issue(time.Now().Add(time.Hour), nil).Write(t, cert, key)
	require.NoError(t, os.WriteFile(root, authority.PEM(), 0o600))
	require.NoError(t, os.WriteFile(token, []byte("scrape-me-please\n"), 0o600))
	m := mesh.Start(t, append([]string{
		"--admin.tls.cert", cert, "--admin.tls.key", key, "--admin.token", "file:" + token,
		"--metrics.server-handling-time", "--metrics.client-handling-time", "--metrics.client-stream-receive-time", "--metrics.client-stream-send-time",
		"--metrics.buckets", "0.5,60", "--metrics.opentelemetry",
	}, args...)...)
	p := prometheus.Start(t, fmt.Sprintf(`
global: {scrape_interval: 4s, scrape_timeout: 4s} # of which a busy machine with the race detector needs some
scrape_configs:
- job_name: mesh
  scheme: https
  tls_config: {ca_file: %[1]s}
  authorization: {credentials_file: %[2]s}
  static_configs: [{targets: ["%[3]s"]}]
- job_name: without-token
  scheme: https
  tls_config: {ca_file: %[1]s}
  static_configs: [{targets: ["%[3]s"]}]
- job_name: other-name
  scheme: https
  tls_config: {ca_file: %[1]s, server_name: mesh.example}
  authorization: {credentials_file: %[2]s}
  static_configs: [{targets: ["%[3]s"]}]
`, root, token, m.Admin))
	callMesh(t, m)
	return p
}

// patience is for a machine that does much else.
const patience = 2 * time.Minute

// await waits until an expression has this value.
func await(t *testing.T, p *prometheus.Server, expression string, want float64) {
	t.Helper()
	mesh.Await(t, patience, func() error {
		got := p.Query(expression)
		if len(got) != 1 || got[0].Value != want {
			return fmt.Errorf("%s is %v, not %v; the last scrape: %s", expression, got, want, p.Failure("mesh"))
		}
		return nil
	})
}

// awaitNames waits until every name has series, and says which have none.
func awaitNames(t *testing.T, p *prometheus.Server, names ...string) {
	t.Helper()
	mesh.Await(t, patience, func() error {
		var errs []error
		for _, name := range names {
			if got := p.Query("sum(" + name + ")"); len(got) != 1 || got[0].Value == 0 {
				errs = append(errs, fmt.Errorf("%s: %v", name, got))
			}
		}
		if len(errs) > 0 {
			errs = append(errs, errors.New("the last scrape: "+p.Failure("mesh")))
		}
		return errors.Join(errs...)
	})
}

var (
	alike = []string{
		"grpc_server_started_total", "grpc_server_handled_total", "grpc_server_msg_received_total", "grpc_server_msg_sent_total",
		"grpc_client_started_total", "grpc_client_msg_received_total", "grpc_client_msg_sent_total",
		"grpc_client_msg_recv_handling_seconds_count", "grpc_client_msg_send_handling_seconds_count",
		"grpc_server_call_duration_seconds_count", "grpc_client_call_duration_seconds_count",
		"grpc_server_call_started_total", "grpc_client_attempt_started_total", "grpc_client_attempt_duration_seconds_count",
		"grpc_server_call_sent_total_compressed_message_size_bytes_count", "grpc_server_call_rcvd_total_compressed_message_size_bytes_count",
		"grpc_client_attempt_sent_total_compressed_message_size_bytes_count", "grpc_client_attempt_rcvd_total_compressed_message_size_bytes_count",
	}
	todays = []string{"grpc_server_handling_seconds_count", "grpc_client_handled_total", "grpc_client_handling_seconds_count"}
	olders = []string{"grpc_server_handled_latency_seconds_count", "grpc_client_completed", "grpc_client_completed_latency_seconds_count"}
)

// TestPrometheusScrapesEveryName: over TLS, with the token.
func TestPrometheusScrapesEveryName(t *testing.T) {
	t.Run("today's", func(t *testing.T) {
		p := scraped(t)
		for _, service := range []string{"gateway", "auth"} {
			of := fmt.Sprintf(`{service=%q,grpc_service="driftmesh.auth.v1.AuthService",grpc_method="WhoAmI",grpc_type="unary"`, service)
			await(t, p, `grpc_server_handled_total`+of+`,grpc_code="OK"}`, calls)
			await(t, p, `grpc_server_msg_received_total`+of+`}`, calls)
			await(t, p, `grpc_server_msg_sent_total`+of+`}`, calls)
		}
		of := `{service="gateway",grpc_method="WhoAmI",grpc_type="unary"`
		await(t, p, `grpc_server_handled_total`+of+`,grpc_code="Unauthenticated"}`, calls)
		await(t, p, `grpc_server_started_total`+of+`}`, 2*calls)
		await(t, p, `grpc_server_handling_seconds_bucket`+of+`,le="60.0"}`, 2*calls)
		await(t, p, `grpc_client_handled_total`+of+`,grpc_code="OK"}`, calls)
		await(t, p, `grpc_client_handling_seconds_count`+of+`}`, calls)
		of = `{service="gateway",grpc_method="GetTrace",grpc_type="server_stream"`
		await(t, p, `grpc_client_handled_total`+of+`,grpc_code="NotFound"}`, calls)
		await(t, p, `grpc_client_msg_recv_handling_seconds_count`+of+`}`, calls)
		await(t, p, `grpc_client_msg_send_handling_seconds_count`+of+`}`, calls)
		await(t, p, `grpc_server_msg_received_total{service="gateway",grpc_method="StreamRecords",grpc_type="client_stream"}`, calls)
		await(t, p, `sum(grpc_server_call_duration_seconds_count{service="gateway",grpc_method="driftmesh.auth.v1.AuthService/WhoAmI"})`, 2*calls)
		awaitNames(t, p, append(todays, alike...)...)
		for _, name := range olders {
			require.Empty(t, p.Query(name), name)
		}
		exemplars(t, p, "grpc_server_handling_seconds_bucket")
		exemplars(t, p, "grpc_server_handled_total")
		refusals(t, p)
	})
	t.Run("older", func(t *testing.T) {
		p := scraped(t, "--metrics.legacy")
		awaitNames(t, p, append(olders, alike...)...)
		for _, name := range append([]string{"grpc_client_completed_total"}, todays...) {
			require.Empty(t, p.Query(name), name)
		}
		of := `{service="gateway",grpc_method="WhoAmI",grpc_type="unary"`
		await(t, p, `grpc_client_completed`+of+`,grpc_code="OK"}`, calls)
		await(t, p, `grpc_client_completed_latency_seconds_count`+of+`}`, calls)
		await(t, p, `grpc_server_handled_latency_seconds_count`+of+`}`, 2*calls)
		exemplars(t, p, "grpc_server_handled_latency_seconds_bucket")
	})
}

// exemplars wants the trace that callMesh was in among those of a metric.
func exemplars(t *testing.T, p *prometheus.Server, metric string) {
	t.Helper()
	mesh.Await(t, patience, func() error {
		kept := p.Exemplars(metric + `{service="gateway",grpc_method="WhoAmI"}`)
		for _, labels := range kept {
			if labels["trace_id"] == traceID {
				return nil
			}
		}
		return fmt.Errorf("exemplars of %s: %v", metric, kept)
	})
}

// refusals are what somebody sees who set Prometheus up wrongly; docs/troubleshooting.md
// has them word by word.
func refusals(t *testing.T, p *prometheus.Server) {
	t.Helper()
	docs, err := os.ReadFile(filepath.Join(mesh.Root(t), "docs/troubleshooting.md"))
	require.NoError(t, err)
	for job, want := range map[string]string{
		"without-token": "server returned HTTP status 401 Unauthorized",
		"other-name":    "x509: certificate is valid for localhost, not mesh.example",
	} {
		require.Contains(t, string(docs), want)
		mesh.Await(t, patience, func() error {
			if got := p.Failure(job); !strings.Contains(got, want) {
				return fmt.Errorf("%s: %q", job, got)
			}
			return nil
		})
	}
}

// auth runs the service auth alone, which needs no other, and makes the calls of
// its health service.
func auth(t *testing.T, env ...string) *mesh.Process {
	t.Helper()
	dir, listen, admin := t.TempDir(), server.FreeAddress(t), server.FreeAddress(t)
	p := mesh.RunEnv(t, append(env, "DRIFTMESH_MESH_SECRET="+mesh.Secret), "auth", mesh.Binary(t, "./services/auth"), "--auth.listen", listen, "--admin.listen", admin,
		"--sql.url", "sqlite:"+dir, "--telemetry.disable", "--metrics.server-handling-time")
	p.WaitReady(admin)
	conn, err := grpc.NewClient(listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	for range calls {
		_, err := healthgrpc.NewHealthClient(conn).Check(t.Context(), &healthgrpc.HealthCheckRequest{})
		require.NoError(t, err)
	}
	return p
}

// metricsCollector runs a Collector whose OTLP receiver takes metrics below a
// path, as Prometheus's does, and passes them on.
func metricsCollector(t *testing.T, to string) (http, grpc string) {
	t.Helper()
	program := tool(t, "collector", ".bin/otelcol")
	http, grpc = server.FreeAddress(t), server.FreeAddress(t)
	config := filepath.Join(t.TempDir(), "collector.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
receivers:
  otlp:
    protocols:
      http: {endpoint: "%s", metrics_url_path: /api/v1/otlp/v1/metrics}
      grpc: {endpoint: "%s"}
exporters:
  otlp:
    endpoint: %s
    tls: {insecure: true}
    compression: none
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [otlp], exporters: [otlp]}
`, http, grpc, to), 0o600))
	p := mesh.Run(t, "collector", program, "--config", config)
	p.Await(patience, func(ctx context.Context) error { return server.Listens(http)(ctx) })
	return http, grpc
}

// arrived wants the calls of auth among what was pushed.
func arrived(r *interop.MetricsReceiver) error {
	of := map[string]string{"service": "auth", "grpc_service": "grpc.health.v1.Health", "grpc_method": "Check"}
	for _, name := range []string{"grpc_server_started_total", "grpc_server_handled_total", "grpc_server_handling_seconds"} {
		if got, found := r.Sum(name, of); !found || got != calls {
			return fmt.Errorf("%s is %v, after %d pushes", name, got, r.Pushes())
		}
	}
	return nil
}

func TestMetricsArePushedToACollector(t *testing.T) {
	t.Run("as often as is said, over HTTP below a path", func(t *testing.T) {
		r := interop.NewMetricsReceiver(t)
		http, _ := metricsCollector(t, r.GRPC)
		p := auth(t, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://"+http+"/api/v1/otlp/v1/metrics", "OTEL_METRIC_EXPORT_INTERVAL=300",
			"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")
		mesh.Await(t, patience, func() error { return arrived(r) })
		named := r.Resource()
		require.Equal(t, "driftmesh.auth", named["service.name"])
		require.Equal(t, "driftmesh", named["service.namespace"])
		require.Equal(t, "test", named["deployment.environment.name"])
		require.NotEmpty(t, named["service.instance.id"])
		require.NoError(t, p.Stop())
	})
	t.Run("and once more at the end, over gRPC", func(t *testing.T) {
		r := interop.NewMetricsReceiver(t)
		_, grpc := metricsCollector(t, r.GRPC)
		p := auth(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+grpc, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
		require.Zero(t, r.Pushes(), "the first is due in a minute")
		require.NoError(t, p.Stop())
		mesh.Await(t, patience, func() error { return arrived(r) })
		require.Equal(t, 1, r.Pushes())
	})
	t.Run("not when it is off", func(t *testing.T) {
		r := interop.NewMetricsReceiver(t)
		_, grpc := metricsCollector(t, r.GRPC)
		p := auth(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+grpc, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_METRICS_EXPORTER=none")
		require.NoError(t, p.Stop())
		require.Zero(t, r.Pushes())
	})
}
