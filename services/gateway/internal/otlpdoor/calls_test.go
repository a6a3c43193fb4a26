package otlpdoor_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
)

// grpcCounts are the series of gRPC calls that are not 0.
func grpcCounts(t *testing.T, stats *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := stats.Gather()
	require.NoError(t, err)
	counts := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "grpc_server_") {
			continue
		}
		for _, one := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range one.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if n := one.GetCounter().GetValue(); n != 0 {
				service := labels["grpc_service"][strings.LastIndex(labels["grpc_service"], ".")+1:]
				counts[strings.TrimSpace(strings.TrimPrefix(f.GetName(), "grpc_server_")+" "+service+" "+labels["grpc_code"])] = n
			}
		}
	}
	return counts
}

// TestCallsAreCountedAsOfAnyServer: accepted and refused before and after
// decoding, in the names of every gRPC server.
func TestCallsAreCountedAsOfAnyServer(t *testing.T) {
	b := start(t, otlpdoor.Config{})
	export := func(token string, want codes.Code, options ...grpc.CallOption) {
		t.Helper()
		ctx := t.Context()
		if token != "" {
			ctx = withToken(ctx, token)
		}
		_, err := b.client.Export(ctx, sample(3), options...)
		require.Equal(t, want, status.Code(err), "%v", err)
	}
	for range 3 {
		export("acme-token", codes.OK)
	}
	export("", codes.OK, grpc.UseCompressor("gzip"))
	for range 2 {
		export("stranger", codes.Unauthenticated) // is not decoded
	}
	export("auth-is-away", codes.Unavailable)
	b.published.before = func(context.Context, []broker.Message) error { return errors.New("the broker is away") }
	export("acme-token", codes.Unavailable) // after it was decoded
	require.Equal(t, codes.InvalidArgument, status.Code(b.conn.Invoke(t.Context(),
		collectorpb.TraceService_Export_FullMethodName, []byte{0x0a, 0x7f}, new([]byte), grpc.ForceCodecV2(rawClient{}))))

	_, err := colmetricspb.NewMetricsServiceClient(b.conn).Export(t.Context(), &colmetricspb.ExportMetricsServiceRequest{})
	require.NoError(t, err)
	_, err = collogspb.NewLogsServiceClient(b.conn).Export(withToken(t.Context(), "stranger"), &collogspb.ExportLogsServiceRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	for _, method := range []string{"/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", "/made.Up/Method"} {
		err := b.conn.Invoke(t.Context(), method, []byte{}, new([]byte), grpc.ForceCodecV2(rawClient{}))
		require.Equal(t, codes.Unimplemented, status.Code(err))
	}

	require.Equal(t, map[string]float64{
		"started_total TraceService": 9, "msg_received_total TraceService": 6, "msg_sent_total TraceService": 4,
		"handled_total TraceService OK": 4, "handled_total TraceService Unauthenticated": 2,
		"handled_total TraceService Unavailable": 2, "handled_total TraceService InvalidArgument": 1,
		"started_total MetricsService": 1, "msg_received_total MetricsService": 1, "msg_sent_total MetricsService": 1,
		"handled_total MetricsService OK": 1,
		"started_total LogsService":       1, "handled_total LogsService Unauthenticated": 1,
		"started_total unknown": 2, "handled_total unknown Unimplemented": 2,
	}, grpcCounts(t, b.stats))
}
