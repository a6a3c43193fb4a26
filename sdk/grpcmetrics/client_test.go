package grpcmetrics_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/grpcmetrics"
	"github.com/driftmesh/driftmesh/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func register(t *testing.T, cfg grpcmetrics.Config) (*grpcmetrics.Client, *prometheus.Registry) {
	t.Helper()
	calls, stats := grpcmetrics.New(cfg), prometheus.NewPedanticRegistry()
	require.NoError(t, stats.Register(calls))
	return calls, stats
}

// counts are all series by name, method and code; histograms by how much they
// hold.
func counts(t *testing.T, stats *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := stats.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			key := []string{strings.TrimPrefix(f.GetName(), "grpc_client_")}
			for _, l := range one.GetLabel() {
				if l.GetName() == "grpc_code" || l.GetName() == "grpc_method" {
					key = append(key, l.GetValue())
				}
			}
			slices.Sort(key[1:])
			if n := one.GetCounter().GetValue() + float64(one.GetHistogram().GetSampleCount()); n != 0 {
				found[strings.Join(key, " ")] += n
			}
		}
	}
	return found
}

func TestWhatTheSDKSendsIsCounted(t *testing.T) {
	calls, stats := register(t, grpcmetrics.Config{HandlingTime: true})
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithDialOptions(calls.DialOptions()...))
	record := sdk.Features("cellar/wine", sdk.Float("acid", 7.4))
	for range 2 {
		require.NoError(t, client.Publish(t.Context(), record))
	}
	gateway.Fail(status.Error(codes.PermissionDenied, "not yours"))
	require.Error(t, client.Publish(t.Context(), record))
	require.NoError(t, client.Send(t.Context(), record))
	require.NoError(t, client.Flush(t.Context()))
	require.NoError(t, client.Shutdown(t.Context()))
	require.Equal(t, map[string]float64{
		"started_total PublishRecords": 4, "msg_sent_total PublishRecords": 4, "msg_received_total PublishRecords": 3,
		"handled_total OK PublishRecords": 3, "handled_total PermissionDenied PublishRecords": 1,
		"handling_seconds PublishRecords": 4,
	}, counts(t, stats))
}

// streams answers a stream of requests once it ends.
type streams struct {
	ingestv1.UnimplementedIngestServiceServer
}

func (streams) StreamRecords(stream grpc.ClientStreamingServer[ingestv1.StreamRecordsRequest, ingestv1.StreamRecordsResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return stream.SendAndClose(&ingestv1.StreamRecordsResponse{})
		} else if err != nil {
			return err
		}
	}
}

func (streams) Tail(_ *ingestv1.TailRequest, stream grpc.ServerStreamingServer[ingestv1.TailResponse]) error {
	if err := stream.Send(&ingestv1.TailResponse{}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func dial(t *testing.T, calls *grpcmetrics.Client) ingestv1.IngestServiceClient {
	t.Helper()
	lis, server, done := bufconn.Listen(1<<16), grpc.NewServer(), make(chan struct{})
	ingestv1.RegisterIngestServiceServer(server, streams{})
	go func() {
		defer close(done)
		_ = server.Serve(lis)
	}()
	conn, err := grpc.NewClient("passthrough:///streams", append(calls.DialOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		<-done
	})
	return ingestv1.NewIngestServiceClient(conn)
}

// TestStreamsEndOnce: that of a client ends with its one answer, and one that is
// left ends too.
func TestStreamsEndOnce(t *testing.T) {
	calls, stats := register(t, grpcmetrics.Config{ReceiveTime: true, SendTime: true, Buckets: []float64{1, 2}})
	api := dial(t, calls)
	up, err := api.StreamRecords(t.Context())
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, up.Send(&ingestv1.StreamRecordsRequest{}))
	}
	_, err = up.CloseAndRecv()
	require.NoError(t, err)

	ctx, leave := context.WithCancel(t.Context())
	down, err := api.Tail(ctx, &ingestv1.TailRequest{})
	require.NoError(t, err)
	_, err = down.Recv()
	require.NoError(t, err)
	leave()
	want := map[string]float64{
		"started_total StreamRecords": 1, "msg_sent_total StreamRecords": 3, "msg_received_total StreamRecords": 1,
		"handled_total OK StreamRecords": 1, "msg_send_handling_seconds StreamRecords": 3, "msg_recv_handling_seconds StreamRecords": 1,
		"started_total Tail": 1, "msg_sent_total Tail": 1, "msg_received_total Tail": 1,
		"handled_total Canceled Tail": 1, "msg_send_handling_seconds Tail": 1, "msg_recv_handling_seconds Tail": 1,
	}
	require.Eventually(t, func() bool { return counts(t, stats)["handled_total Canceled Tail"] == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, want, counts(t, stats))
}

func TestLegacyNames(t *testing.T) {
	calls, stats := register(t, grpcmetrics.Config{HandlingTime: true, Legacy: true})
	_, err := dial(t, calls).PublishRecords(t.Context(), &ingestv1.PublishRecordsRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.Equal(t, map[string]float64{
		"started_total PublishRecords": 1, "msg_sent_total PublishRecords": 1,
		"completed PublishRecords Unimplemented": 1, "completed_latency_seconds PublishRecords": 1,
	}, counts(t, stats))
}

// exemplars are those of all families, by name.
func exemplars(t *testing.T, stats *prometheus.Registry) map[string]string {
	t.Helper()
	families, err := stats.Gather()
	require.NoError(t, err)
	found := map[string]string{}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			labels := one.GetCounter().GetExemplar().GetLabel()
			for _, b := range one.GetHistogram().GetBucket() {
				labels = append(labels, b.GetExemplar().GetLabel()...)
			}
			for _, l := range labels {
				found[f.GetName()] = l.GetName() + "=" + l.GetValue()
			}
		}
	}
	return found
}

func TestExemplarsNameTheSampledTrace(t *testing.T) {
	const id = "trace_id=01000000000000000000000000000000"
	for legacy, want := range map[bool]map[string]string{
		false: {"grpc_client_handled_total": id, "grpc_client_handling_seconds": id},
		true:  {"grpc_client_completed_latency_seconds": id}, // on the other Prometheus refuses one
	} {
		calls, stats := register(t, grpcmetrics.Config{HandlingTime: true, Legacy: legacy})
		api := dial(t, calls)
		call := func(flags trace.TraceFlags) {
			_, _ = api.PublishRecords(trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags,
			})), &ingestv1.PublishRecordsRequest{})
		}
		call(0)
		require.Empty(t, exemplars(t, stats))
		call(trace.FlagsSampled)
		require.Equal(t, want, exemplars(t, stats))
	}
}
