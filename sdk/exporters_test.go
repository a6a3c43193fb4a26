package sdk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/sdktest"
)

// spansOf is every span in what was exported, by its name.
func spansOf(list []*tracepb.ResourceSpans) map[string]*tracepb.Span {
	out := map[string]*tracepb.Span{}
	for _, r := range list {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				out[span.GetName()] = span
			}
		}
	}
	return out
}

func roots(client *sdk.Client, n int) {
	tracer := client.TracerProvider().Tracer("test")
	for i := range n {
		_, span := tracer.Start(context.Background(), fmt.Sprint(i))
		span.End()
	}
}

// Each exporter gets its share of all traces; the smaller is part of the larger, and
// says in the trace state how much it is.
func TestEveryExporterGetsItsShare(t *testing.T) {
	t.Parallel()
	gateway, tenth, half := sdktest.New(t), tracetest.NewInMemoryExporter(), tracetest.NewInMemoryExporter()
	client := gateway.Client(sdk.WithExporter("tenth", 0.1, tenth), sdk.WithExporter("half", 0.5, half))
	const n = 4000
	roots(client, n)
	require.NoError(t, client.Flush(t.Context()))
	mesh := spansOf(gateway.Spans())
	require.Len(t, mesh, n)
	require.Empty(t, mesh["0"].GetTraceState())
	few, many := byName(tenth), byName(half)
	require.InDelta(t, n/10, len(few), n/20)
	require.InDelta(t, n/2, len(many), n/10)
	for name, sc := range few {
		require.Contains(t, many, name)
		require.Equal(t, "ot=th:e666", sc.TraceState().String())
		require.Equal(t, "ot=th:8", many[name].TraceState().String())
	}
	require.Equal(t, uint64(len(few)), client.Stats().Exporters["tenth"].Accepted)
}

func byName(e *tracetest.InMemoryExporter) map[string]trace.SpanContext {
	out := map[string]trace.SpanContext{}
	for _, s := range e.GetSpans() {
		out[s.Name] = s.SpanContext
	}
	return out
}

// The global ratio overrides those of exporters, that of the mesh too; without it
// nothing more is recorded than somebody wants.
func TestTheGlobalRatioOverrides(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options     []sdk.Option
		mesh, other float64
		state       string
	}{
		"global":     {[]sdk.Option{sdk.WithSampleRatio(0.25), sdk.WithMeshSampleRatio(0.1)}, 0.25, 0.25, "ot=th:c"},
		"the larger": {[]sdk.Option{sdk.WithMeshSampleRatio(0.25)}, 0.25, 0.5, "ot=th:c"},
		"the other":  {[]sdk.Option{sdk.WithMeshSampleRatio(0)}, 0, 0.5, ""},
	} {
		gateway, other := sdktest.New(t), tracetest.NewInMemoryExporter()
		client := gateway.Client(append(tt.options, sdk.WithExporter("other", 0.5, other))...)
		const n = 2000
		roots(client, n)
		require.NoError(t, client.Flush(t.Context()))
		mesh := spansOf(gateway.Spans())
		require.InDelta(t, tt.mesh*n, len(mesh), n/20, name)
		others := byName(other)
		require.InDelta(t, tt.other*n, len(others), n/20, name)
		for span, s := range mesh {
			require.Equal(t, tt.state, s.GetTraceState(), name)
			require.Contains(t, others, span, name)
		}
	}
}

// collector takes OTLP over gRPC and HTTP, with TLS, as a stranger would see it.
type collector struct {
	coltracepb.UnimplementedTraceServiceServer
	mu      sync.Mutex
	spans   []*tracepb.ResourceSpans
	json    []byte
	packed  bool
	headers []string
}

