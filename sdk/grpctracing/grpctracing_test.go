package grpctracing_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/grpctracing"
)

// patience bounds every wait of these tests.
const (
	patience = 10 * time.Second
	tick     = time.Millisecond
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door has a method of each kind, and notes the contexts that its handlers get.
type door struct {
	ingestv1.UnimplementedIngestServiceServer
	mu   sync.Mutex
	seen []context.Context
}

func (d *door) note(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, ctx)
}

func (d *door) PublishRecords(ctx context.Context, req *ingestv1.PublishRecordsRequest) (*ingestv1.PublishRecordsResponse, error) {
	d.note(ctx)
	switch req.GetRecords()[0].GetId() {
	case "fails":
		return nil, fmt.Errorf("store: %w", errors.New("the disk is full"))
	case "panics":
		panic("no") //nolint:forbidigo // as a user's may
	}
	return &ingestv1.PublishRecordsResponse{Accepted: 1}, nil
}

func (d *door) StreamRecords(s grpc.ClientStreamingServer[ingestv1.StreamRecordsRequest, ingestv1.StreamRecordsResponse]) error {
	d.note(s.Context())
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return s.SendAndClose(&ingestv1.StreamRecordsResponse{})
		} else if err != nil {
			return err
		}
	}
}

func (d *door) ExchangeRecords(s grpc.BidiStreamingServer[ingestv1.ExchangeRecordsRequest, ingestv1.ExchangeRecordsResponse]) error {
	d.note(s.Context())
	for {
		req, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(&ingestv1.ExchangeRecordsResponse{BatchId: req.GetBatchId()}); err != nil {
			return err
		}
	}
}

func (d *door) Tail(_ *ingestv1.TailRequest, s grpc.ServerStreamingServer[ingestv1.TailResponse]) error {
	d.note(s.Context())
	for range 3 {
		if err := s.Send(&ingestv1.TailResponse{}); err != nil {
			return err
		}
	}
	return nil
}

// recover keeps the server alive, as servers do.
func recovering(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("internal error")
		}
	}()
	return handle(ctx, req)
}

func start(t *testing.T, options ...grpctracing.Option) (*door, ingestv1.IngestServiceClient, *tracetest.SpanRecorder, trace.TracerProvider) {
	t.Helper()
	r := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(sdk.TraceTags()), sdktrace.WithSpanProcessor(r))
	options = append(options, grpctracing.WithProvider(p))
	lis := bufconn.Listen(1 << 16)
	server := grpc.NewServer(append([]grpc.ServerOption{grpc.ChainUnaryInterceptor(recovering)}, grpctracing.ServerOptions(options...)...)...)
	d := &door{}
	ingestv1.RegisterIngestServiceServer(server, d)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///door", append(grpctracing.DialOptions(options...), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-done)
	})
	return d, ingestv1.NewIngestServiceClient(conn), r, p
}

func attributes(s sdktrace.ReadOnlySpan) map[attribute.Key]string {
	out := map[attribute.Key]string{}
	for _, kv := range s.Attributes() {
		out[kv.Key] = kv.Value.String()
	}
	return out
}

