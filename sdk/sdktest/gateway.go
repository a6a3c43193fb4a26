// Package sdktest is a gateway in memory, for tests of programs that use the
// sdk. It takes spans, records and profiles as the mesh does and keeps them; it can
// be told to refuse records and to fail.
//
//	gateway := sdktest.New(t)
//	client := gateway.Client()
//	…
//	require.Len(t, gateway.Records(), 1)
package sdktest

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
)

// Rule says why a record is refused, or nil to take it.
type Rule func(*ingestv1.Record) *ingestv1.Rejection

// Gateway is a gateway in memory. It is safe for concurrent use.
type Gateway struct {
	ingestv1.UnimplementedIngestServiceServer
	driftv1.UnimplementedDriftServiceServer
	coltracepb.UnimplementedTraceServiceServer

	t        testing.TB
	listener *bufconn.Listener
	server   *grpc.Server

	mu       sync.Mutex
	records  []*ingestv1.Record
	spans    []*tracepb.ResourceSpans
	known    []*registered
	calls    []metadata.MD
	rule     Rule
	spanRule func(*tracepb.Span) string
	fail     []error // of the next calls and batches
	gate     chan struct{}
}

// New starts a gateway. It stops when the test ends.
func New(t testing.TB) *Gateway {
	g := &Gateway{t: t, listener: bufconn.Listen(1 << 20), server: grpc.NewServer()}
	ingestv1.RegisterIngestServiceServer(g.server, g)
	driftv1.RegisterDriftServiceServer(g.server, g)
	coltracepb.RegisterTraceServiceServer(g.server, g)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.server.Serve(g.listener)
	}()
	t.Cleanup(func() {
		g.server.Stop()
		<-done
	})
	return g
}

// Client makes a client of the gateway, which is shut down when the test ends. A
// batch lingers for a millisecond and attempts follow each other quickly, unless
// options say otherwise.
func (g *Gateway) Client(options ...sdk.Option) *sdk.Client {
	g.t.Helper()
	dial := sdk.WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return g.listener.DialContext(ctx)
	}))
	quick := []sdk.Option{dial, sdk.WithBatch(1000, 1<<20, time.Millisecond), sdk.WithRetry(time.Millisecond, 20*time.Millisecond)}
	client, err := sdk.New("passthrough:///gateway", append(quick, options...)...)
	if err != nil {
		g.t.Fatalf("make client: %v", err)
	}
	g.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Shutdown(ctx) // the test has looked at what it cares about
	})
	return client
}

// Records are copies of what was taken, in order.
func (g *Gateway) Records() []*ingestv1.Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return copies(g.records)
}

// Spans is what was taken of spans, request by request, in order.
func (g *Gateway) Spans() []*tracepb.ResourceSpans {
	g.mu.Lock()
	defer g.mu.Unlock()
	return copies(g.spans)
}

func copies[M proto.Message](list []M) []M {
	out := make([]M, len(list))
	for i, m := range list {
		out[i] = proto.CloneOf(m)
	}
	return out
}

// Calls is the metadata of every call so far, in order.
func (g *Gateway) Calls() []metadata.MD {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]metadata.MD(nil), g.calls...)
}

// Refuse sets the rule by which records are refused from now on; nil takes all.
func (g *Gateway) Refuse(rule Rule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rule = rule
}

// RefuseSpans sets the rule by which spans are refused from now on: it says why, or
// nothing to take one. Nil takes all.
func (g *Gateway) RefuseSpans(rule func(*tracepb.Span) string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spanRule = rule
}

// Fail makes each of the next calls that send something fail with one of these
// errors.
func (g *Gateway) Fail(errs ...error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = append(g.fail, errs...)
}

// Hold makes batches wait, until release is called.
func (g *Gateway) Hold() (release func()) {
	gate := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate = gate
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.gate = nil
		g.mu.Unlock()
		close(gate)
	})
}

// PublishRecords implements the service.
func (g *Gateway) PublishRecords(ctx context.Context, req *ingestv1.PublishRecordsRequest) (*ingestv1.PublishRecordsResponse, error) {
	g.called(ctx)
	rejections, err := g.take(ctx, req.GetRecords())
	if err != nil {
		return nil, err
	}
	refused := uint64(len(rejections))
	return &ingestv1.PublishRecordsResponse{
		Accepted: uint64(len(req.GetRecords())) - refused, Rejected: refused, Rejections: rejections,
	}, nil
}

// Export implements OTLP's service of traces.
func (g *Gateway) Export(ctx context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	g.called(ctx)
	if err := g.enter(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.failing(); err != nil {
		return nil, err
	}
	answer := &coltracepb.ExportTraceServiceResponse{}
	for _, r := range req.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			s.Spans = slices.DeleteFunc(s.GetSpans(), func(span *tracepb.Span) bool { return g.refuses(span, answer) })
		}
	}
	g.spans = append(g.spans, req.GetResourceSpans()...)
	return answer, nil
}

// refuses tells whether a span is refused, and counts it in the answer. The caller
// holds mu.
func (g *Gateway) refuses(span *tracepb.Span, answer *coltracepb.ExportTraceServiceResponse) bool {
	if g.spanRule == nil {
		return false
	}
	why := g.spanRule(span)
	if why == "" {
		return false
	}
	if answer.PartialSuccess == nil {
		answer.PartialSuccess = &coltracepb.ExportTracePartialSuccess{}
	}
	answer.PartialSuccess.RejectedSpans++
	answer.PartialSuccess.ErrorMessage = why
	return true
}

func (g *Gateway) called(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, md)
}

// enter waits while the gateway is held.
func (g *Gateway) enter(ctx context.Context) error {
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Gateway) take(ctx context.Context, records []*ingestv1.Record) ([]*ingestv1.Rejection, error) {
	if err := g.enter(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.failing(); err != nil {
		return nil, err
	}
	var rejections []*ingestv1.Rejection
	for i, r := range records {
		if g.rule != nil {
			if why := g.rule(r); why != nil {
				why.Index, why.RecordId = uint32(i), r.GetId()
				rejections = append(rejections, why)
				continue
			}
		}
		g.records = append(g.records, r)
	}
	return rejections, nil
}
