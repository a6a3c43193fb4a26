package otlpdoor_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
)

func requireTooLarge(t *testing.T, st *status.Status) {
	t.Helper()
	require.Equal(t, codes.ResourceExhausted, st.Code(), st.Message())
	require.Contains(t, st.Message(), "larger than")
	_, ok := details[*errdetails.RetryInfo](st)
	require.False(t, ok, "a request that is too large is not to be sent again")
}

func TestTooLargeIsRefusedForGood(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{MaxRequest: 100 << 10})
	fits, large := sample(150), sample(400)
	require.Less(t, proto.Size(fits), 100<<10)
	for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(grpcgzip.Name)}} {
		_, err := b.client.Export(t.Context(), fits, options...)
		require.NoError(t, err)
		_, err = b.client.Export(t.Context(), large, options...)
		requireTooLarge(t, status.Convert(err))
	}
	for name, send := range forms(t, large) {
		resp, body := send(b)
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode, name)
		require.Empty(t, resp.Header.Get("Retry-After"))
		requireTooLarge(t, httpStatus(t, resp, body))
	}
	// A body of unknown length is stopped at the limit.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/traces", io.LimitReader(zeros{}, 1<<40))
	require.NoError(t, err)
	req.Header.Set("Content-Type", typeProto)
	if resp, err := http.DefaultClient.Do(req); err == nil { // or the connection is cut
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
	require.Len(t, b.published.messages(), 2)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestGzipBombIsDefusedEarly sends 64 MiB of zeros, with a trailer
// that lies about it and one that does not.
func TestGzipBombIsDefusedEarly(t *testing.T) {
	b := start(t, otlpdoor.Config{MaxRequest: 1 << 20})
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	require.NoError(t, err)
	_, err = io.CopyN(w, zeros{}, 64<<20)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	bomb := out.Bytes()
	require.Less(t, len(bomb), 1<<20)
	liar := bytes.Clone(bomb)
	copy(liar[len(liar)-4:], []byte{1, 0, 0, 0})
	for _, body := range [][]byte{bomb, liar} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, answer := b.post(t, typeProto, body, "Content-Encoding", "gzip")
		runtime.ReadMemStats(&after)
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		requireTooLarge(t, httpStatus(t, resp, answer))
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "stopped long before the end")

		err := b.conn.Invoke(t.Context(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", make([]byte, 16<<20), &[]byte{},
			grpc.ForceCodecV2(rawClient{}), grpc.UseCompressor(grpcgzip.Name))
		requireTooLarge(t, status.Convert(err))
	}
}

func TestBrokerAwayMeansTryAgain(t *testing.T) {
	t.Parallel()
	server := memory.NewServer()
	conn := server.Open(memory.Options{})
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	for _, topic := range []string{event.Spans, event.SpanReceipts} {
		require.NoError(t, conn.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: topic}))
	}
	publisher, err := conn.Publisher()
	require.NoError(t, err)
	b := start(t, otlpdoor.Config{RetryDelay: 1500 * time.Millisecond}, func(d *otlpdoor.Deps) {
		d.Intake = intake(publisher, 0)
		d.MaxMessage = func() int { return conn.Capabilities().MaxMessageBytes }
	})
	tail, err := conn.Tail(t.Context(), event.Spans)
	require.NoError(t, err)
	defer func() { require.NoError(t, tail.Close()) }()

	server.Down()
	req := sample(8)
	_, err = b.client.Export(t.Context(), req)
	requireRetry(t, status.Convert(err))
	resp, body := b.post(t, typeProto, encode(t, req))
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "2", resp.Header.Get("Retry-After"))
	requireRetry(t, httpStatus(t, resp, body))

	server.Up()
	_, err = b.client.Export(t.Context(), req)
	require.NoError(t, err)
	m, err := tail.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "gw-1/3:1", m.Header(event.HeaderSeq), "what failed twice may be stored after all, and takes no number of this lane")
	require.Equal(t, "snappy", m.Header(event.HeaderEncoding))
	require.NoError(t, envelope.Open(&m.Message))
	got := &collectorpb.ExportTraceServiceRequest{}
	require.NoError(t, proto.Unmarshal(m.Value, got))
	require.True(t, proto.Equal(req, got))
}

