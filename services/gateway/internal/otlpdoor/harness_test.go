package otlpdoor_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/rpc"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

func TestMain(m *testing.M) {
	natsserver.Child()
	goleak.VerifyTestMain(m)
}

// recorder is a publisher that keeps copies, as the buffers it is given are
// used again once Publish has returned.
type recorder struct {
	mu       sync.Mutex
	msgs     []broker.Message
	receipts []broker.Message
	before   func(ctx context.Context, msgs []broker.Message) error // may refuse

	unrecorded error // the answer to receipts
}

func (r *recorder) Publish(ctx context.Context, msgs []broker.Message) error {
	if msgs[0].Topic == event.SpanReceipts {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.receipts = append(r.receipts, msgs...)
		return r.unrecorded
	}
	var refused error
	if r.before != nil {
		refused = r.before(ctx, msgs)
	}
	var partly *broker.PublishError
	if refused != nil && !errors.As(refused, &partly) {
		return refused
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range msgs {
		if partly != nil && slices.ContainsFunc(partly.Failed, func(f broker.Failure) bool { return f.Index == i }) {
			continue
		}
		if envelope.Open(&m) != nil {
			return errors.New("a message cannot be unpacked")
		}
		m.Value = bytes.Clone(m.Value)
		r.msgs = append(r.msgs, m)
	}
	return refused
}

func (r *recorder) Close(context.Context) error { return nil }

func (r *recorder) messages() []broker.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.msgs)
}

// spans decodes all that was published, checks the count headers, and returns
// the spans by name.
func (r *recorder) spans(t *testing.T) map[string]*tracepb.Span {
	t.Helper()
	all := map[string]*tracepb.Span{}
	for _, m := range r.messages() {
		req := &collectorpb.ExportTraceServiceRequest{}
		require.NoError(t, proto.Unmarshal(m.Value, req))
		n := 0
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					n++
					all[s.Name] = s
				}
			}
		}
		require.Equal(t, fmt.Sprint(n), m.Header(event.HeaderCount))
	}
	return all
}

// bench is a running door and ways to talk to it.
type bench struct {
	conn      *grpc.ClientConn
	client    collectorpb.TraceServiceClient
	url       string
	published *recorder
	budget    *door.Budget
	stats     *prometheus.Registry
	grpcAddr  string
}

func identify(_ context.Context, authorization, apiKey string) (identity.Identity, error) {
	switch {
	case authorization == "" && apiKey == "":
		return identity.Identity{Tenant: "default", Subject: "anonymous", Kind: identity.Anonymous, Grant: policy.As(policy.Local)}, nil
	case authorization == "Bearer acme-token" || apiKey == "acme-key":
		return identity.Identity{Tenant: "acme", Subject: "agent", Kind: identity.Key, Grant: policy.As(policy.Ingest)}, nil
	case authorization == "Bearer auth-is-away":
		return identity.Identity{}, fault.Unavailable.New("auth cannot be asked")
	}
	return identity.Identity{}, fault.Unauthenticated.New("the token is not valid").WithReason("TOKEN_INVALID")
}

// intake is the way to the topic spans, over a publisher.
func intake(publisher broker.Publisher, timeout time.Duration) *door.Intake {
	return door.NewIntake(door.IntakeConfig{
		Topic: event.Spans, Type: event.TypeTraces, Receipts: event.SpanReceipts, Timeout: timeout,
	}, "gw-1", publisher)
}

// onRecord is what the receipts say that was accepted of a tenant, and refused.
func (r *recorder) onRecord(t testing.TB, tenant string) (accepted int, rejected map[string]int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	lanes := map[uint32]int{}
	rejected = map[string]int{}
	for _, m := range r.receipts {
		var receipt eventv1.Receipt
		require.NoError(t, proto.Unmarshal(m.Value, &receipt))
		require.Equal(t, "gw-1", receipt.GetInstance())
		for _, a := range receipt.GetAccounts() {
			if a.GetTenant() != tenant {
				continue
			}
			for _, l := range a.GetLanes() {
				lanes[l.GetLane()] = max(lanes[l.GetLane()], int(l.GetItems()))
			}
			for reason, n := range a.GetRejected() {
				rejected[reason] = max(rejected[reason], int(n))
			}
		}
	}
	for _, items := range lanes {
		accepted += items
	}
	return accepted, rejected
}

