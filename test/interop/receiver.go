// Package interop holds the mesh against real OpenTelemetry clients: what an
// SDK sends must come back equal, field by field. Every client sends the same
// spans twice, to the mesh and to a plain receiver here, so that the truth is
// what the client itself put on the wire.
package interop

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // clients compress
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/test/server"
)

// Receiver takes OTLP in and keeps it.
type Receiver struct {
	coltracepb.UnimplementedTraceServiceServer

	GRPC, HTTP string // addresses

	mu    sync.Mutex
	spans []*tracepb.ResourceSpans
}

// NewReceiver starts a receiver that ends with the test.
func NewReceiver(t server.T) *Receiver {
	t.Helper()
	r := &Receiver{}
	grpcLis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	httpLis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.GRPC, r.HTTP = grpcLis.Addr().String(), httpLis.Addr().String()
	grpcServer := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(grpcServer, r)
	httpServer := &http.Server{Handler: http.HandlerFunc(r.serveHTTP), ReadHeaderTimeout: 5 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { _ = grpcServer.Serve(grpcLis) })
	wg.Go(func() { _ = httpServer.Serve(httpLis) })
	t.Cleanup(func() {
		grpcServer.Stop()
		_ = httpServer.Close()
		wg.Wait()
	})
	return r
}

// Export keeps a gRPC request.
func (r *Receiver) Export(_ context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, req.GetResourceSpans()...)
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

func (r *Receiver) serveHTTP(w http.ResponseWriter, req *http.Request) {
	raw, err := decode(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var message coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = r.Export(req.Context(), &message)
	w.Header().Set("Content-Type", req.Header.Get("Content-Type"))
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/json") {
		_, _ = io.WriteString(w, "{}")
	}
}

func decode(req *http.Request) ([]byte, error) {
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	if err != nil || !strings.HasPrefix(req.Header.Get("Content-Type"), "application/json") {
		return raw, err
	}
	request := ptraceotlp.NewExportRequest()
	if err := request.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return request.MarshalProto()
}

// Spans is what came so far.
func (r *Receiver) Spans() *tracepb.TracesData {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &tracepb.TracesData{ResourceSpans: append([]*tracepb.ResourceSpans(nil), r.spans...)}
}

// Flat is one span with everything it inherits.
type Flat struct {
	Span     *tracepb.Span
	Resource *tracepb.ResourceSpans // without scopes
	Scope    *tracepb.ScopeSpans    // without spans
}

// Flatten gives every span by its id. A span that stands twice is an error.
func Flatten(data *tracepb.TracesData) (map[string]Flat, error) {
	flat := map[string]Flat{}
	for _, rs := range data.GetResourceSpans() {
		resource := &tracepb.ResourceSpans{Resource: rs.GetResource(), SchemaUrl: rs.GetSchemaUrl()}
		for _, ss := range rs.GetScopeSpans() {
			scope := &tracepb.ScopeSpans{Scope: ss.GetScope(), SchemaUrl: ss.GetSchemaUrl()}
			for _, s := range ss.GetSpans() {
				id := string(s.GetTraceId()) + string(s.GetSpanId())
				if _, twice := flat[id]; twice {
					return nil, errors.New("span " + s.GetName() + " stands twice")
				}
				flat[id] = Flat{Span: s, Resource: resource, Scope: scope}
			}
		}
	}
	return flat, nil
}