func TestSlowBrokerIsNoHang(t *testing.T) {
	t.Parallel()
	published := &recorder{}
	b := start(t, otlpdoor.Config{}, func(d *otlpdoor.Deps) {
		d.Intake = intake(published, 50*time.Millisecond)
	})
	published.before = func(ctx context.Context, _ []broker.Message) error {
		<-ctx.Done()
		return &broker.PublishError{Total: 1, Failed: []broker.Failure{{Err: broker.ErrUnknownOutcome}}}
	}
	began := time.Now()
	_, err := b.client.Export(t.Context(), sample(4))
	requireRetry(t, status.Convert(err))
	require.Less(t, time.Since(began), 5*time.Second)

	published.before = nil
	_, err = b.client.Export(t.Context(), sample(4))
	require.NoError(t, err)
	m := published.messages()[0]
	require.Equal(t, "gw-1/2:1", m.Header(event.HeaderSeq), "a lane of unknown fate is not used again")
}

func TestRetryRulesOfPublishErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		code codes.Code
	}{
		{broker.ErrUnavailable, codes.Unavailable}, {broker.ErrBackpressure, codes.Unavailable},
		{broker.ErrUnknownOutcome, codes.Unavailable}, {broker.ErrDenied, codes.Unavailable},
		{broker.ErrUnroutable, codes.Unavailable}, {broker.ErrClosed, codes.Unavailable},
		{broker.ErrTooLarge, codes.ResourceExhausted}, {broker.ErrInvalid, codes.Internal},
		{errors.New("secret cause"), codes.Unavailable},
	} {
		b := start(t, otlpdoor.Config{})
		b.published.before = func(context.Context, []broker.Message) error {
			return &broker.PublishError{Total: 1, Failed: []broker.Failure{{Err: tc.err}}}
		}
		_, err := b.client.Export(t.Context(), sample(4))
		st := status.Convert(err)
		require.Equal(t, tc.code, st.Code(), "%v", tc.err)
		require.NotContains(t, st.Message(), "secret")
		_, retry := details[*errdetails.RetryInfo](st)
		require.Equal(t, tc.code == codes.Unavailable, retry, "%v", tc.err)
	}
}

func TestLargeRequestIsCutAndAllOfItIsStored(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	req := sample(20_000) // 9 MB through a broker that takes 1 MiB
	req.ResourceSpans[2].ScopeSpans[0].Spans[3].TraceId = nil
	require.Greater(t, proto.Size(req), 8<<20)
	resp, err := b.client.Export(t.Context(), req)
	require.NoError(t, err)
	require.EqualValues(t, 1, resp.PartialSuccess.RejectedSpans)
	stored := b.published.spans(t)
	require.Len(t, stored, 19_999)
	seqs := map[string]bool{}
	for _, m := range b.published.messages() {
		require.LessOrEqual(t, m.Size(), 1<<20)
		require.False(t, seqs[m.Header(event.HeaderSeq)])
		seqs[m.Header(event.HeaderSeq)] = true
	}
	require.Greater(t, len(seqs), 8)
	accepted, _ := b.published.onRecord(t, "default")
	require.Equal(t, 19_999, accepted)
}

func TestSpanThatFitsNoMessageIsRejectedAlone(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	req := sample(8)
	big := req.ResourceSpans[0].ScopeSpans[0].Spans[0]
	big.Name = strings.Repeat("x", 2<<20)
	resp, err := b.client.Export(t.Context(), req)
	require.NoError(t, err)
	require.Contains(t, resp.PartialSuccess.ErrorMessage, "span_too_large")
	require.Len(t, b.published.spans(t), 7)
}

// TestPartlyPublishedIsSentAgain: the pieces that were stored count as
// accepted, as they are in the store; the caller has to send all again.
func TestPartlyPublishedIsSentAgain(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	var pieces int
	fates := map[string]error{} // by id: they fail however often they are tried
	b.published.before = func(_ context.Context, msgs []broker.Message) error {
		if pieces == 0 {
			pieces = len(msgs)
			fates[msgs[1].ID], fates[msgs[2].ID] = broker.ErrUnavailable, broker.ErrUnknownOutcome
		}
		errs := make([]error, len(msgs))
		for i, m := range msgs {
			errs[i] = fates[m.ID]
		}
		return broker.Published(errs)
	}
	_, err := b.client.Export(t.Context(), sample(10_000))
	requireRetry(t, status.Convert(err))
	require.Greater(t, pieces, 3)
	stored := len(b.published.spans(t))
	require.Greater(t, stored, 1000)
	accepted, _ := b.published.onRecord(t, "default")
	require.Zero(t, accepted, "nobody was told of these")
	b.published.before = nil
	_, err = b.client.Export(t.Context(), sample(10_000))
	require.NoError(t, err)
	accepted, _ = b.published.onRecord(t, "default")
	require.Equal(t, stored+10_000, accepted, "they are on record with the next")
}

