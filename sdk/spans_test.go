package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/sdktest"
)

// A full queue drops, counts, and holds nobody up; what it holds is not lost while the
// mesh is away.
func TestAFullQueueOfSpansDropsAndCounts(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithSpanBatch(100, 10, time.Hour), sdk.WithInFlight(2))
	release := gateway.Hold()
	roots(client, 20) // two batches on their way
	require.Eventually(t, func() bool { return len(gateway.Calls()) == 2 }, 5*time.Second, time.Millisecond)
	began := time.Now()
	roots(client, 1000)
	require.Less(t, time.Since(began), time.Second)
	stats := client.Stats().Spans
	require.Equal(t, 120, stats.Queued)
	require.Equal(t, map[string]uint64{sdk.DroppedFull: 900}, stats.Dropped)
	away := status.Error(codes.Unavailable, "restarting")
	gateway.Fail(away, away, away, away, away, away)
	release()
	var unsent *sdk.UnsentError
	require.ErrorAs(t, client.Flush(t.Context()), &unsent)
	require.EqualError(t, unsent, "900 spans were not sent: the queue of spans is full")
	require.NoError(t, client.Flush(t.Context()), "each is told once")
	require.Equal(t, 120, count(gateway.Spans()))
	require.Equal(t, uint64(120), client.Stats().Spans.Accepted)
	require.Positive(t, client.Stats().Spans.Retries)
}

func count(list []*tracepb.ResourceSpans) (n int) {
	for _, r := range list {
		for _, s := range r.GetScopeSpans() {
			n += len(s.GetSpans())
		}
	}
	return n
}

func TestSpansThatTheMeshRefusesAreCountedAndTold(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	gateway.RefuseSpans(func(s *tracepb.Span) string {
		if s.GetName() == "3" {
			return "it ends before it begins"
		}
		return ""
	})
	client := gateway.Client()
	roots(client, 5)
	var rejected *sdk.RejectedError
	require.ErrorAs(t, client.Flush(t.Context()), &rejected)
	require.EqualError(t, rejected, "1 spans were refused; the first: it ends before it begins")
	require.Equal(t, uint64(4), client.Stats().Spans.Accepted)
	err := client.Shutdown(t.Context())
	require.EqualError(t, err, "lost 1 spans to mesh (rejected 1): it ends before it begins")
}

// narrow is a transport that carries little, and counts what is on its way.
type narrow struct {
	most int

	mu      sync.Mutex
	bodies  []sdk.Batch
	now, at int
	closed  bool
}

func (n *narrow) MaxBytes() int { return n.most }

func (n *narrow) Close(context.Context) error {
	n.closed = true
	return nil
}

func (n *narrow) Send(_ context.Context, b sdk.Batch) (sdk.Answer, error) {
	n.mu.Lock()
	n.now++
	n.at = max(n.at, n.now)
	n.mu.Unlock()
	time.Sleep(time.Millisecond) // for others to be on their way meanwhile
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now--
	n.bodies = append(n.bodies, b)
	return sdk.Answer{}, nil
}

// Whatever a transport carries, no batch is larger, what alone is larger is told, and
// no more are on their way than there may be. Names of batches are their own.
func TestBatchesFitTheTransport(t *testing.T) {
	t.Parallel()
	at := &narrow{most: 2000}
	client, err := sdk.New("", sdk.WithTransport(at), sdk.WithInFlight(3))
	require.NoError(t, err)
	tracer := client.TracerProvider().Tracer("test")
	for i := range 100 {
		size := 20
		if i == 50 {
			size = 4000
		}
		_, span := tracer.Start(t.Context(), fmt.Sprint(i), trace.WithAttributes(attribute.String("text", strings.Repeat("x", size))))
		span.End()
		require.NoError(t, client.Send(t.Context(), numbered(i)))
	}
	require.ErrorContains(t, client.Send(t.Context(), sdk.Features("cellar/wine", sdk.String("text", strings.Repeat("x", 4000)))), "larger than")
	err = client.Shutdown(t.Context())
	require.ErrorContains(t, err, "lost 1 spans to mesh (too_large 1)")
	require.True(t, at.closed)
	require.LessOrEqual(t, at.at, 6, "three of each kind")
	items, names := map[sdk.Type]int{}, map[string]bool{}
	for _, b := range at.bodies {
		require.LessOrEqual(t, len(b.Body), 2000)
		require.False(t, names[b.ID], "twice")
		names[b.ID] = true
		items[b.Type] += b.Items
	}
	require.Equal(t, map[sdk.Type]int{sdk.TypeSpans: 99, sdk.TypeRecords: 100}, items)
}

