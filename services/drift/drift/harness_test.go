package drift_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
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
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
	"github.com/driftmesh/driftmesh/services/drift/drift"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
)

func TestMain(m *testing.M) {
	clickhousetest.Main(m, func() error { return goleak.Find() })
}

const (
	// patience bounds every wait of these tests.
	patience = 3 * time.Minute
	tick     = 10 * time.Millisecond
)

// noon is when the tests begin: a Saturday.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
	// step is by how much it goes on whenever somebody looks: which of two things
	// was later is to be known where that matters.
	step time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(c.step)
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.step == 0 || t.After(c.now) { // one that goes on does not go back
		c.now = t
	}
}

// mesh is what surrounds the service in a test.
type mesh struct {
	t      testing.TB
	db     *clickhouse.DB
	state  string // URL
	server *memory.Server
	broker broker.Broker
	clock  *clock
	log    *slog.Logger

	tenants *quota.Book // nil is no limits
	traces  tracev1.TraceServiceClient
}

func newMesh(t testing.TB) *mesh {
	t.Helper()
	m := &mesh{
		t: t, db: drifttest.Tables(t), state: sqltest.SQLite(t), server: memory.NewServer(), clock: &clock{now: noon},
		log: slog.New(slog.DiscardHandler),
	}
	m.broker = m.server.Open(memory.Options{})
	t.Cleanup(func() { require.NoError(t, m.broker.Close(context.Background())) })
	admin := m.broker.Admin()
	require.NoError(t, broker.Provision(t.Context(), admin, broker.TopicSpec{Name: event.Windows}, broker.GroupSpec{Name: event.GroupDrift}))
	require.NoError(t, broker.Provision(t.Context(), admin, broker.TopicSpec{Name: event.Alerts}, broker.GroupSpec{Name: event.GroupNotifier}))
	return m
}

// running is a service at work.
type running struct {
	driftv1.DriftServiceClient
	t      testing.TB
	conn   *grpc.ClientConn
	stop   context.CancelFunc
	done   chan error
	state  *sqlstate.DB
	broker broker.Broker
	stats  *prometheus.Registry
	ended  bool
}

// run starts a worker; it is stopped when the test ends, if not before.
func (m *mesh) run() *running {
	m.t.Helper()
	return m.runWith(m.quick())
}

// quick are settings for tests whose clock jumps. That a feed is silent between
// two jumps would be one more alert, or not, as it happens.
func (m *mesh) quick() drift.Config {
	m.t.Helper()
	var cfg drift.Config
	require.NoError(m.t, settings.Defaults(&cfg))
	cfg.Poll, cfg.Refresh = 20*time.Millisecond, 0
	cfg.Silence, cfg.Unfed, cfg.Insufficient = 0, 0, 0
	return cfg
}

func (m *mesh) runWith(cfg drift.Config) *running {
	m.t.Helper()
	stats := prometheus.NewRegistry()
	r := &running{t: m.t, done: make(chan error, 1), stats: stats, broker: m.server.Open(memory.Options{Name: "drift"})}
	var err error
	r.state, err = sqlstate.Open(m.t.Context(), m.state, "drift")
	require.NoError(m.t, err)
	listener := bufconn.Listen(1 << 20)
	server, err := rpc.NewServer(rpc.ServerConfig{MaxRequest: 64 << 20}, rpc.ServerDeps{
		Log: m.log, Stats: stats, Traces: noop.NewTracerProvider(), Authenticate: authenticate,
	})
	require.NoError(m.t, err)
	service, err := drift.New(cfg, drift.Deps{
		State: r.state, ClickHouse: m.db, Broker: broker.NewTelemetry(nil, nil).Instrument(r.broker),
		Tenants: m.tenants, Traces: m.traces, Server: server, Listener: listener, Log: m.log, Stats: stats, Now: m.clock.Now,
	})
	require.NoError(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- service.Run(ctx) }()
	r.conn, err = rpc.Dial(rpc.ClientConfig{Target: "passthrough:///drift", DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	}})
	require.NoError(m.t, err)
	r.DriftServiceClient = driftv1.NewDriftServiceClient(r.conn)
	m.t.Cleanup(r.end)
	require.Eventually(m.t, func() bool { return service.Ready(ctx) == nil }, patience, tick)
	return r
}

func authenticate(ctx context.Context, _ string) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md.Get("tenant")) != 1 {
		return nil, fault.Unauthenticated.New("who calls?")
	}
	grant := policy.As(policy.Operator)
	if role := md.Get("role"); len(role) > 0 {
		grant = policy.As(policy.Role(role[0]))
	}
	var err error
	grant.Spaces, err = policy.ParseSpaces(md.Get("space"))
	return identity.With(ctx, identity.Identity{Tenant: md.Get("tenant")[0], Subject: "ada", Kind: identity.User, Grant: grant}), err
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
	require.NoError(r.t, r.state.Close())
	require.NoError(r.t, r.broker.Close(context.Background()))
}