// drain reads a stream to its end.
func drain(t *testing.T, recv func() error) {
	t.Helper()
	for {
		err := recv()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestOneTraceForEveryKindOfCall(t *testing.T) {
	t.Parallel()
	d, client, r, p := start(t)
	ctx, span := sdk.Start(t.Context(), "caller", sdk.InProvider(p), sdk.TraceTag("team", "blue"), sdk.Baggage("user", "ann"))
	_, err := client.PublishRecords(ctx, &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{{Id: "1"}}})
	require.NoError(t, err)
	up, err := client.StreamRecords(ctx)
	require.NoError(t, err)
	require.NoError(t, up.Send(&ingestv1.StreamRecordsRequest{}))
	_, err = up.CloseAndRecv()
	require.NoError(t, err)
	both, err := client.ExchangeRecords(ctx)
	require.NoError(t, err)
	require.NoError(t, both.Send(&ingestv1.ExchangeRecordsRequest{BatchId: 1}))
	require.NoError(t, both.CloseSend())
	drain(t, func() error { _, err := both.Recv(); return err })
	down, err := client.Tail(ctx, &ingestv1.TailRequest{})
	require.NoError(t, err)
	drain(t, func() error { _, err := down.Recv(); return err })
	span.End()

	require.Eventually(t, func() bool { return len(r.Ended()) == 9 }, patience, tick)
	kinds := map[string]int{}
	for _, s := range r.Ended() {
		require.Equal(t, span.SpanContext().TraceID(), s.SpanContext().TraceID())
		require.Equal(t, "blue", attributes(s)["driftmesh.tag.team"], s.Name())
		kinds[s.SpanKind().String()]++
		for _, other := range r.Ended() {
			if s.SpanKind() == trace.SpanKindServer && other.SpanContext().SpanID() == s.Parent().SpanID() {
				require.Equal(t, trace.SpanKindClient, other.SpanKind())
				require.Equal(t, s.Name(), other.Name())
			}
		}
	}
	require.Equal(t, map[string]int{"internal": 1, "client": 4, "server": 4}, kinds)
	for _, ctx := range d.seen {
		md, _ := metadata.FromIncomingContext(ctx)
		require.Equal(t, []string{span.SpanContext().TraceID().String()}, md.Get("trace_id"))
		require.Equal(t, []string{"true"}, md.Get("is_sampled"))
		require.Len(t, md.Get("traceparent"), 1)
		require.Equal(t, "ann", baggage.FromContext(ctx).Member("user").Value())
	}
}

// A caller that knows the header map alone is the parent, and decides.
func TestCallersWithTheHeaderMap(t *testing.T) {
	t.Parallel()
	r := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))
	d := &door{}
	lis := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpctracing.ServerOptions(grpctracing.WithProvider(p))...)
	ingestv1.RegisterIngestServiceServer(server, d)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///door", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	require.NoError(t, err)
	for _, sampled := range []string{"true", "false"} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "trace_id", "0af7651916cd43dd8448eb211c80319c", "span_id", "b7ad6b7169203331", "is_sampled", sampled)
		_, err := ingestv1.NewIngestServiceClient(conn).PublishRecords(ctx, &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{{Id: "1"}}})
		require.NoError(t, err)
	}
	require.NoError(t, conn.Close())
	server.GracefulStop()
	require.NoError(t, <-done)
	require.Len(t, r.Ended(), 1)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", r.Ended()[0].SpanContext().TraceID().String())
	require.Equal(t, "b7ad6b7169203331", r.Ended()[0].Parent().SpanID().String())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", trace.SpanContextFromContext(d.seen[1]).TraceID().String())
	require.False(t, trace.SpanContextFromContext(d.seen[1]).IsSampled())
}

func TestErrorsPanicsAndPayloads(t *testing.T) {
	t.Parallel()
	_, client, r, _ := start(t, grpctracing.WithPayloads())
	server := func(n int) sdktrace.ReadOnlySpan {
		var out []sdktrace.ReadOnlySpan
		require.Eventually(t, func() bool {
			out = nil
			for _, s := range r.Ended() {
				if s.SpanKind() == trace.SpanKindServer {
					out = append(out, s)
				}
			}
			return len(out) == n
		}, patience, tick)
		return out[n-1]
	}
	call := func(id string) error {
		_, err := client.PublishRecords(t.Context(), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{{Id: id}}})
		return err
	}
	require.NoError(t, call("fine"))
	require.JSONEq(t, `{"records":[{"id":"fine"}]}`, attributes(server(1))["driftmesh.input"])
	require.JSONEq(t, `{"accepted":"1"}`, attributes(server(1))["driftmesh.output"])
	require.Error(t, call("fails"))
	s := server(2)
	require.Equal(t, codes.Error, s.Status().Code)
	tree := ""
	for _, kv := range s.Events()[0].Attributes {
		if kv.Key == sdk.AttrErrors {
			tree = kv.Value.AsString()
		}
	}
	require.Contains(t, tree, "the disk is full")
	require.Error(t, call("panics"))
	s = server(3)
	require.Equal(t, "panic", attributes(s)["error.type"])
	require.True(t, strings.HasSuffix(s.Name(), "PublishRecords"), s.Name())
}
