package tracestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/desk"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/migration"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/receipt"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/schema"
	"github.com/driftmesh/driftmesh/internal/settings"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/sql"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

// name is how the service calls itself, in settings and as a group member.
const name = "trace-store"

// Config is what can be set.
type Config struct {
	Listen   string        `help:"Address for other services." default:"127.0.0.1:50063" placeholder:"HOST:PORT"`
	Messages int           `help:"Most messages in one insert." default:"8000"`
	Bytes    settings.Size `help:"Most bytes of messages, compressed as they travel, in one batch; it is stored in blocks." default:"8MiB"`
	Block    settings.Size `help:"Most bytes of one block of columns." default:"48MiB"`
	Linger   time.Duration `help:"How long the first message of an insert waits for others." default:"500ms"`
	Parallel int           `help:"Batches written at a time." default:"1"`
	Drain    time.Duration `help:"How long inserts may run on when the service stops." default:"15s"`

	Retention    time.Duration `help:"How long spans are kept; 0 is for ever." default:"720h"`
	TraceSpans   int           `help:"Most spans of one trace in an answer." default:"50000"`
	Queries      int           `help:"Queries answered at a time; further ones wait for the turn of their tenant." default:"8"`
	QueryTimeout time.Duration `help:"How long one statement of a query may take." default:"20s"`
	SQLRows      int           `name:"sql-rows" help:"Most rows of the result of a user's SQL statement." default:"100000"`
	SQLMemory    settings.Size `name:"sql-memory" help:"Memory of ClickHouse that a user's SQL statement may take." default:"256MiB"`
	SQLTimeout   time.Duration `name:"sql-timeout" help:"How long a user's SQL statement may run." default:"30s"`
}

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, problem string) {
		if !ok {
			errs = append(errs, errors.New(name+"."+problem))
		}
	}
	check(c.Messages >= 1, "messages: must be at least 1")
	check(c.Bytes >= 1<<10, "bytes: must be at least 1KiB")
	check(c.Block >= 1<<20, "block: must be at least 1MiB")
	check(c.Linger > 0, "linger: must be positive")
	check(c.Parallel >= 1, "parallel: must be at least 1")
	check(c.Drain > 0, "drain: must be positive")
	check(c.Retention == 0 || c.Retention >= store.MinRetention, "retention: must be 0 or at least "+store.MinRetention.String())
	check(c.TraceSpans >= 1, "trace-spans: must be at least 1")
	check(c.Queries >= 1, "queries: must be at least 1")
	check(c.QueryTimeout >= time.Second, "query-timeout: must be at least 1s")
	check(c.SQLRows >= 1, "sql-rows: must be at least 1")
	check(c.SQLMemory >= 1<<20, "sql-memory: must be at least 1MiB")
	check(c.SQLTimeout >= time.Second, "sql-timeout: must be at least 1s")
	return errors.Join(errs...)
}

// Deps is what the service needs from outside. Every field is required.
type Deps struct {
	Broker     broker.Broker // with topic and group provisioned by the first message
	ClickHouse *clickhouse.DB
	Server     *rpc.Server // answers services; the service registers itself on it
	Listener   net.Listener
	Tenants    *quota.Book // limits of tenants, which somebody keeps up to date; nil for none
	Log        *slog.Logger
	Stats      prometheus.Registerer
}

// Service is trace-store. Run it once.
type Service struct {
	cfg     Config
	deps    Deps
	metrics *metrics
	ready   atomic.Bool
}

// New builds the service from open dependencies. It starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Tenants == nil {
		deps.Tenants = quota.NewBook(quota.Limits{})
	}
	metrics, err := newMetrics(deps.Stats)
	if err != nil {
		return nil, err
	}
	return &Service{cfg: cfg, deps: deps, metrics: metrics}, nil
}

// Run opens what cfg and env name, serves until ctx ends, drains, and closes
// what it opened. It waits for the broker and for ClickHouse.
func Run(ctx context.Context, cfg Config, env process.Env) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	b, err := env.OpenBroker(ctx)
	if err != nil {
		return err
	}
	defer process.Closing(ctx, &err, b.Close)
	db, err := env.OpenClickHouse(ctx)
	if err != nil {
		return err
	}
	defer process.Closing(ctx, &err, func(context.Context) error { return db.Close() })
	server, err := env.ServiceServer(name, cfg.Listen)
	if err != nil {
		return err
	}
	auth, err := env.Neighbour(name, "auth") // for the limits of tenants; nothing waits for it
	if err != nil {
		return fmt.Errorf("mesh.auth: %w", err)
	}
	defer process.Closing(ctx, &err, func(context.Context) error { return auth.Close() })
	listener, err := server.Listen(ctx)
	if err != nil {
		return fmt.Errorf("%w (setting %s.listen)", err, name)
	}
	defer listener.Close() //nolint:errcheck // the server has closed it, or never got to
	service, err := New(cfg, Deps{
		Broker: b, ClickHouse: db, Server: server, Listener: listener, Tenants: quota.NewBook(quota.Defaults()), Log: env.Log, Stats: env.Stats,
	})
	if err != nil {
		return err
	}
	env.Ready(name, service.Ready)
	topics := env.Topics(b, event.Spans, event.SpanReceipts, event.Windows)
	if err := topics.Provision(ctx); err != nil {
		return process.UnlessStopped(ctx, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return topics.Keep(ctx) })
	group.Go(func() error { return service.deps.Tenants.Follow(ctx, auth, name) })
	group.Go(func() error { return service.Run(ctx) })
	return group.Wait()
}

