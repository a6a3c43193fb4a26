package tracestore_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	otlpv1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
	"github.com/driftmesh/driftmesh/services/trace-store/tracestore"
)

func TestMain(m *testing.M) {
	clickhousetest.Main(m, func() error { return goleak.Find() })
}

const (
	// patience bounds every wait of these tests.
	patience = 20 * time.Second
	tick     = 10 * time.Millisecond
)

// mesh is what surrounds the service in a test.
type mesh struct {
	t      testing.TB
	db     *clickhouse.DB
	server *memory.Server
	broker broker.Broker
	seq    int
}

func newMesh(t testing.TB) *mesh {
	m := &mesh{t: t, db: clickhousetest.Open(t), server: memory.NewServer()}
	m.broker = m.server.Open(memory.Options{})
	t.Cleanup(func() { require.NoError(t, m.broker.Close(context.Background())) })
	require.NoError(t, broker.Provision(t.Context(), m.broker.Admin(),
		broker.TopicSpec{Name: event.Spans, Dedupe: time.Millisecond}, broker.GroupSpec{Name: event.GroupTraceStore}))
	require.NoError(t, broker.Provision(t.Context(), m.broker.Admin(),
		broker.TopicSpec{Name: event.SpanReceipts}, broker.GroupSpec{Name: event.GroupTraceStore}))
	require.NoError(t, broker.Provision(t.Context(), m.broker.Admin(),
		broker.TopicSpec{Name: event.Windows}, broker.GroupSpec{Name: event.GroupDrift}))
	return m
}

// message is a request as a door would publish it.
func (m *mesh) message(tenant string, data *otlpv1.TracesData) broker.Message {
	m.seq++
	value := tracetest.Marshal(data)
	msg := envelope.New(event.Spans, envelope.Stamp{
		Tenant: tenant, Type: event.TypeTraces, Count: len(tracetest.Canonical(data)),
		Accepted: time.Now(), Seq: "door:" + strconv.Itoa(m.seq),
	}, value)
	envelope.Pack(&msg, make([]byte, envelope.PackRoom(len(value))))
	return msg
}

func (m *mesh) publish(msgs ...broker.Message) {
	m.t.Helper()
	p, err := m.broker.Publisher()
	require.NoError(m.t, err)
	require.NoError(m.t, p.Publish(m.t.Context(), msgs))
}

// running is a service at work.
type running struct {
	t     testing.TB
	conn  *grpc.ClientConn
	dial  func(...grpc.DialOption) *grpc.ClientConn
	stop  context.CancelFunc
	done  chan error
	own   broker.Broker
	ended bool

	tenants *quota.Book
}

// run starts the service; it is stopped when the test ends, if not before.
func (m *mesh) run(change ...func(*tracestore.Config)) *running {
	m.t.Helper()
	var cfg tracestore.Config
	require.NoError(m.t, settings.Defaults(&cfg))
	for _, one := range change {
		one(&cfg)
	}
	cfg.Linger = 20 * time.Millisecond
	r := &running{t: m.t, done: make(chan error, 1), own: m.server.Open(memory.Options{Name: "trace-store"}), tenants: quota.NewBook(quota.Limits{})}
	listener := bufconn.Listen(1 << 20)
	stats := prometheus.NewRegistry()
	server, err := rpc.NewServer(rpc.ServerConfig{}, rpc.ServerDeps{
		Log: slog.New(slog.NewTextHandler(m.t.Output(), nil)), Stats: stats, Traces: noop.NewTracerProvider(),
		Authenticate: func(ctx context.Context, _ string) (context.Context, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			if len(md.Get("tenant")) != 1 {
				return nil, fault.Unauthenticated.New("who calls?")
			}
			if md.Get("tenant")[0] == identity.MeshTenant {
				return identity.With(ctx, identity.ForService("gateway", identity.MeshTenant)), nil
			}
			return identity.With(ctx, identity.Identity{Tenant: md.Get("tenant")[0], Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)}), nil
		},
	})
	require.NoError(m.t, err)
	service, err := tracestore.New(cfg, tracestore.Deps{
		Broker: broker.NewTelemetry(noop.NewTracerProvider(), stats).Instrument(r.own), ClickHouse: m.db,
		Tenants: r.tenants, Server: server, Listener: listener, Log: slog.New(slog.NewTextHandler(m.t.Output(), nil)), Stats: stats,
	})
	require.NoError(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- service.Run(ctx) }()
	r.dial = func(options ...grpc.DialOption) *grpc.ClientConn {
		conn, err := rpc.Dial(rpc.ClientConfig{Target: "passthrough:///trace-store", DialOptions: append(options,
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))})
		require.NoError(m.t, err)
		return conn
	}
	r.conn = r.dial()
	m.t.Cleanup(r.end)
	require.Eventually(m.t, func() bool { return service.Ready(ctx) == nil }, patience, tick)
	return r
}

func (r *running) end() {
	if r.ended {
		return
	}
	r.ended = true
	r.stop()
	select {
	case err := <-r.done:
		require.NoError(r.t, err)
	case <-time.After(patience):
		require.Fail(r.t, "the service does not stop")
	}
	require.NoError(r.t, r.conn.Close())
	require.NoError(r.t, r.own.Close(context.Background()))
}

func as(tenant string) context.Context {
	return metadata.AppendToOutgoingContext(context.Background(), "tenant", tenant)
}

func (r *running) traces() tracev1.TraceServiceClient { return tracev1.NewTraceServiceClient(r.conn) }

func (r *running) settled(tenant string) *ledgerv1.GetSettledResponse {
	r.t.Helper()
	resp, err := ledgerv1.NewLedgerServiceClient(r.conn).GetSettled(as(tenant), &ledgerv1.GetSettledRequest{})
	require.NoError(r.t, err)
	return resp
}

// written waits until so many spans were written for the tenant, repeats
// included.
func (r *running) written(tenant string, n int) *ledgerv1.GetSettledResponse {
	r.t.Helper()
	var last *ledgerv1.GetSettledResponse
	require.Eventually(r.t, func() bool {
		last = r.settled(tenant)
		var sum uint64
		for _, i := range last.GetInstances() {
			sum += i.GetWritten()
		}
		return sum == uint64(n) && last.GetPendingMessages() == 0
	}, patience, 50*time.Millisecond)
	return last
}

// trace reads a trace; nil when there is none.
func (r *running) trace(tenant, id string) (*otlpv1.TracesData, error) {
	stream, err := r.traces().GetTrace(as(tenant), &tracev1.GetTraceRequest{TraceId: id})
	if err != nil {
		return nil, err
	}
	out := &otlpv1.TracesData{}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		part := &otlpv1.TracesData{}
		if err := proto.Unmarshal(resp.GetOtlpTraces(), part); err != nil {
			return nil, err
		}
		out.ResourceSpans = append(out.ResourceSpans, part.ResourceSpans...)
	}
}
