package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// script is a service that does what its request asks for.
type script struct {
	ingestv1.UnimplementedIngestServiceServer
}

func (script) PublishRecords(_ context.Context, req *ingestv1.PublishRecordsRequest) (*ingestv1.PublishRecordsResponse, error) {
	switch len(req.GetRecords()) {
	case 1:
		return nil, fault.NotFound.New("no such thing")
	case 2:
		var m map[string]int
		m["x"] = 1 //nolint:staticcheck // the panic is wanted
	}
	return &ingestv1.PublishRecordsResponse{}, nil
}

func (script) StreamRecords(stream grpc.ClientStreamingServer[ingestv1.StreamRecordsRequest, ingestv1.StreamRecordsResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return stream.SendAndClose(&ingestv1.StreamRecordsResponse{})
		} else if err != nil {
			return err
		}
	}
}

func (script) ExchangeRecords(stream grpc.BidiStreamingServer[ingestv1.ExchangeRecordsRequest, ingestv1.ExchangeRecordsResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(&ingestv1.ExchangeRecordsResponse{}); err != nil {
			return err
		}
	}
}

// Tail sends three messages and then waits to be left.
func (script) Tail(_ *ingestv1.TailRequest, stream grpc.ServerStreamingServer[ingestv1.TailResponse]) error {
	for range 3 {
		if err := stream.Send(&ingestv1.TailResponse{}); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// measured is a server and a client that are measured in one registry.
type measured struct {
	t     *testing.T
	stats *prometheus.Registry
	conn  *grpc.ClientConn
	api   ingestv1.IngestServiceClient
}

func measure(t *testing.T, cfg rpc.MetricsConfig, change ...func(*rpc.ServerConfig)) *measured {
	t.Helper()
	m := &measured{t: t, stats: prometheus.NewRegistry()}
	calls, err := rpc.NewMetrics(cfg, m.stats)
	require.NoError(t, err)
	traces := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	config := rpc.ServerConfig{Listen: "127.0.0.1:0", MaxRequest: 1 << 20}
	for _, c := range change {
		c(&config)
	}
	server, err := rpc.NewServer(config, rpc.ServerDeps{
		Log: slog.New(slog.DiscardHandler), Calls: calls, Traces: traces,
		Authenticate: func(ctx context.Context, _ string) (context.Context, error) {
			authorization, _, err := identity.FromMetadata(ctx)
			if err != nil || authorization != "friend" {
				return nil, fault.Unauthenticated.New("who are you?")
			}
			return identity.With(ctx, identity.Identity{Tenant: "acme", Grant: policy.As(policy.Editor)}), nil
		},
	})
	require.NoError(t, err)
	ingestv1.RegisterIngestServiceServer(server, script{})
	lis, err := server.Listen(t.Context())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, []net.Listener{lis}...) }()
	m.conn, err = rpc.Dial(rpc.ClientConfig{Target: lis.Addr().String(), Traces: traces, Calls: calls})
	require.NoError(t, err)
	m.api = ingestv1.NewIngestServiceClient(m.conn)
	t.Cleanup(func() {
		require.NoError(t, m.conn.Close())
		stop()
		require.NoError(t, <-served)
	})
	return m
}

func (m *measured) friend() context.Context {
	return metadata.AppendToOutgoingContext(m.t.Context(), "authorization", "friend")
}

func (m *measured) families() map[string]*dto.MetricFamily {
	m.t.Helper()
	gathered, err := m.stats.Gather()
	require.NoError(m.t, err)
	families := map[string]*dto.MetricFamily{}
	for _, f := range gathered {
		families[f.GetName()] = f
	}
	return families
}

// counts are all series that are not 0, histograms by how much they hold, as
// "name method[ code]".
func (m *measured) counts(prefix string) map[string]float64 {
	m.t.Helper()
	counts := map[string]float64{}
	for name, f := range m.families() {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		for _, one := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range one.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			value := one.GetCounter().GetValue() + float64(one.GetHistogram().GetSampleCount())
			if value != 0 {
				key := strings.TrimPrefix(name, prefix) + " " + labels["grpc_type"] + " " + labels["grpc_method"] + " " + labels["grpc_code"]
				counts[strings.TrimSpace(key)] += value
			}
		}
	}
	return counts
}