// start runs a door on loopback until the test ends.
func start(t testing.TB, cfg otlpdoor.Config, change ...func(*otlpdoor.Deps)) *bench {
	t.Helper()
	b := &bench{
		published: &recorder{}, budget: door.NewBudget(256 << 20), stats: prometheus.NewRegistry(),
	}
	deps := otlpdoor.Deps{
		Intake: intake(b.published, 0), Budget: b.budget, MaxMessage: func() int { return 1 << 20 }, Identify: identify,
		Log: slog.New(slog.DiscardHandler), Stats: b.stats, Traces: noop.NewTracerProvider(),
	}
	var err error
	deps.Calls, err = rpc.NewMetrics(rpc.MetricsConfig{}, b.stats)
	require.NoError(t, err)
	for _, c := range change {
		c(&deps)
	}
	b.budget = deps.Budget
	d, err := otlpdoor.New(cfg, deps)
	require.NoError(t, err)
	overGRPC, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	overHTTP, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.url, b.grpcAddr = "http://"+overHTTP.Addr().String(), overGRPC.Addr().String()
	b.conn, err = grpc.NewClient(b.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1<<30)))
	require.NoError(t, err)
	b.client = collectorpb.NewTraceServiceClient(b.conn)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, overGRPC, overHTTP) }()
	t.Cleanup(func() {
		_ = b.conn.Close()
		http.DefaultClient.CloseIdleConnections()
		stop()
		require.NoError(t, <-done)
	})
	return b
}

// post sends a body over HTTP and returns the response, whose body is read.
func (b *bench) post(t testing.TB, contentType string, body []byte, headers ...string) (*http.Response, []byte) {
	t.Helper()
	return b.postTo(t, "/v1/traces", contentType, body, headers...)
}

func (b *bench) postTo(t testing.TB, path, contentType string, body []byte, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, answer
}

func packed(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	require.NoError(t, err)
	return b
}

func str(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// sample is a request of spans named span-0, span-1, … in four services, about
// 470 B a span.
func sample(spans int) *collectorpb.ExportTraceServiceRequest {
	rnd := rand.New(rand.NewPCG(1, 2))
	req := &collectorpb.ExportTraceServiceRequest{}
	services := min(4, spans)
	for s := range services {
		res := &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str("service.name", fmt.Sprintf("service-%d", s))}}
		for i := range 9 {
			res.Attributes = append(res.Attributes, str(fmt.Sprintf("resource.key.%d", i), fmt.Sprintf("resource-value-%d", i)))
		}
		scope := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "sample", Version: "1.2.3"}}
		for i := s; i < spans; i += services {
			scope.Spans = append(scope.Spans, sampleSpan(rnd, i))
		}
		req.ResourceSpans = append(req.ResourceSpans, &tracepb.ResourceSpans{Resource: res, ScopeSpans: []*tracepb.ScopeSpans{scope}})
	}
	return req
}

func sampleSpan(rnd *rand.Rand, i int) *tracepb.Span {
	begin := uint64(time.Now().UnixNano()) - uint64(rnd.IntN(1e9))
	span := &tracepb.Span{
		TraceId: id(rnd, 16), SpanId: id(rnd, 8), ParentSpanId: id(rnd, 8),
		Name: fmt.Sprintf("span-%d", i), Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: begin, EndTimeUnixNano: begin + uint64(rnd.IntN(1e8)),
		Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK}, Flags: 0x101,
	}
	for a := range 8 {
		span.Attributes = append(span.Attributes, str(fmt.Sprintf("http.attribute.%d", a), fmt.Sprintf("value-%d-%016x", a, rnd.Uint64())))
	}
	for a := range 2 {
		span.Attributes = append(span.Attributes, &commonpb.KeyValue{Key: fmt.Sprintf("http.number.%d", a),
			Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 200}}})
	}
	return span
}

func id(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		binary.BigEndian.PutUint64(b[i:], rnd.Uint64()|1)
	}
	return b
}

func withToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}
