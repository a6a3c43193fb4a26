package interop_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/test/interop"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
)

// One mesh serves all clients: they have service names of their own.
func TestSpansOfEveryClientComeBackEqual(t *testing.T) {
	m := mesh.Start(t)
	for _, protocol := range []string{"grpc", "http-protobuf"} {
		t.Run("go "+protocol, func(t *testing.T) {
			r := interop.NewReceiver(t)
			sendGo(t, "go-"+protocol, exporter(t, protocol, m.OTLPGRPC, m.OTLPHTTP), exporter(t, protocol, r.GRPC, r.HTTP))
			requireEqual(t, m, r, "go-"+protocol, 53)
		})
		t.Run("python "+protocol, func(t *testing.T) {
			python := tool(t, "python", ".bin/venv/bin/python")
			r := interop.NewReceiver(t)
			run(t, python, "python/send.py", protocol, m, r)
			requireEqual(t, m, r, "python-"+protocol, 52)
		})
	}
	for _, protocol := range []string{"grpc", "http-protobuf", "http-json"} {
		t.Run("node "+protocol, func(t *testing.T) {
			tool(t, "node", "test/interop/node/node_modules")
			node, err := exec.LookPath("node")
			if err != nil {
				server.Missing(t, "node", err.Error())
			}
			r := interop.NewReceiver(t)
			run(t, node, "node/send.mjs", protocol, m, r)
			requireEqual(t, m, r, "node-"+protocol, 52)
		})
	}
	t.Run("collector", func(t *testing.T) {
		program := tool(t, "collector", ".bin/otelcol")
		r := interop.NewReceiver(t)
		address := startCollector(t, program, m.OTLPGRPC, r.GRPC)
		sendGo(t, "go-collector", exporter(t, "grpc", address, ""))
		requireEqual(t, m, r, "go-collector", 53)
	})
}

// tool is the path of something that scripts/setup.sh installs.
func tool(t *testing.T, suite, path string) string {
	t.Helper()
	path = filepath.Join(mesh.Root(t), path)
	if _, err := os.Stat(path); err != nil {
		server.Missing(t, suite, path+" is not there; scripts/setup.sh installs it")
	}
	return path
}

func run(t *testing.T, program, script, protocol string, m *mesh.Mesh, r *interop.Receiver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	mine, theirs := m.OTLPHTTP, r.HTTP
	if protocol == "grpc" {
		mine, theirs = m.OTLPGRPC, r.GRPC
	}
	out, err := exec.CommandContext(ctx, program, script, protocol, mine, theirs).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Empty(t, string(out))
}

func exporter(t *testing.T, protocol, grpcAddress, httpAddress string) sdktrace.SpanExporter {
	t.Helper()
	var client otlptrace.Client
	if protocol == "grpc" {
		client = otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(grpcAddress), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"))
	} else {
		client = otlptracehttp.NewClient(otlptracehttp.WithEndpoint(httpAddress), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	e, err := otlptrace.New(context.Background(), client)
	require.NoError(t, err)
	return e
}

// sendGo sends what send.py and send.mjs send, with the Go SDK.
func sendGo(t *testing.T, service string, exporters ...sdktrace.SpanExporter) {
	t.Helper()
	ctx := context.Background()
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(resource.NewWithAttributes("https://opentelemetry.io/schemas/1.37.0",
		attribute.String("service.name", service), attribute.Int("shards", 4), attribute.Float64("ratio", 0.25),
		attribute.Bool("canary", true), attribute.StringSlice("zones", []string{"a", "b"})))}
	for _, e := range exporters {
		options = append(options, sdktrace.WithBatcher(e))
	}
	provider := sdktrace.NewTracerProvider(options...)
	tracer := provider.Tracer("interop", trace.WithInstrumentationVersion("0.9.0"),
		trace.WithSchemaURL("https://opentelemetry.io/schemas/1.37.0"), trace.WithInstrumentationAttributes(attribute.String("library", "yes")))
	state, err := trace.ParseTraceState("vendor=value,other=thing")
	require.NoError(t, err)
	caller := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{9, 8, 7, byte(time.Now().UnixNano()), byte(time.Now().UnixNano() >> 8), byte(time.Now().UnixNano() >> 16)},
		SpanID:  trace.SpanID{1, 2, 3}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})
	ctx, root := tracer.Start(trace.ContextWithRemoteSpanContext(ctx, caller), "checkout", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("text", "hällo wörld ✓"), attribute.String("empty", ""), attribute.Int("int", 42),
			attribute.Int64("big", 1<<62), attribute.Float64("float", 3.14159), attribute.Float64("whole", 2), attribute.Bool("no", false),
			attribute.StringSlice("list", []string{"x", "y"}), attribute.Int64Slice("numbers", []int64{1, 2, 3}),
			attribute.Float64Slice("floats", []float64{0.5, 1.5}), attribute.BoolSlice("flags", []bool{true, false})),
		trace.WithLinks(trace.Link{SpanContext: caller, Attributes: []attribute.KeyValue{attribute.String("why", "retry"), attribute.Int("times", 2)}}))
	root.AddEvent("cart.loaded", trace.WithAttributes(attribute.Int("items", 3), attribute.Float64("total", 99.5)))
	root.AddEvent("empty")
	_, child := tracer.Start(ctx, "charge", trace.WithSpanKind(trace.SpanKindClient))
	child.RecordError(errors.New("card declined"))
	child.SetStatus(otelcodes.Error, "declined")
	child.End()
	for i := range 50 {
		_, item := tracer.Start(ctx, fmt.Sprintf("item %d", i), trace.WithAttributes(attribute.Int("i", i)))
		item.End()
	}
	root.SetStatus(otelcodes.Ok, "")
	root.End()
	_, alone := tracer.Start(context.Background(), "alone")
	alone.End()
	require.NoError(t, provider.Shutdown(context.Background()))
}