// publish calls with so many records and wants this code.
func (m *measured) publish(ctx context.Context, records int, want error) {
	m.t.Helper()
	req := &ingestv1.PublishRecordsRequest{}
	for range records {
		req.Records = append(req.Records, &ingestv1.Record{Id: strings.Repeat("x", 1000)})
	}
	_, err := m.api.PublishRecords(ctx, req)
	require.ErrorIs(m.t, err, want)
}

// load makes a known number of calls of each kind.
func (m *measured) load() {
	for range 3 {
		m.publish(m.friend(), 0, nil)
	}
	m.publish(m.friend(), 1, fault.NotFound)
	m.publish(m.friend(), 2, fault.Internal) // the handler panics
	for range 2 {
		m.publish(m.t.Context(), 3, fault.Unauthenticated) // is not decoded
	}
	m.publish(m.friend(), 1200, fault.Exhausted) // too large to be read
	err := m.conn.Invoke(m.friend(), "/driftmesh.ingest.v1.IngestService/PublishRecords", []byte{0x0a, 0x7f, 1}, new([]byte), grpc.ForceCodecV2(raw{}))
	require.ErrorIs(m.t, err, fault.Internal) // cannot be decoded
	m.streams()
	for i := range 2 {
		method := fmt.Sprintf("/driftmesh.made.Up%d/Method", i)
		err := m.conn.Invoke(m.t.Context(), method, []byte{}, new([]byte), grpc.ForceCodecV2(raw{}))
		require.Equal(m.t, codes.Unimplemented, fault.Of(err).Kind().Code(), "%v", err)
	}
}

func (m *measured) streams() {
	t := m.t
	up, err := m.api.StreamRecords(m.friend())
	require.NoError(t, err)
	for range 4 {
		require.NoError(t, up.Send(&ingestv1.StreamRecordsRequest{}))
	}
	_, err = up.CloseAndRecv()
	require.NoError(t, err)

	refused, err := m.api.StreamRecords(t.Context())
	require.NoError(t, err)
	_, err = refused.CloseAndRecv()
	require.ErrorIs(t, err, fault.Unauthenticated)

	both, err := m.api.ExchangeRecords(m.friend())
	require.NoError(t, err)
	for range 5 {
		require.NoError(t, both.Send(&ingestv1.ExchangeRecordsRequest{}))
		_, err = both.Recv()
		require.NoError(t, err)
	}
	require.NoError(t, both.CloseSend())
	_, err = both.Recv()
	require.ErrorIs(t, err, io.EOF)

	// Left before its end, and never read to it.
	ctx, leave := context.WithCancel(m.friend())
	down, err := m.api.Tail(ctx, &ingestv1.TailRequest{})
	require.NoError(t, err)
	for range 3 {
		_, err = down.Recv()
		require.NoError(t, err)
	}
	leave()
}

var serverCounts = map[string]float64{
	"started_total unary PublishRecords": 9,
	// Neither the two of strangers, nor what was too large, nor the garbage.
	"msg_received_total unary PublishRecords": 5, "msg_sent_total unary PublishRecords": 3,
	"handled_total unary PublishRecords OK": 3, "handled_total unary PublishRecords NotFound": 1,
	"handled_total unary PublishRecords Internal": 2, "handled_total unary PublishRecords Unauthenticated": 2,
	"handled_total unary PublishRecords ResourceExhausted": 1,

	"started_total client_stream StreamRecords": 2, "msg_received_total client_stream StreamRecords": 4,
	"msg_sent_total client_stream StreamRecords": 1, "handled_total client_stream StreamRecords OK": 1,
	"handled_total client_stream StreamRecords Unauthenticated": 1,

	"started_total bidi_stream ExchangeRecords": 1, "msg_received_total bidi_stream ExchangeRecords": 5,
	"msg_sent_total bidi_stream ExchangeRecords": 5, "handled_total bidi_stream ExchangeRecords OK": 1,

	"started_total server_stream Tail": 1, "msg_received_total server_stream Tail": 1,
	"msg_sent_total server_stream Tail": 3, "handled_total server_stream Tail Canceled": 1,

	"started_total bidi_stream unknown": 2, "handled_total bidi_stream unknown Unimplemented": 2,
}