// as is a context of a caller of a tenant.
func as(t testing.TB, tenant string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "tenant", tenant)
}

// touch announces windows, as ingest-worker does.
func (m *mesh) touch(tenant, profile string, minutes ...int64) {
	m.t.Helper()
	value, err := proto.Marshal(&eventv1.WindowsTouched{Profile: profile, Minutes: minutes})
	require.NoError(m.t, err)
	m.publish(envelope.New(event.Windows, envelope.Stamp{Tenant: tenant, Type: event.TypeWindows, Count: len(minutes), Accepted: m.clock.Now()}, value))
}

func (m *mesh) publish(msgs ...broker.Message) {
	m.t.Helper()
	p, err := m.broker.Publisher()
	require.NoError(m.t, err)
	require.NoError(m.t, p.Publish(m.t.Context(), msgs))
}

// await waits until a group has nothing to do.
func (m *mesh) await(topic, group string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		lag, err := m.broker.Admin().Lag(m.t.Context(), topic, group)
		return err == nil && lag.Known && lag.Total() == 0
	}, patience, tick)
}

// store stores records and announces their windows, and waits until that was
// heard.
func (m *mesh) store(tenant, profile string, records []drifttest.Record) {
	m.t.Helper()
	m.insert(tenant, profile, records)
	m.await(event.Windows, event.GroupDrift)
}

// insert stores records and announces their windows.
func (m *mesh) insert(tenant, profile string, records []drifttest.Record) {
	m.t.Helper()
	require.NoError(m.t, drifttest.Insert(m.t.Context(), m.db, tenant, uuid.MustParse(profile), records))
	var minutes []int64
	seen := map[int64]bool{}
	for _, r := range records {
		if !seen[r.Minute] {
			seen[r.Minute] = true
			minutes = append(minutes, r.Minute)
		}
	}
	m.touch(tenant, profile, minutes...)
}

// wine is the wine data as columns.
func wine(t testing.TB) []profile.Column {
	t.Helper()
	file, err := os.Open("../../../examples/wine/winequality-red.csv")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	columns, err := profile.ReadCSV(file, profile.CSVOptions{})
	require.NoError(t, err)
	return columns
}

// wineProfile is the profile of the rows of the wine data at even positions.
func wineProfile(t testing.TB) *driftv1.Profile {
	t.Helper()
	columns := wine(t)
	for i := range columns {
		var even []float64
		for row, v := range columns[i].Numbers {
			if row%2 == 0 {
				even = append(even, v)
			}
		}
		columns[i].Numbers = even
	}
	p, err := profile.New(columns, profile.Options{
		Space: "examples", Name: "wine", Schedule: profile.Schedule{Cron: "0 * * * *"},
		Monitors: []profile.Monitor{{Name: "shape", Detector: "psi_scouter", Threshold: profile.Above(0.1)}},
	})
	require.NoError(t, err)
	m := wire.Message(p)
	m.Active = true
	return m
}

// wineRecords are the rows at odd positions that the function chooses, spread
// over the minutes from first on.
func wineRecords(t testing.TB, prefix string, first int64, minutes int, keep func(alcohol float64) bool) []drifttest.Record {
	t.Helper()
	columns := wine(t)
	random := rand.New(rand.NewPCG(1, 2))
	var records []drifttest.Record
	for row := 1; row < columns[0].Len(); row += 2 {
		if !keep(columns[10].Numbers[row]) {
			continue
		}
		r := drifttest.Record{ID: fmt.Sprintf("%s-%04d", prefix, row), Minute: first + int64(random.IntN(minutes)), Hash: random.Uint64(), Trace: row%5 != 0}
		for i := range columns {
			r.Numbers = append(r.Numbers, columns[i].Numbers[row])
		}
		records = append(records, r)
	}
	return records
}

func all(float64) bool { return true }

func strong(alcohol float64) bool { return alcohol > 11 }

// alerts lists a tenant's alerts.
func (r *running) alerts(tenant string, openOnly bool) []*driftv1.Alert {
	r.t.Helper()
	resp, err := r.ListAlerts(as(r.t, tenant), &driftv1.ListAlertsRequest{OpenOnly: openOnly})
	require.NoError(r.t, err)
	return resp.GetAlerts()
}

// scores lists the stored evaluations of a profile, newest first.
func (r *running) scores(tenant, ref string) []*driftv1.Evaluation {
	r.t.Helper()
	resp, err := r.ListScores(as(r.t, tenant), &driftv1.ListScoresRequest{Profile: ref})
	require.NoError(r.t, err)
	return resp.GetEvaluations()
}
