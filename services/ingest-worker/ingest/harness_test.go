package ingest_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

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
	"github.com/driftmesh/driftmesh/internal/receipt"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/ingest"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

func TestMain(m *testing.M) {
	natsserver.Child()
	clickhousetest.Main(m, func() error { return goleak.Find() })
}

const (
	wine = "01890a5d-ac96-774b-bcce-b302099a8057"
	// patience bounds every wait of these tests.
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// drift is the neighbour: it knows the profile wine in every tenant but
// "stranger".
type drift struct {
	driftv1.DriftServiceClient
	mu    sync.Mutex
	away  bool
	sick  error // what it says instead of a profile
	asked []string
}

func (d *drift) GetProfile(ctx context.Context, req *driftv1.GetProfileRequest, _ ...grpc.CallOption) (*driftv1.GetProfileResponse, error) {
	id, _ := identity.From(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return nil, fault.Unavailable.New("drift is away")
	}
	if d.sick != nil {
		return nil, d.sick
	}
	d.asked = append(d.asked, id.Tenant+" "+req.GetProfile()+" "+string(id.Kind))
	if req.GetProfile() != wine || id.Tenant == "stranger" {
		return nil, fault.NotFound.New("no such profile")
	}
	return &driftv1.GetProfileResponse{Profile: &driftv1.Profile{Uid: wine, Space: "cellar", Name: "wine", Version: "0.1.0", Features: []*driftv1.FeatureProfile{
		{Name: "acid", Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC, Type: "float"},
		{Name: "colour", Kind: driftv1.FeatureKind_FEATURE_KIND_CATEGORY, Type: "string"},
	}}}, nil
}

func (d *drift) setAway(away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
}

func (d *drift) setSick(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sick = err
}

// mesh is what surrounds the service in a test.
type mesh struct {
	t      testing.TB
	db     *clickhouse.DB
	server *memory.Server                  // nil where another broker is chosen
	open   func(name string) broker.Broker // a connection
	broker broker.Broker
	drift  *drift
	spans  *tracetest.InMemoryExporter
	traces trace.TracerProvider
	seq    uint64
	wrap   func(broker.Broker) broker.Broker // what the service sees of the broker
	bytes  settings.Size                     // of the service's setting, if not 0
	inbox  ingest.InboxConfig                // who may publish there

	sources []ingest.Source

	tenants  *quota.Book // nil is no limits
	authAway atomic.Bool
}

func newMesh(t testing.TB) *mesh {
	server := memory.NewServer()
	m := newMeshOn(t, time.Millisecond, func(name string) broker.Broker { return server.Open(memory.Options{Name: name}) })
	m.server = server
	return m
}

// newMeshOn is a mesh on any broker; dedupe is the window of what comes in.
func newMeshOn(t testing.TB, dedupe time.Duration, open func(name string) broker.Broker) *mesh {
	m := &mesh{t: t, db: clickhousetest.Open(t), open: open, drift: &drift{}, spans: tracetest.NewInMemoryExporter()}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(m.spans))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	m.traces = provider
	m.wrap = func(b broker.Broker) broker.Broker { return b }
	m.broker = open("test")
	t.Cleanup(func() { require.NoError(t, m.broker.Close(context.Background())) })
	ctx := t.Context()
	for _, topic := range []struct {
		name, group string
		dedupe      time.Duration
	}{
		{event.Records, event.GroupIngest, dedupe},
		{event.Retry(event.Records), event.GroupIngest, 0},
		{event.RecordReceipts, event.GroupIngest, 0},
		{event.Windows, event.GroupDrift, 0},
		{event.Inbox, event.GroupIngest, dedupe},
		{event.Retry(event.Inbox), event.GroupIngest, 0},
		{event.Spans, event.GroupTraceStore, 0},
	} {
		require.NoError(t, broker.Provision(ctx, m.broker.Admin(), broker.TopicSpec{Name: topic.name, Dedupe: topic.dedupe}, broker.GroupSpec{Name: topic.group}))
	}
	return m
}

// running is a service at work.
type running struct {
	t      testing.TB
	conn   *grpc.ClientConn
	stop   context.CancelFunc
	done   chan error
	Stats  *prometheus.Registry
	broker broker.Broker
	ended  bool
}

// run starts the service; it is stopped when the test ends, if not before.
func (m *mesh) run() *running {
	m.t.Helper()
	var cfg ingest.Config
	require.NoError(m.t, settings.Defaults(&cfg))
	cfg.Linger = 20 * time.Millisecond
	if m.bytes > 0 {
		cfg.Bytes = m.bytes
	}
	cfg.Inbox.Auth, cfg.Inbox.Users = m.inbox.Auth, m.inbox.Users
	r := &running{t: m.t, done: make(chan error, 1), Stats: prometheus.NewRegistry(), broker: m.open("ingest")}
	listener := bufconn.Listen(1 << 20)
	server, err := rpc.NewServer(rpc.ServerConfig{}, rpc.ServerDeps{
		Log: slog.New(slog.DiscardHandler), Stats: r.Stats, Traces: noop.NewTracerProvider(),
		Authenticate: func(ctx context.Context, _ string) (context.Context, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			if len(md.Get("tenant")) != 1 {
				return nil, fault.Unauthenticated.New("who calls?")
			}
			grant := policy.As(policy.Admin)
			if spaces := md.Get("spaces"); len(spaces) > 0 {
				grant.Spaces = policy.Spaces(spaces[0])
			}
			return identity.With(ctx, identity.Identity{Tenant: md.Get("tenant")[0], Subject: "ann", Kind: identity.User, Grant: grant}), nil
		},
	})
	require.NoError(m.t, err)
	service, err := ingest.New(cfg, ingest.Deps{
		Broker:     m.wrap(broker.NewTelemetry(m.traces, r.Stats).Instrument(r.broker)),
		ClickHouse: m.db, Drift: m.drift, Identify: m.identify(), Secrets: meshSecrets(m.t), Tenants: m.tenants, Server: server, Listener: listener,
		Sources: m.sources, Log: slog.New(slog.DiscardHandler), Stats: r.Stats,
	})
	require.NoError(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- service.Run(ctx) }()
	r.conn, err = rpc.Dial(rpc.ClientConfig{Target: "passthrough:///ingest", DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	}})
	require.NoError(m.t, err)
	m.t.Cleanup(r.end)
	require.Eventually(m.t, func() bool { return service.Ready(ctx) == nil }, patience, tick)
	return r
}