var clientCounts = map[string]float64{
	"started_total unary PublishRecords": 9, "msg_sent_total unary PublishRecords": 9, "msg_received_total unary PublishRecords": 3,
	"handled_total unary PublishRecords OK": 3, "handled_total unary PublishRecords NotFound": 1,
	"handled_total unary PublishRecords Internal": 2, "handled_total unary PublishRecords Unauthenticated": 2,
	"handled_total unary PublishRecords ResourceExhausted": 1,

	"started_total client_stream StreamRecords": 2, "msg_sent_total client_stream StreamRecords": 4,
	"msg_received_total client_stream StreamRecords": 1, "handled_total client_stream StreamRecords OK": 1,
	"handled_total client_stream StreamRecords Unauthenticated": 1,

	"started_total bidi_stream ExchangeRecords": 1, "msg_sent_total bidi_stream ExchangeRecords": 5,
	"msg_received_total bidi_stream ExchangeRecords": 5, "handled_total bidi_stream ExchangeRecords OK": 1,

	"started_total server_stream Tail": 1, "msg_sent_total server_stream Tail": 1, "msg_received_total server_stream Tail": 3,
	"handled_total server_stream Tail Canceled": 1,

	"started_total unary Method": 2, "msg_sent_total unary Method": 2, "handled_total unary Method Unimplemented": 2,
}

// settle waits until both sides know of the end of all 15 calls: of the one
// that was left they hear by themselves.
func (m *measured) settle() {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		sums := m.named("grpc_")
		return sums["grpc_server_handled_total"] == 15 && sums["grpc_client_handled_total"]+sums["grpc_client_completed"] == 15
	}, 10*time.Second, 5*time.Millisecond)
}

func TestEveryCallIsCountedOnce(t *testing.T) {
	m := measure(t, rpc.MetricsConfig{})
	m.load()
	m.settle()
	require.Equal(t, serverCounts, m.counts("grpc_server_"))
	require.Equal(t, clientCounts, m.counts("grpc_client_"))
	for name, f := range m.families() {
		require.Equal(t, dto.MetricType_COUNTER, f.GetType(), "%s: histograms are off until asked for", name)
	}
}

// named are the families that begin so, with how much they hold.
func (m *measured) named(prefix string) map[string]float64 {
	sums := map[string]float64{}
	for key, n := range m.counts(prefix) {
		name, _, _ := strings.Cut(key, " ")
		sums[prefix+name] += n
	}
	return sums
}

func TestEachHistogramHasASettingOfItsOwn(t *testing.T) {
	for name, row := range map[string]struct {
		cfg rpc.MetricsConfig
		n   float64
	}{
		// Tail, StreamRecords (two), ExchangeRecords, PublishRecords (nine), unknown (two).
		"grpc_server_handling_seconds": {rpc.MetricsConfig{ServerHandlingTime: true}, 15},
		"grpc_client_handling_seconds": {rpc.MetricsConfig{ClientHandlingTime: true}, 15},
		// Also what failed was waited for: the refused stream and the end of the exchange.
		"grpc_client_msg_recv_handling_seconds": {rpc.MetricsConfig{ClientStreamReceiveTime: true}, 1 + 1 + 5 + 1 + 3},
		"grpc_client_msg_send_handling_seconds": {rpc.MetricsConfig{ClientStreamSendTime: true}, 4 + 5 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			row.cfg.Buckets = []float64{0.5, 60}
			m := measure(t, row.cfg)
			m.load()
			m.settle()
			families := m.families()
			var histograms []string
			for n, f := range families {
				if f.GetType() == dto.MetricType_HISTOGRAM {
					histograms = append(histograms, n)
				}
			}
			require.Equal(t, []string{name}, histograms)
			require.InDelta(t, row.n, m.named("grpc_")[name], 0)
			bounds := families[name].GetMetric()[0].GetHistogram().GetBucket()
			require.Len(t, bounds, 2)
			require.InDelta(t, 60, bounds[1].GetUpperBound(), 0)
		})
	}
}

