package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/requestid"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/test/server"
)

// decoding counts what a server decodes.
type decoding struct {
	encoding.CodecV2
	messages, bytes *atomic.Int64
}

func (c decoding) Unmarshal(data mem.BufferSlice, v any) error {
	c.messages.Add(1)
	c.bytes.Add(int64(data.Len()))
	return c.CodecV2.Unmarshal(data, v)
}

type guarded struct {
	address         string
	conn            *grpc.ClientConn
	messages, bytes atomic.Int64
	spans           *tracetest.InMemoryExporter
	log             bytes.Buffer
}

type sink struct {
	ingestv1.UnimplementedIngestServiceServer
}

func (sink) PublishRecords(_ context.Context, req *ingestv1.PublishRecordsRequest) (*ingestv1.PublishRecordsResponse, error) {
	if len(req.GetRecords()) > 0 && req.GetRecords()[0].GetId() == "break" {
		return nil, errors.New("a wire is loose")
	}
	return &ingestv1.PublishRecordsResponse{}, nil
}

// guard starts a server that lets in who says "friend".
func guard(t *testing.T, allowance *telemetry.Allowance) *guarded {
	t.Helper()
	g := &guarded{spans: tracetest.NewInMemoryExporter()}
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(g.spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	server, err := rpc.NewServer(rpc.ServerConfig{Listen: "127.0.0.1:0", BodyTimeout: 2 * time.Second, ServerOptions: []grpc.ServerOption{
		grpc.ForceServerCodecV2(decoding{encoding.GetCodecV2(grpcproto.Name), &g.messages, &g.bytes}),
	}}, rpc.ServerDeps{
		Log: slog.New(slog.NewTextHandler(&g.log, nil)), Stats: prometheus.NewRegistry(), Traces: traces, Allowance: allowance,
		Authenticate: func(ctx context.Context, _ string) (context.Context, error) {
			authorization, _, err := identity.FromMetadata(ctx)
			grant, known := map[string]policy.Role{"friend": policy.Editor, "reader": policy.Viewer}[authorization]
			if err != nil || !known {
				return nil, fault.Unauthenticated.New("who are you?")
			}
			return identity.With(ctx, identity.Identity{Tenant: "acme", Grant: policy.As(grant)}), nil
		},
	})
	require.NoError(t, err)
	ingestv1.RegisterIngestServiceServer(server, sink{})
	lis, err := server.Listen(t.Context())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, []net.Listener{lis}...) }()
	g.address = lis.Addr().String()
	g.conn, err = rpc.Dial(rpc.ClientConfig{Target: g.address})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, g.conn.Close())
		stop()
		require.NoError(t, <-served)
	})
	return g
}

const sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// as is a call's context: by whom, in a trace that is recorded.
func as(t *testing.T, who string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", who, "traceparent", sampled)
}

// raw sends bytes as they are.
type raw struct{}

func (raw) Name() string { return grpcproto.Name }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil //nolint:forcetypeassert // a test's own
}
func (raw) Unmarshal(mem.BufferSlice, any) error { return nil }

// TestAStrangersRequestIsNotDecoded sends 8 million empty records in 16 KB of
// gzip: callers who may send pay for what they send; from unknown ones, and known
// ones who may not, nothing of it is inflated or decoded, and no span of ours is
// stored, though they ask for one.
func TestAStrangersRequestIsNotDecoded(t *testing.T) {
	g := guard(t, nil)
	bomb := bytes.Repeat([]byte{0x0a, 0x00}, 8<<20-100)
	call := func(who string) error {
		return g.conn.Invoke(as(t, who), ingestv1.IngestService_PublishRecords_FullMethodName, bomb, nil,
			grpc.ForceCodecV2(raw{}), grpc.UseCompressor(gzip.Name))
	}
	require.ErrorIs(t, call("stranger"), fault.Unauthenticated) // also warms up the client
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.ErrorIs(t, call("stranger"), fault.Unauthenticated)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), "client and server together")
	err := call("reader")
	require.ErrorIs(t, err, fault.Denied)
	require.Contains(t, err.Error(), "records.write")
	require.Equal(t, identity.ReasonDenied, fault.Of(err).Reason())
	require.Zero(t, g.messages.Load())
	require.Empty(t, g.spans.GetSpans())

	require.NoError(t, g.conn.Invoke(as(t, "friend"), ingestv1.IngestService_PublishRecords_FullMethodName, bomb[:2000], nil,
		grpc.ForceCodecV2(raw{}), grpc.UseCompressor(gzip.Name)))
	require.EqualValues(t, 1, g.messages.Load())
	require.EqualValues(t, 2000, g.bytes.Load())
	spans := g.spans.GetSpans()
	require.Len(t, spans, 1)
	require.Equal(t, "driftmesh.ingest.v1.IngestService/PublishRecords", spans[0].Name)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", spans[0].SpanContext.TraceID().String())
	require.Equal(t, "b7ad6b7169203331", spans[0].Parent.SpanID().String())
}

// Callers may ask for spans of ours; how many they get is ours to decide.
func TestSpansAtACallersWishAreBounded(t *testing.T) {
	g := guard(t, telemetry.NewAllowance(0.001)) // one at once, and a next in a quarter of an hour
	for range 20 {
		_, err := ingestv1.NewIngestServiceClient(g.conn).PublishRecords(as(t, "friend"), &ingestv1.PublishRecordsRequest{})
		require.NoError(t, err)
	}
	require.Len(t, g.spans.GetSpans(), 1)
}

// A request that does not come in its time ends its call, and no other.
func TestARequestThatDribblesEnds(t *testing.T) {
	t.Parallel()
	g := guard(t, nil)
	ends := server.SlowPosts(t, g.address, ingestv1.IngestService_PublishRecords_FullMethodName, 20, "authorization", "friend")
	client := ingestv1.NewIngestServiceClient(g.conn)
	_, err := client.PublishRecords(as(t, "friend"), &ingestv1.PublishRecordsRequest{})
	require.NoError(t, err)
	for _, status := range ends() {
		require.Equal(t, "4", status, "DEADLINE_EXCEEDED")
	}
	require.EqualValues(t, 1, g.messages.Load(), "nothing of theirs was decoded")
}

// What went wrong inside is in the log alone, under the name that the caller was
// told; the next service is called under it too.
func TestFailuresAreLoggedUnderTheNameOfTheRequest(t *testing.T) {
	t.Parallel()
	g := guard(t, nil)
	ctx := metadata.AppendToOutgoingContext(as(t, "friend"), requestid.Header, "ticket-77")
	req := &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{{Id: "break"}}}
	_, err := ingestv1.NewIngestServiceClient(g.conn).PublishRecords(ctx, req)
	require.ErrorIs(t, err, fault.Internal)
	require.Contains(t, g.log.String(), `msg="call failed" method=/driftmesh.ingest.v1.IngestService/PublishRecords request_id=ticket-77 err="a wire is loose"`)
	// A client of ours names what a request causes like the request itself.
	_, err = ingestv1.NewIngestServiceClient(g.conn).PublishRecords(requestid.With(as(t, "friend"), "ticket-78"), req)
	require.Error(t, err)
	require.Contains(t, g.log.String(), "request_id=ticket-78")
}