// A batch keeps its name while it is sent again: a broker knows it by that.
func TestABatchKeepsItsName(t *testing.T) {
	t.Parallel()
	at := &failing{left: 3}
	client, err := sdk.New("", sdk.WithTransport(at), sdk.WithRetry(time.Millisecond, 2*time.Millisecond))
	require.NoError(t, err)
	require.NoError(t, client.Send(t.Context(), numbered(0)))
	require.NoError(t, client.Flush(t.Context()))
	require.NoError(t, client.Shutdown(t.Context()))
	require.Len(t, at.ids, 4)
	for _, id := range at.ids {
		require.Equal(t, at.ids[0], id)
	}
}

type failing struct {
	narrow
	left int
	ids  []string
}

func (f *failing) MaxBytes() int { return 1 << 20 }

func (f *failing) Send(_ context.Context, b sdk.Batch) (sdk.Answer, error) {
	f.ids = append(f.ids, b.ID)
	if f.left--; f.left >= 0 {
		return sdk.Answer{}, errors.New("connection refused")
	}
	return sdk.Answer{}, nil
}

// A mesh is asked for profiles where WithMesh says; spans and records go the other way.
func TestTheMeshIsAskedBesideTheTransport(t *testing.T) {
	t.Parallel()
	gateway, at := sdktest.New(t), &narrow{most: 1 << 20}
	client := gateway.Client(sdk.WithTransport(at), sdk.WithMesh("passthrough:///gateway"))
	_, err := client.Profile(t.Context(), "cellar/wine")
	require.Equal(t, codes.NotFound, status.Code(err))
	require.Len(t, gateway.Calls(), 1)
	require.NoError(t, client.Send(t.Context(), numbered(0)))
	require.NoError(t, client.Flush(t.Context()))
	require.Len(t, at.bodies, 1)
	require.Len(t, gateway.Calls(), 1)
}

func TestRegisteredTransportsAreFoundByTheirScheme(t *testing.T) {
	t.Parallel()
	var got sdk.TransportConfig
	var address string
	scheme := fmt.Sprintf("carrier%d", time.Now().UnixNano()) // of every run of the test another
	sdk.RegisterTransport(scheme, func(a string, cfg sdk.TransportConfig) (sdk.Transport, error) {
		address, got = a, cfg
		return &narrow{most: 1 << 20}, nil
	})
	require.Panics(t, func() { sdk.RegisterTransport(scheme, nil) })
	require.Panics(t, func() {
		sdk.RegisterTransport("https", func(string, sdk.TransportConfig) (sdk.Transport, error) { return nil, nil })
	})
	client, err := sdk.New(scheme+"://pigeon", sdk.WithAPIKey("k"))
	require.NoError(t, err)
	require.Equal(t, scheme+"://pigeon", address)
	headers, err := got.Authorization(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"x-api-key": "k"}, headers)
	_, err = client.Profile(t.Context(), "a/b")
	require.ErrorContains(t, err, "WithMesh")
	require.NoError(t, client.Shutdown(t.Context()))

	_, err = sdk.New("nats://127.0.0.1:4222")
	require.ErrorContains(t, err, "import github.com/driftmesh/driftmesh/sdk/broker/nats")
}