func TestLegacyNamesStandInsteadOfTodays(t *testing.T) {
	m := measure(t, rpc.MetricsConfig{Legacy: true, ServerHandlingTime: true, ClientHandlingTime: true})
	m.load()
	m.settle()
	var names []string
	for name := range m.families() {
		names = append(names, name)
	}
	slices.Sort(names)
	require.Equal(t, []string{
		"grpc_client_completed", "grpc_client_completed_latency_seconds", "grpc_client_msg_received_total",
		"grpc_client_msg_sent_total", "grpc_client_started_total",
		"grpc_server_handled_latency_seconds", "grpc_server_handled_total", "grpc_server_msg_received_total",
		"grpc_server_msg_sent_total", "grpc_server_started_total",
	}, names)
	sums := m.named("grpc_")
	for _, name := range []string{
		"grpc_client_completed", "grpc_client_completed_latency_seconds", "grpc_server_handled_latency_seconds", "grpc_server_handled_total",
	} {
		require.InDelta(t, 15, sums[name], 0, name)
	}
}

func TestOpenTelemetrysNamesStandBeside(t *testing.T) {
	m := measure(t, rpc.MetricsConfig{OpenTelemetry: true})
	m.load()
	m.settle()
	require.Equal(t, serverCounts, m.grpcOnly("grpc_server_", serverCounts))
	require.Eventually(t, func() bool {
		sums := m.named("grpc_")
		return sums["grpc_server_call_duration_seconds"] == 15 && sums["grpc_client_call_duration_seconds"] == 15 &&
			sums["grpc_server_call_started_total"] == 15 && sums["grpc_client_attempt_started_total"] == 15
	}, 10*time.Second, 5*time.Millisecond, "%v", m.named("grpc_"))
	for _, one := range m.families()["grpc_server_call_duration_seconds"].GetMetric() {
		for _, l := range one.GetLabel() {
			require.NotContains(t, l.GetValue(), "made.Up", "a name that a caller made up")
		}
	}
}

func (m *measured) grpcOnly(prefix string, like map[string]float64) map[string]float64 {
	counts := m.counts(prefix)
	for key := range counts {
		if _, ok := like[key]; !ok {
			delete(counts, key)
		}
	}
	return counts
}

// TestExemplarsNameTheTraceThatIsKept: those of calls that nobody records
// would lead nowhere.
func TestExemplarsNameTheTraceThatIsKept(t *testing.T) {
	m := measure(t, rpc.MetricsConfig{ServerHandlingTime: true, ClientHandlingTime: true})
	exemplars := func() map[string]string {
		found := map[string]string{}
		for name, f := range m.families() {
			for _, one := range f.GetMetric() {
				all := []*dto.Exemplar{one.GetCounter().GetExemplar()}
				for _, b := range one.GetHistogram().GetBucket() {
					all = append(all, b.GetExemplar())
				}
				for _, e := range all {
					for _, l := range e.GetLabel() {
						found[name] = l.GetName() + "=" + l.GetValue()
					}
				}
			}
		}
		return found
	}
	m.publish(m.friend(), 0, nil)
	require.Empty(t, exemplars())
	id := trace.TraceID{0x0a, 0xf7, 0x65, 15: 1}
	m.publish(trace.ContextWithRemoteSpanContext(m.friend(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true,
	})), 0, nil)
	want := "trace_id=" + id.String()
	require.Equal(t, map[string]string{
		"grpc_server_handled_total": want, "grpc_server_handling_seconds": want,
		"grpc_client_handled_total": want, "grpc_client_handling_seconds": want,
	}, exemplars())
}

func TestSeriesAreThereBeforeTheFirstCall(t *testing.T) {
	m := measure(t, rpc.MetricsConfig{})
	f := m.families()["grpc_server_handled_total"]
	methods := map[string]int{}
	for _, one := range f.GetMetric() {
		for _, l := range one.GetLabel() {
			if l.GetName() == "grpc_method" {
				methods[l.GetValue()]++
			}
		}
		require.Zero(t, one.GetCounter().GetValue())
	}
	require.Equal(t, 17, methods["PublishRecords"], "each code")
	require.Equal(t, 17, methods["Tail"])
}