func startCollector(t *testing.T, program string, to ...string) string {
	t.Helper()
	address := server.FreeAddress(t)
	config := filepath.Join(t.TempDir(), "collector.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: %s
exporters:
  otlp/mesh:
    endpoint: %s
    tls: {insecure: true}
  otlp/receiver:
    endpoint: %s
    tls: {insecure: true}
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [otlp/mesh, otlp/receiver]
`, address, to[0], to[1]), 0o600))
	mesh.Run(t, "collector", program, "--config", config)
	return address
}

// requireEqual waits until the mesh has what the receiver has, and compares.
func requireEqual(t *testing.T, m *mesh.Mesh, r *interop.Receiver, service string, count int) {
	t.Helper()
	var sent map[string]interop.Flat
	mesh.Await(t, 20*time.Second, func() error {
		var err error
		sent, err = interop.Flatten(r.Spans())
		require.NoError(t, err)
		if len(sent) != count {
			return fmt.Errorf("the receiver has %d spans, not %d", len(sent), count)
		}
		return nil
	})
	traces := map[string]int{}
	for _, s := range sent {
		traces[hex.EncodeToString(s.Span.GetTraceId())]++
	}
	for id, spans := range traces {
		stored := fetch(t, m, id, spans)
		for key, want := range sent {
			if hex.EncodeToString(want.Span.GetTraceId()) != id {
				continue
			}
			got, ok := stored[key]
			require.True(t, ok, "span %s is not stored", want.Span.GetName())
			requireProto(t, want.Span, got.Span)
			requireProto(t, want.Resource, got.Resource)
			requireProto(t, want.Scope, got.Scope)
		}
		requireJaeger(t, m, id, service, stored)
	}
	var services struct{ Data []string }
	require.Equal(t, 200, m.Get(t, "/jaeger/api/services", &services))
	require.Contains(t, services.Data, service)
	requireMonitor(t, m, service)
}

// requireMonitor asks what the tab Monitor of Jaeger's interface does: of a
// client's spans one is of kind server, and it is no error.
func requireMonitor(t *testing.T, m *mesh.Mesh, service string) {
	t.Helper()
	query := fmt.Sprintf("?service=%s&endTs=%d&lookback=3600000&quantile=0.95&ratePer=600000&spanKind=server&step=60000&groupByOperation=true",
		service, time.Now().UnixMilli())
	last := map[string]float64{}
	for _, metric := range []string{"calls", "errors", "latencies"} {
		var family struct {
			Metrics []struct {
				Labels       []struct{ Name, Value string }
				MetricPoints []struct{ GaugeValue struct{ DoubleValue any } }
			}
		}
		require.Equal(t, 200, m.Get(t, "/jaeger/api/metrics/"+metric+query, &family))
		atRoot := family
		root := m.Addresses
		root.HTTP = m.Jaeger
		require.Equal(t, 200, root.Get(t, "/api/metrics/"+metric+query, &atRoot))
		require.Equal(t, family, atRoot)
		require.Len(t, family.Metrics, 1)
		require.Equal(t, []struct{ Name, Value string }{{"service_name", service}, {"operation", "checkout"}}, family.Metrics[0].Labels)
		require.Len(t, family.Metrics[0].MetricPoints, 61)
		last[metric], _ = family.Metrics[0].MetricPoints[60].GaugeValue.DoubleValue.(float64)
	}
	require.InDelta(t, 1.0/600, last["calls"], 1e-9)
	require.Zero(t, last["errors"])
	require.Positive(t, last["latencies"])
}

func requireProto(t *testing.T, want, got proto.Message) {
	t.Helper()
	if !proto.Equal(want, got) {
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got))
		require.Fail(t, "not equal")
	}
}

// fetch gets a trace as OTLP through the query API, once it is whole.
func fetch(t *testing.T, m *mesh.Mesh, id string, spans int) (flat map[string]interop.Flat) {
	t.Helper()
	client := tracev1.NewTraceServiceClient(m.Conn(t))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		all, err := read(t, client, id)
		if err == nil {
			flat, err = interop.Flatten(all)
			require.NoError(t, err)
		}
		if len(flat) == spans {
			return flat
		}
		require.True(t, time.Now().Before(deadline), "trace %s has %d spans, not %d: %v", id, len(flat), spans, err)
	}
}

func read(t *testing.T, client tracev1.TraceServiceClient, id string) (*tracepb.TracesData, error) {
	t.Helper()
	stream, err := client.GetTrace(t.Context(), &tracev1.GetTraceRequest{TraceId: id})
	require.NoError(t, err)
	var all tracepb.TracesData
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return &all, nil
		}
		if err != nil {
			return nil, err // not stored yet
		}
		require.NoError(t, proto.UnmarshalOptions{Merge: true}.Unmarshal(part.GetOtlpTraces(), &all))
	}
}

type jaegerTrace struct {
	TraceID string
	Spans   []struct {
		SpanID, OperationName string
		References            []struct{ RefType, TraceID, SpanID string }
		StartTime, Duration   int64
		Tags                  []struct {
			Key, Type string
			Value     any
		}
		Logs []struct {
			Timestamp int64
			Fields    []struct{ Key string }
		}
		ProcessID string
	}
	Processes map[string]struct {
		ServiceName string
		Tags        []struct{ Key, Type string }
	}
}

// requireJaeger: the same spans, through the Jaeger API.
func requireJaeger(t *testing.T, m *mesh.Mesh, id, service string, stored map[string]interop.Flat) {
	t.Helper()
	var answer struct{ Data []jaegerTrace }
	require.Equal(t, 200, m.Get(t, "/jaeger/api/traces/"+id, &answer))
	require.Len(t, answer.Data, 1)
	require.Len(t, answer.Data[0].Spans, len(stored))
	traceID, err := hex.DecodeString(id)
	require.NoError(t, err)
	for _, s := range answer.Data[0].Spans {
		spanID, err := hex.DecodeString(s.SpanID)
		require.NoError(t, err)
		want := stored[string(traceID)+string(spanID)].Span
		require.NotNil(t, want, s.SpanID)
		require.Equal(t, want.GetName(), s.OperationName)
		require.EqualValues(t, want.GetStartTimeUnixNano()/1000, s.StartTime)
		require.Len(t, s.Logs, len(want.GetEvents()))
		require.Equal(t, service, answer.Data[0].Processes[s.ProcessID].ServiceName)
		types := map[string]string{}
		for _, tag := range s.Tags {
			types[tag.Key] = tag.Type
		}
		for _, kv := range want.GetAttributes() {
			require.Contains(t, types, kv.GetKey())
		}
		if want.GetName() == "checkout" {
			require.Equal(t, "int64", types["int"])
			require.Equal(t, "float64", types["float"])
			require.Equal(t, "bool", types["no"])
			require.Equal(t, "string", types["text"])
			require.NotEmpty(t, s.References)
		}
	}
}