func (c *collector) Export(ctx context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans, c.headers = append(c.spans, req.GetResourceSpans()...), md.Get("x-team")
	c.packed = md.Get("grpc-encoding") != nil // gRPC takes it out
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.packed = r.Header.Get("Content-Encoding") == "gzip"; c.packed {
		body, _ = gzip.NewReader(r.Body)
	}
	raw, _ := io.ReadAll(body)
	c.headers = r.Header["X-Team"]
	switch {
	case r.URL.Path != "/v1/traces":
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("Content-Type") == "application/json":
		c.json = raw
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"partialSuccess":{}}`))
	default:
		var req coltracepb.ExportTraceServiceRequest
		if proto.Unmarshal(raw, &req) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.spans = append(c.spans, req.GetResourceSpans()...)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}
}

func TestOTLPInEveryForm(t *testing.T) {
	t.Parallel()
	var at collector
	web := httptest.NewTLSServer(&at)
	t.Cleanup(web.Close)
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	trusted := &tls.Config{RootCAs: roots, ServerName: "example.com"}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))
	coltracepb.RegisterTraceServiceServer(server, &at)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() { server.Stop(); <-served })

	for _, tt := range []sdk.OTLP{
		{Protocol: sdk.OTLPGRPC, Endpoint: "https://" + lis.Addr().String()},
		{Protocol: sdk.OTLPGRPC, Endpoint: "https://" + lis.Addr().String(), Gzip: true},
		{Endpoint: web.URL}, {Endpoint: web.URL + "/v1/traces", Gzip: true},
		{Protocol: sdk.OTLPJSON, Endpoint: web.URL + "/"}, {Protocol: sdk.OTLPJSON, Endpoint: web.URL, Gzip: true},
	} {
		tt.TLS, tt.Headers = trusted, map[string]string{"x-team": "wine"}
		at.mu.Lock()
		at.spans, at.json = nil, nil
		at.mu.Unlock()
		gateway := sdktest.New(t)
		client := gateway.Client(sdk.WithOTLP(tt))
		ctx, span := client.TracerProvider().Tracer("test").Start(t.Context(), "parent")
		_, child := client.TracerProvider().Tracer("test").Start(ctx, "child", trace.WithAttributes(attribute.Int("n", 7)), trace.WithSpanKind(trace.SpanKindServer),
			trace.WithLinks(trace.Link{SpanContext: span.SpanContext()}))
		child.End()
		span.End()
		require.NoError(t, client.Flush(t.Context()), "%+v", tt)
		require.Len(t, spansOf(gateway.Spans()), 2, "the mesh has them too")

		at.mu.Lock()
		require.Equal(t, []string{"wine"}, at.headers)
		if tt.Protocol == sdk.OTLPJSON {
			requireJSON(t, at.json, span.SpanContext(), child.SpanContext())
		} else {
			got := spansOf(at.spans)
			require.Len(t, got, 2)
			require.True(t, proto.Equal(spansOf(gateway.Spans())["child"], mended(got["child"])))
		}
		if tt.Protocol != sdk.OTLPGRPC {
			require.Equal(t, tt.Gzip, at.packed)
		}
		at.mu.Unlock()
	}
}

// mended leaves out an empty status, which OpenTelemetry's exporters write.
func mended(s *tracepb.Span) *tracepb.Span {
	if proto.Equal(s.GetStatus(), &tracepb.Status{}) {
		s.Status = nil
	}
	return s
}

// requireJSON looks at what the specification says of OTLP's JSON: hexadecimal ids,
// numbers for enums, names in lowerCamelCase, 64-bit numbers as text.
func requireJSON(t *testing.T, raw []byte, parent, child trace.SpanContext) {
	t.Helper()
	var got struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []map[string]any `json:"spans"`
			} `json:"scopeSpans"`
		} `json:"resourceSpans"`
	}
	require.NoError(t, json.Unmarshal(raw, &got))
	for _, s := range got.ResourceSpans[0].ScopeSpans[0].Spans {
		if s["name"] != "child" {
			continue
		}
		require.Equal(t, child.TraceID().String(), s["traceId"])
		require.Equal(t, child.SpanID().String(), s["spanId"])
		require.Equal(t, parent.SpanID().String(), s["parentSpanId"])
		require.InDelta(t, 2, s["kind"], 0)
		require.IsType(t, "", s["startTimeUnixNano"])
		require.Equal(t, []any{map[string]any{"key": "n", "value": map[string]any{"intValue": "7"}}}, s["attributes"])
		link, _ := s["links"].([]any)[0].(map[string]any)
		require.Equal(t, parent.SpanID().String(), link["spanId"])
		return
	}
	t.Fatal("there is no child")
}

func TestOTLPThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, to := range []sdk.OTLP{{Endpoint: "collector:4317"}, {Endpoint: "nats://c"}, {Endpoint: "http://c", Protocol: "pigeon"}} {
		_, err := sdk.New("127.0.0.1:1", sdk.WithOTLP(to))
		require.Error(t, err, "%+v", to)
	}
}

func TestStdoutShowsSpansAtOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	client := sdktest.New(t).Client(sdk.WithStdout(&out), sdk.WithSpanBatch(4096, 1024, time.Hour))
	roots(client, 3)
	require.NoError(t, client.Flush(t.Context()))
	for i := range 3 {
		require.Equal(t, 1, strings.Count(out.String(), fmt.Sprintf(`"Name":"%d"`, i)))
	}
}

// refusing is an exporter that gives up.
type refusing struct{ sdktrace.SpanExporter }

func (refusing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("no such host")
}
func (refusing) Shutdown(context.Context) error { return nil }

func TestWhatAnExporterLosesIsTold(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithExporter("elsewhere", 1, refusing{}), sdk.WithExporter("elsewhere", 1, tracetest.NewNoopExporter()))
	roots(client, 5)
	err := client.Shutdown(t.Context())
	var lost *sdk.LossError
	require.ErrorAs(t, err, &lost)
	require.EqualError(t, err, "lost 5 spans to elsewhere (failed 5): no such host")
	require.Len(t, spansOf(gateway.Spans()), 5, "the mesh's are none of that")
	require.Equal(t, uint64(5), client.Stats().Exporters["elsewhere-2"].Accepted)
}