func TestBadBucketsAreRefused(t *testing.T) {
	for _, row := range []struct{ buckets, want string }{
		{"1,1", "metrics.buckets: bounds must ascend"}, {"0,1", "metrics.buckets: bounds must be positive numbers of seconds"},
		{"-1", "metrics.buckets: bounds must be positive"}, {"+Inf", "metrics.buckets: bounds must be positive"},
		{"soon", "metrics.buckets"},
	} {
		var cli struct {
			Config  string            `help:"File."`
			Metrics rpc.MetricsConfig `embed:"" prefix:"metrics."`
		}
		_, err := settings.Parse(settings.Program{
			Name: "test", Args: []string{"--metrics.buckets=" + row.buckets}, Stdout: io.Discard, Stderr: io.Discard,
		}, &cli, nil)
		require.ErrorContains(t, err, row.want, row.buckets)
	}
}

// TestHealthIsPerService: "" is the server, which load balancers ask for.
func TestHealthIsPerService(t *testing.T) {
	m := measure(t, rpc.MetricsConfig{})
	health := healthgrpc.NewHealthClient(m.conn)
	for _, service := range []string{"", "driftmesh.ingest.v1.IngestService", "grpc.health.v1.Health"} {
		answer, err := health.Check(t.Context(), &healthgrpc.HealthCheckRequest{Service: service})
		require.NoError(t, err, service)
		require.Equal(t, healthgrpc.HealthCheckResponse_SERVING, answer.GetStatus())
	}
	_, err := health.Check(t.Context(), &healthgrpc.HealthCheckRequest{Service: "driftmesh.none.v1.NoService"})
	require.ErrorIs(t, err, fault.NotFound)
	list, err := health.List(t.Context(), &healthgrpc.HealthListRequest{})
	require.NoError(t, err)
	require.Contains(t, list.GetStatuses(), "driftmesh.ingest.v1.IngestService")
}

func TestReflectionIsThereWhenItIsOn(t *testing.T) {
	for _, on := range []bool{true, false} {
		m := measure(t, rpc.MetricsConfig{}, func(c *rpc.ServerConfig) { c.Reflection = on })
		for _, version := range []string{"v1", "v1alpha"} {
			services, err := list(t, m.conn, version)
			if on {
				require.NoError(t, err)
				require.Contains(t, services, "driftmesh.ingest.v1.IngestService")
				require.Contains(t, services, "grpc.health.v1.Health")
				continue
			}
			require.Equal(t, codes.Unimplemented, fault.Of(err).Kind().Code())
			require.ErrorContains(t, err, "unknown method grpc.reflection."+version)
		}
	}
}

// list asks for the services of a server; both versions have the same messages.
func list(t *testing.T, conn *grpc.ClientConn, version string) (names []string, err error) {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo")
	require.NoError(t, err)
	ask := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := stream.SendMsg(ask); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var answer reflectionv1.ServerReflectionResponse
	err = stream.RecvMsg(&answer)
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names, err
}

// TestACallThatReachesNobodyIsCounted: it was made, and it failed.
func TestACallThatReachesNobodyIsCounted(t *testing.T) {
	stats := prometheus.NewRegistry()
	calls, err := rpc.NewMetrics(rpc.MetricsConfig{}, stats)
	require.NoError(t, err)
	conn, err := rpc.Dial(rpc.ClientConfig{Target: "127.0.0.1:1", Calls: calls})
	require.NoError(t, err)
	defer conn.Close()
	m := &measured{t: t, stats: stats, conn: conn, api: ingestv1.NewIngestServiceClient(conn)}
	m.publish(t.Context(), 0, fault.Unavailable)
	_, err = m.api.Tail(t.Context(), &ingestv1.TailRequest{})
	require.ErrorIs(t, err, fault.Unavailable)
	require.Equal(t, map[string]float64{
		"started_total unary PublishRecords": 1, "msg_sent_total unary PublishRecords": 1, "handled_total unary PublishRecords Unavailable": 1,
		"started_total server_stream Tail": 1, "handled_total server_stream Tail Unavailable": 1,
	}, m.counts("grpc_client_"))
}
