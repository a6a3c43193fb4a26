// Package sdktest is a gateway in memory, for tests of programs that use the
// sdk. It takes records and profiles as the mesh does and keeps them; it can be
// told to refuse records and to fail.
//
//	gateway := sdktest.New(t)
//	client := gateway.Client()
//	…
//	require.Len(t, gateway.Records(), 1)
package sdktest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

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

	t        testing.TB
	listener *bufconn.Listener
	server   *grpc.Server

	mu      sync.Mutex
	records []*ingestv1.Record
	known   []*registered
	calls   []metadata.MD
	rule    Rule
	fail    []error  // of the next calls and batches
	retry   []string // reasons given to the next batches
	gate    chan struct{}
}

// New starts a gateway. It stops when the test ends.
func New(t testing.TB) *Gateway {
	g := &Gateway{t: t, listener: bufconn.Listen(1 << 20), server: grpc.NewServer()}
	ingestv1.RegisterIngestServiceServer(g.server, g)
	driftv1.RegisterDriftServiceServer(g.server, g)
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

// Client makes a client of the gateway, which is closed when the test ends. A
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
		_ = client.Close(ctx) // the test has looked at what it cares about
	})
	return client
}

// Records are copies of what was taken, in order.
func (g *Gateway) Records() []*ingestv1.Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*ingestv1.Record, len(g.records))
	for i, r := range g.records {
		out[i] = proto.CloneOf(r)
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

// Fail makes each of the next batches or unary calls fail with one of these
// errors; a stream ends with it.
func (g *Gateway) Fail(errs ...error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = append(g.fail, errs...)
}

// AskAgain answers each of the next batches of an exchange with one of these
// reasons to send it again.
func (g *Gateway) AskAgain(reasons ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.retry = append(g.retry, reasons...)
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

// StreamRecords implements the service.
func (g *Gateway) StreamRecords(stream grpc.ClientStreamingServer[ingestv1.StreamRecordsRequest, ingestv1.StreamRecordsResponse]) error {
	g.called(stream.Context())
	sum := &ingestv1.StreamRecordsResponse{}
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(sum)
		}
		if err != nil {
			return err
		}
		rejections, err := g.take(stream.Context(), req.GetRecords())
		if err != nil {
			return err
		}
		sum.Batches++
		sum.Accepted += uint64(len(req.GetRecords()) - len(rejections))
		sum.Rejected += uint64(len(rejections))
		sum.Rejections = append(sum.Rejections, rejections...)
	}
}

// ExchangeRecords implements the service.
func (g *Gateway) ExchangeRecords(stream grpc.BidiStreamingServer[ingestv1.ExchangeRecordsRequest, ingestv1.ExchangeRecordsResponse]) error {
	g.called(stream.Context())
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		resp := &ingestv1.ExchangeRecordsResponse{BatchId: req.GetBatchId(), RetryReason: g.askAgain()}
		if resp.GetRetryReason() == "" {
			rejections, err := g.take(stream.Context(), req.GetRecords())
			if err != nil {
				return err
			}
			resp.Rejected, resp.Rejections = uint64(len(rejections)), rejections
			resp.Accepted = uint64(len(req.GetRecords())) - resp.GetRejected()
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}

func (g *Gateway) called(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, md)
}

func (g *Gateway) askAgain() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.retry) == 0 {
		return ""
	}
	reason := g.retry[0]
	g.retry = g.retry[1:]
	return reason
}

func (g *Gateway) take(ctx context.Context, records []*ingestv1.Record) ([]*ingestv1.Rejection, error) {
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
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