// end stops the service as a signal would.
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
	require.NoError(r.t, r.broker.Close(context.Background()))
}

// settled asks for a tenant's ledger.
func (r *running) settled(tenant string) *ledgerv1.GetSettledResponse {
	r.t.Helper()
	ctx := metadata.AppendToOutgoingContext(r.t.Context(), "tenant", tenant)
	resp, err := ledgerv1.NewLedgerServiceClient(r.conn).GetSettled(ctx, &ledgerv1.GetSettledRequest{})
	require.NoError(r.t, err)
	return resp
}

// await waits until the group has nothing to do, nor anything that waits.
func (m *mesh) await() {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return m.pending(event.Records) == 0 }, patience, tick)
}

// pending is how many messages of a topic are with the broker, those that wait
// included.
func (m *mesh) pending(topic string) uint64 {
	p, err := receipt.Lag(m.broker.Admin().Lag).Pending(m.t.Context(), event.GroupIngest, topic, event.Retry(topic))
	if err != nil || p.Unknown {
		return math.MaxUint64
	}
	return p.Messages
}

// message makes a numbered message of records, as the gateway does.
func (m *mesh) message(tenant string, records ...*ingestv1.Record) broker.Message {
	value, err := proto.Marshal(&eventv1.RecordBatch{Records: records})
	require.NoError(m.t, err)
	m.seq++
	return envelope.New(event.Records, envelope.Stamp{
		Tenant: tenant, Type: event.TypeRecords, Count: len(records), Accepted: start, Seq: fmt.Sprintf("gw:%d", m.seq),
	}, value)
}

func (m *mesh) publish(msgs ...broker.Message) {
	m.t.Helper()
	p, err := m.broker.Publisher()
	require.NoError(m.t, err)
	require.NoError(m.t, p.Publish(m.t.Context(), msgs))
}

// windows reads what was announced so far: minutes by tenant and profile.
func (m *mesh) windows() map[string][]int64 {
	m.t.Helper()
	out := map[string][]int64{}
	for _, d := range m.announcements() {
		var w eventv1.WindowsTouched
		require.NoError(m.t, proto.Unmarshal(d.Value, &w))
		key := envelope.Of(&d.Message).Tenant + "/" + w.GetProfile()
		out[key] = append(out[key], w.GetMinutes()...)
	}
	return out
}

func (m *mesh) announcements() []broker.Delivery {
	m.t.Helper()
	c, err := m.broker.Consumer(broker.ConsumerConfig{Topic: event.Windows, Group: event.GroupDrift, Linger: time.Millisecond})
	require.NoError(m.t, err)
	defer c.Close(context.Background())
	var out []broker.Delivery
	for {
		lag, err := m.broker.Admin().Lag(m.t.Context(), event.Windows, event.GroupDrift)
		require.NoError(m.t, err)
		if lag.Total() == 0 {
			return out
		}
		b, err := c.Receive(m.t.Context())
		require.NoError(m.t, err)
		out = append(out, b.Deliveries...)
		require.NoError(m.t, b.Ack(m.t.Context()))
	}
}

// rows counts the rows of a table for a tenant, after de-duplication.
func (m *mesh) rows(table, tenant string) uint64 {
	m.t.Helper()
	var n uint64
	require.NoError(m.t, m.db.QueryRow(m.t.Context(), "SELECT count() FROM "+table+" FINAL WHERE Tenant = {tenant:String}", clickhouse.Named("tenant", tenant)).Scan(&n))
	return n
}

// record is a good record of features in the given minute.
func record(id string, minute int, acid float64) *ingestv1.Record {
	return &ingestv1.Record{
		Id: id, Profile: wine, EventTime: timestamppb.New(start.Add(time.Duration(minute) * time.Minute)),
		Body: &ingestv1.Record_Features{Features: &ingestv1.Features{Values: []*ingestv1.Feature{
			{Name: "acid", Value: &ingestv1.Feature_Float{Float: acid}},
			{Name: "colour", Value: &ingestv1.Feature_String_{String_: "red"}},
		}}},
	}
}

func unknown(id string) *ingestv1.Record {
	r := record(id, 0, 1)
	r.Profile = uuid.NewString()
	return r
}

// minute is minutes since 1970 of a minute of these tests.
func minute(n int) int64 { return start.Unix()/60 + int64(n) }