// What is stored and not on record is not acknowledged: the caller is told to
// send it again, and the store counts it once.
func TestNoAnswerWithoutReceipt(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	b.published.unrecorded = broker.Published([]error{broker.ErrBackpressure})
	_, err := b.client.Export(t.Context(), sample(8))
	requireRetry(t, status.Convert(err))
	require.Len(t, b.published.spans(t), 8)
	for name, send := range forms(t, sample(8)) {
		resp, body := send(b)
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, name)
		requireRetry(t, httpStatus(t, resp, body))
	}
	b.published.mu.Lock()
	b.published.unrecorded, b.published.receipts = nil, nil
	b.published.mu.Unlock()
	_, err = b.client.Export(t.Context(), sample(8))
	require.NoError(t, err)
	accepted, _ := b.published.onRecord(t, "default")
	require.Equal(t, 8*len(b.published.messages()), accepted, "every message is on record in the end")
}

// Packing takes only memory that is to spare: with less than that a request
// travels as it came, and is not refused for it.
func TestPackingGivesWayToRequests(t *testing.T) {
	t.Parallel()
	for budget, encoding := range map[int64]string{400 << 10: "", 8 << 20: "snappy"} {
		b := start(t, otlpdoor.Config{}, func(d *otlpdoor.Deps) { d.Budget = door.NewBudget(budget) })
		encodings := make(chan string, 1)
		b.published.before = func(_ context.Context, msgs []broker.Message) error {
			encodings <- msgs[0].Header(event.HeaderEncoding)
			return nil
		}
		_, err := b.client.Export(t.Context(), sample(200)) // 105 KB
		require.NoError(t, err)
		require.Equal(t, encoding, <-encodings, "of %d bytes", budget)
		require.Len(t, b.published.spans(t), 200)
	}
}

// TestBudget fills the memory budget with requests that wait for the broker:
// one more is told to try again, and goes through once they are done.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{}, func(d *otlpdoor.Deps) { d.Budget = door.NewBudget(940 << 10) })
	entered, release := make(chan struct{}, 8), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	b.published.before = func(context.Context, []broker.Message) error {
		entered <- struct{}{}
		<-release
		return nil
	}
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			_, err := b.client.Export(context.Background(), sample(600)) // 315 KB
			require.NoError(t, err)
		})
		select {
		case <-entered:
		case <-time.After(10 * time.Second):
			t.Fatal("the request does not reach the broker")
		}
	}
	_, err := b.client.Export(t.Context(), sample(4))
	requireRetry(t, status.Convert(err))
	for name, send := range forms(t, sample(200)) {
		resp, body := send(b)
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, name)
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
		requireRetry(t, httpStatus(t, resp, body))
	}
	let()
	waiting.Wait()
	_, err = b.client.Export(t.Context(), sample(4))
	require.NoError(t, err)
	require.Zero(t, b.budget.Used(), "everything was given back")
}

// Bodies that are announced and do not come hold what came of them, not what they
// announced: others find room.
func TestSlowBodiesHoldNoRoom(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{}, func(d *otlpdoor.Deps) { d.Budget = door.NewBudget(32 << 20) })
	for range 16 { // of which two would be all
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = fmt.Fprintf(conn, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nx-api-key: %s\r\nContent-Length: %d\r\n\r\nabc", "acme-key", 15<<20)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return b.budget.Used() >= 16*256<<10 }, 10*time.Second, 5*time.Millisecond)
	require.Less(t, b.budget.Used(), int64(8<<20))
	_, err := b.client.Export(metadata.AppendToOutgoingContext(t.Context(), "x-api-key", "acme-key"), sample(8))
	require.NoError(t, err)
}

// Who is known and may not send costs a refusal: nothing of it is read or held.
func TestWhoMayNotSendHoldsNothing(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{}, func(d *otlpdoor.Deps) {
		d.Identify = func(context.Context, string, string) (identity.Identity, error) {
			return identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Viewer)}, nil
		}
	})
	_, err := b.client.Export(t.Context(), sample(8))
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), "spans.write")
	for _, path := range []string{"/v1/traces", "/v1/metrics", "/v1/logs"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, unread{t})
		require.NoError(t, err)
		req.ContentLength = 1 << 20
		req.Header.Set("Content-Type", "application/x-protobuf")
		req.Header.Set("Expect", "100-continue")
		resp, err := (&http.Transport{ExpectContinueTimeout: time.Minute}).RoundTrip(req)
		require.NoError(t, err, path)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusForbidden, resp.StatusCode, path)
	}
	require.Zero(t, b.budget.Used())
	require.Empty(t, b.published.messages())
}

// unread is a body that nobody asks for.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the server asked for the body")
	return 0, io.EOF
}
