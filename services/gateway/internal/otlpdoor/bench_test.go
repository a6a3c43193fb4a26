package otlpdoor_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // for the load
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/bench/harness"
	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

// The load runs in another process, so that the CPU measured is the door's.
// It is this test binary again, told by the environment.
const (
	envAddr     = "DRIFTMESH_BENCH_ADDR"
	envRequests = "DRIFTMESH_BENCH_REQUESTS"
	envGzip     = "DRIFTMESH_BENCH_GZIP"
	envKey      = "DRIFTMESH_BENCH_KEY"
)

const (
	spansPerRequest = 100
	connections     = 4
	inFlight        = 2 // a connection
	warm            = 200
)

// TestLoad is not a test: it is the load of BenchmarkDoor.
func TestLoad(t *testing.T) {
	addr := os.Getenv(envAddr)
	if addr == "" {
		t.Skip("only as the load of BenchmarkDoor")
	}
	requests, err := strconv.ParseInt(os.Getenv(envRequests), 10, 64)
	require.NoError(t, err)
	options := []grpc.CallOption{grpc.ForceCodecV2(rawClient{})}
	if os.Getenv(envGzip) != "" {
		options = append(options, grpc.UseCompressor("gzip"))
	}
	body, err := proto.Marshal(sample(spansPerRequest))
	require.NoError(t, err)
	ctx := context.Background()
	if key := os.Getenv(envKey); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", key)
	}
	var left atomic.Int64
	left.Store(requests)
	var all sync.WaitGroup
	for range connections {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		defer conn.Close()
		for range inFlight {
			all.Go(func() {
				for left.Add(-1) >= 0 {
					var answer []byte
					if err := conn.Invoke(ctx, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", body, &answer, options...); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Wait()
}

type dropAll struct{}

func (dropAll) Publish(context.Context, []broker.Message) error { return nil }
func (dropAll) Close(context.Context) error                     { return nil }

// BenchmarkDoor measures the door's CPU for a million spans in requests of 100
// (about 47 KB) over loopback. One operation is one request.
func BenchmarkDoor(b *testing.B) {
	for name, gzip := range map[string]string{"plain": "", "gzip": "1"} {
		b.Run(name+"/drop", func(b *testing.B) {
			benchmarkDoor(b, dropAll{}, gzip, noop.NewTracerProvider(), rpc.MetricsConfig{})
		})
		b.Run(name+"/jetstream", func(b *testing.B) { benchmarkJetStream(b, gzip) })
	}
}

// BenchmarkDoorMeasured is BenchmarkDoor/plain/drop by what is measured of calls.
func BenchmarkDoorMeasured(b *testing.B) {
	for _, measured := range []struct {
		name string
		rpc.MetricsConfig
	}{
		{"counters", rpc.MetricsConfig{}},
		{"histogram", rpc.MetricsConfig{ServerHandlingTime: true}},
		{"opentelemetry", rpc.MetricsConfig{OpenTelemetry: true}},
	} {
		b.Run(measured.name, func(b *testing.B) {
			benchmarkDoor(b, dropAll{}, "", noop.NewTracerProvider(), measured.MetricsConfig)
		})
	}
}

// BenchmarkDoorIdentified is BenchmarkDoor/plain/drop by who calls: nobody who is
// asked, or the holder of an API key.
func BenchmarkDoorIdentified(b *testing.B) {
	key := identity.FormatAPIKey("0123456789abcdef", make([]byte, 32))
	a, err := identity.NewAuthenticator(identity.Checks{
		Keys: identity.NewKeyVerifier(func(context.Context, string) (identity.Identity, time.Time, error) {
			return identity.Identity{Tenant: "acme", Subject: "k1", Kind: identity.Key, Grant: policy.As(policy.Ingest)}, time.Time{}, nil
		}),
	})
	require.NoError(b, err)
	b.Run("nobody", func(b *testing.B) {
		benchmarkDoor(b, dropAll{}, "", noop.NewTracerProvider(), rpc.MetricsConfig{})
	})
	b.Run("key", func(b *testing.B) {
		b.Setenv(envKey, key) // the load inherits it
		benchmarkDoor(b, dropAll{}, "", noop.NewTracerProvider(), rpc.MetricsConfig{}, func(deps *otlpdoor.Deps) { deps.Identify = a.Authenticate })
	})
}

// benchmarkJetStream publishes to a JetStream server with file storage, whose
// CPU is counted apart, with tracing and metrics on.
func benchmarkJetStream(b *testing.B, gzip string) {
	server := natsserver.Start(b, natsserver.Options{})
	tracing, err := telemetry.NewTracing(b.Context(), telemetry.TracingConfig{Roots: 10}, nil,
		func(context.Context, []byte, int) error { return nil })
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, tracing.Shutdown(context.Background())) })
	traces := tracing.Service("gateway", "gw-1")
	br, err := driver.Open(b.Context(), driver.Config{URL: server.URL(), Stats: prometheus.NewRegistry(), Tracer: traces})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, br.Close(context.Background())) })
	require.NoError(b, br.Admin().EnsureTopic(b.Context(), broker.TopicSpec{Name: event.Spans, MaxBytes: 2 << 30}))
	require.NoError(b, br.Admin().EnsureTopic(b.Context(), broker.TopicSpec{Name: event.SpanReceipts, MaxBytes: 2 << 30}))
	publisher, err := br.Publisher()
	require.NoError(b, err)
	cpu := harness.CPU(server.PID())
	benchmarkDoor(b, publisher, gzip, traces, rpc.MetricsConfig{})
	b.ReportMetric((harness.CPU(server.PID())-cpu)/float64((b.N+warm)*spansPerRequest)*1e6, "broker-CPU-s/Mspans")
}

func benchmarkDoor(b *testing.B, publisher broker.Publisher, gzip string, traces trace.TracerProvider, measured rpc.MetricsConfig, more ...func(*otlpdoor.Deps)) {
	calls, err := rpc.NewMetrics(measured, prometheus.NewRegistry())
	require.NoError(b, err)
	d := start(b, otlpdoor.Config{}, func(deps *otlpdoor.Deps) {
		deps.Intake, deps.Traces, deps.Calls = limitedIntake(publisher), traces, calls
		for _, set := range more {
			set(deps)
		}
	})
	load := func(requests int) {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestLoad$")
		cmd.Env = append(cmd.Environ(), envAddr+"="+d.grpcAddr, envRequests+"="+fmt.Sprint(requests), envGzip+"="+gzip)
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, "%s", out)
	}
	load(warm)
	b.ResetTimer()
	began, cpu := time.Now(), cpuTime(b)
	load(b.N)
	spans := float64(b.N * spansPerRequest)
	b.ReportMetric((cpuTime(b)-cpu).Seconds()/spans*1e6, "CPU-s/Mspans")
	b.ReportMetric(spans/time.Since(began).Seconds(), "spans/s")
}

// limitedIntake is an intake of tenants that have every limit, and stay below it.
func limitedIntake(publisher broker.Publisher) *door.Intake {
	const most = 1 << 50
	book := quota.NewBook(quota.Limits{
		quota.IngestRate: most, quota.IngestItems: most, quota.InFlight: most, quota.BacklogBytes: most, quota.Retained: most,
	})
	return door.NewIntake(door.IntakeConfig{
		Topic: event.Spans, Type: event.TypeTraces, Receipts: event.SpanReceipts,
		Tenants: book, Backlog: quota.NewBacklog(book, quota.Spans, most),
	}, "gw-1", publisher)
}

// cpuTime is what this process has used, children left out.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