// turnsOf is how many of the longest statements the turn of one query is as long as.
const turnsOf = 2

// Ready tells whether the service works on messages and its store answers.
func (s *Service) Ready(ctx context.Context) error {
	if !s.ready.Load() {
		return fault.Unavailable.New("trace-store is starting")
	}
	return s.deps.ClickHouse.Ping(ctx)
}

// Run brings the tables up to date, waiting for ClickHouse if need be, and
// works until ctx ends; then it ends what it has begun and gives back the rest.
// It returns nil after a clean stop.
func (s *Service) Run(ctx context.Context) (err error) {
	if err := s.migrate(ctx); err != nil {
		return process.UnlessStopped(ctx, err)
	}
	publisher, err := s.deps.Broker.Publisher()
	if err != nil {
		return fmt.Errorf("open publisher: %w", err)
	}
	defer process.Closing(ctx, &err, publisher.Close)
	spans, err := s.runner(publisher)
	if err != nil {
		return err
	}
	reader := query.New(s.deps.ClickHouse, query.Limits{MaxSpans: s.cfg.TraceSpans, Timeout: s.cfg.QueryTimeout})
	statements, err := sql.New(ctx, s.deps.ClickHouse, sql.Limits{
		Rows: s.cfg.SQLRows, Memory: int64(s.cfg.SQLMemory), Timeout: s.cfg.SQLTimeout,
	})
	if err != nil {
		return err
	}
	defer process.Closing(ctx, &err, func(context.Context) error { return statements.Close() })
	turns := quota.NewTurns(s.cfg.Queries, quota.DefaultWait)
	if err := s.deps.Tenants.Register(s.deps.Stats, "trace_store", turns.Uses); err != nil {
		return err
	}
	asking := &desk.Desk{Tenants: s.deps.Tenants, Turns: turns, Turn: turnsOf * max(s.cfg.QueryTimeout, s.cfg.SQLTimeout)}
	tracev1.RegisterTraceServiceServer(s.deps.Server, &traces{reader: reader, sql: statements, metrics: s.metrics, Desk: asking})
	book := receipt.New(receipt.Config{
		Signal: event.SignalSpans, Topic: event.Spans, Group: event.GroupTraceStore,
		Source: event.SpanReceipts, Receipts: store.ReceiptsTable, Settled: store.LedgerTable, Written: store.LedgerWritten, Retention: s.cfg.Retention,
	}, s.deps.ClickHouse, s.deps.Broker.Admin().Lag)
	ledgerv1.RegisterLedgerServiceServer(s.deps.Server, &ledger{reader: reader, book: book, Desk: asking})
	s.ready.Store(true)
	defer s.ready.Store(false)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.deps.Server.Serve(ctx, s.deps.Listener) })
	group.Go(func() error { return spans.Run(ctx) })
	group.Go(func() error {
		return book.Run(ctx, receipt.Work{
			Broker: s.deps.Broker, Member: name, Drain: s.cfg.Drain, Log: s.deps.Log, Stats: s.deps.Stats,
		})
	})
	return group.Wait()
}

func (s *Service) migrate(ctx context.Context) error {
	return migration.WhenUp(ctx, s.deps.Log, "clickhouse", func(ctx context.Context) error {
		if err := s.deps.ClickHouse.Migrate(ctx, schema.SpansOwner, schema.Spans()); err != nil {
			return err
		}
		return store.SetRetention(ctx, s.deps.ClickHouse, s.cfg.Retention)
	})
}

func (s *Service) runner(publisher broker.Publisher) (*runner.Runner, error) {
	w := &worker{
		metrics: s.metrics,
		writer: store.NewWriter(s.deps.ClickHouse, store.WriterConfig{
			Blocks: s.cfg.Parallel, MaxBlock: int(s.cfg.Block), Step: runner.Step, Flushed: s.metrics.flushed,
			Announce: announcer{publisher}.announce,
		}),
	}
	return runner.New(runner.Config{
		Broker: s.deps.Broker,
		Consumer: broker.ConsumerConfig{
			Topic: event.Spans, Group: event.GroupTraceStore, Member: name,
			MaxMessages: s.cfg.Messages, MaxBytes: int(s.cfg.Bytes), Linger: s.cfg.Linger, MaxInFlight: s.cfg.Parallel,
		},
		Handler: w.handle, OnPark: w.parked, Drain: s.cfg.Drain, Log: s.deps.Log,
	})
}
