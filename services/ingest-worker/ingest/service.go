package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
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
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/identity/authcheck"
	"github.com/driftmesh/driftmesh/internal/migration"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/profiles"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/receipt"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/admit"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/deadletter"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// name is how the service calls itself, in tokens and as a group member.
const name = "ingest-worker"

// Config is what can be set.
type Config struct {
	Listen   string        `help:"Address for other services." default:"127.0.0.1:50064" placeholder:"HOST:PORT"`
	Messages int           `help:"Most messages in one insert." default:"2000"`
	Bytes    settings.Size `help:"Most bytes of messages in one insert. The service's memory is up to ten times this, times parallel and one." default:"8MiB"`
	Linger   time.Duration `help:"How long the first message of an insert waits for others." default:"200ms"`
	Parallel int           `help:"Inserts at a time." default:"2"`
	Drain    time.Duration `help:"How long inserts may run on when the service stops." default:"15s"`
	Profiles int           `help:"Profiles kept in memory." default:"1000"`

	Inbox       InboxConfig       `embed:"" prefix:"inbox-"`
	Scouter     ScouterConfig     `embed:"" prefix:"scouter-"`
	DeadLetters deadletter.Config `embed:"" prefix:"dead-letters."`
}

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	for setting, ok := range map[string]bool{
		"messages: must be at least 1": c.Messages >= 1,
		"bytes: must be at least 1KiB": c.Bytes >= 1<<10,
		"linger: must be positive":     c.Linger > 0,
		"parallel: must be at least 1": c.Parallel >= 1,
		"drain: must be positive":      c.Drain > 0,
		"profiles: must be at least 1": c.Profiles >= 1,
	} {
		if !ok {
			errs = append(errs, errors.New(name+"."+setting))
		}
	}
	if err := c.Inbox.check(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	if err := c.Scouter.check(); err != nil {
		errs = append(errs, fmt.Errorf("%s.%w", name, err))
	}
	if err := c.DeadLetters.Check(); err != nil {
		errs = append(errs, fmt.Errorf("%s.dead-letters.%w", name, err))
	}
	return errors.Join(errs...)
}

// Deps is what the service needs from outside. Every field is required.
type Deps struct {
	Broker     broker.Broker // with topic and group provisioned by the first message
	ClickHouse *clickhouse.DB
	Drift      driftv1.DriftServiceClient // calls carry the identity in their context
	Identify   admit.Identify             // of producers on the topic inbox, by their credentials
	Secrets    *identity.Secrets          // of the mesh
	Tenants    *quota.Book                // limits of tenants, which somebody keeps up to date; nil for none
	Server     *rpc.Server                // answers services; the service registers itself on it
	Listener   net.Listener
	Sources    []Source // where Scouter's clients publish; may be none
	Log        *slog.Logger
	Stats      prometheus.Registerer
}

// queries is how many questions are answered at a time, and turn how long each has its
// place.
const queries, turn = 4, 30 * time.Second

// Service is ingest-worker. Run it once.
type Service struct {
	cfg     Config
	deps    Deps
	store   *store.Store
	letters *deadletter.Service
	metrics *metrics
	desk    *desk.Desk
	ready   atomic.Bool
}

// New builds the service from open dependencies. It starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	metrics, err := newMetrics(deps.Stats)
	if err != nil {
		return nil, err
	}
	if _, err := cfg.Inbox.caller(deps); err != nil {
		return nil, err
	}
	if deps.Tenants == nil {
		deps.Tenants = quota.NewBook(quota.Limits{})
	}
	turns := quota.NewTurns(queries, quota.DefaultWait)
	if err := deps.Tenants.Register(deps.Stats, "ingest", turns.Uses); err != nil {
		return nil, err
	}
	letters, err := deadletter.New(cfg.DeadLetters, deadletter.Deps{
		Broker: deps.Broker, ClickHouse: deps.ClickHouse, Member: name, Drain: cfg.Drain, Log: deps.Log, Stats: deps.Stats,
	})
	if err != nil {
		return nil, err
	}
	return &Service{
		cfg: cfg, deps: deps, store: store.New(deps.ClickHouse), letters: letters, metrics: metrics,
		desk: &desk.Desk{Tenants: deps.Tenants, Turns: turns, Turn: turn},
	}, nil
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
	drift, err := env.Neighbour(name, "drift")
	if err != nil {
		return err
	}
	defer process.Closing(ctx, &err, func(context.Context) error { return drift.Close() })
	auth, err := env.Neighbour(name, "auth")
	if err != nil {
		return err
	}
	defer process.Closing(ctx, &err, func(context.Context) error { return auth.Close() })
	checker, err := authcheck.New(auth, name, cfg.Inbox.anonymous())
	if err != nil {
		return err
	}
	server, err := env.ServiceServer(name, cfg.Listen)
	if err != nil {
		return err
	}
	secrets, err := env.Secrets()
	if err != nil {
		return err
	}
	listener, err := server.Listen(ctx)
	if err != nil {
		return fmt.Errorf("%w (setting %s.listen)", err, name)
	}
	defer listener.Close() //nolint:errcheck // the server has closed it, or never got to
	sources, err := openSources(ctx, cfg, env)
	defer process.Closing(ctx, &err, func(ctx context.Context) error { return closeSources(ctx, sources) })
	if err != nil {
		return err
	}
	service, err := New(cfg, Deps{
		Broker: b, ClickHouse: db, Drift: driftv1.NewDriftServiceClient(drift),
		Identify: checker.Authenticate, Secrets: secrets, Tenants: quota.NewBook(quota.Defaults()),
		Server: server, Listener: listener, Sources: sources, Log: env.Log, Stats: env.Stats,
	})
	if err != nil {
		return err
	}
	env.Ready(name, service.Ready)
	topics := env.Topics(b, event.Inbox, event.Retry(event.Inbox), event.Records, event.Retry(event.Records),
		event.RecordReceipts, event.Spans, event.Windows)
	if err := topics.Provision(ctx); err != nil {
		return process.UnlessStopped(ctx, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return checker.Run(ctx) })
	group.Go(func() error { return service.deps.Tenants.Follow(ctx, auth, name) })
	group.Go(func() error { return topics.Keep(ctx) })
	group.Go(func() error { return service.Run(ctx) })
	return group.Wait()
}

// closeTimeout bounds what must still be written when the service stops.
const closeTimeout = 5 * time.Second

// Ready tells whether the service works on messages and its store answers.
func (s *Service) Ready(ctx context.Context) error {
	if !s.ready.Load() {
		return fault.Unavailable.New("ingest-worker is starting")
	}
	return s.store.Ping(ctx)
}

// Run brings the tables up to date, waiting for ClickHouse if need be, and
// works until ctx ends; then it ends what it has begun and gives back the rest.
// It returns nil after a clean stop.
func (s *Service) Run(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return process.UnlessStopped(ctx, err)
	}
	runners, publisher, err := s.runners()
	if err != nil {
		return err
	}
	x, err := s.newInbox(publisher)
	if err != nil {
		return err
	}
	inbox, err := s.inboxRunners(x)
	if err != nil {
		return err
	}
	sources, err := s.sourceRunners(x)
	if err != nil {
		return err
	}
	book := receipt.New(receipt.Config{
		Signal: event.SignalRecords, Topic: event.Records, Retry: event.Retry(event.Records), Group: event.GroupIngest,
		Source: event.RecordReceipts, Receipts: store.ReceiptsTable, Settled: store.LedgerTable, Written: store.LedgerWritten,
	}, s.deps.ClickHouse, s.deps.Broker.Admin().Lag)
	ledgerv1.RegisterLedgerServiceServer(s.deps.Server, &server{
		store: s.store, book: book, lag: s.deps.Broker.Admin().Lag, drift: s.deps.Drift, Desk: s.desk,
	})
	recordv1.RegisterRecordServiceServer(s.deps.Server, newRecordServer(s.store, s.deps.Drift, s.cfg.Profiles, s.desk))
	s.letters.Register(s.deps.Server)
	s.ready.Store(true)
	defer s.ready.Store(false)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.deps.Server.Serve(ctx, s.deps.Listener) })
	for _, r := range slices.Concat(runners, inbox, sources) {
		group.Go(func() error { return r.Run(ctx) })
	}
	group.Go(func() error {
		return book.Run(ctx, receipt.Work{
			Broker: s.deps.Broker, Member: name, Drain: s.cfg.Drain, Log: s.deps.Log, Stats: s.deps.Stats,
		})
	})
	group.Go(func() error { return s.letters.Run(ctx) })
	err = group.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, publisher.Close(last))
}

func (s *Service) migrate(ctx context.Context) error {
	return migration.WhenUp(ctx, s.deps.Log, "clickhouse", func(ctx context.Context) error {
		if err := s.store.Migrate(ctx); err != nil {
			return err
		}
		return s.letters.Migrate(ctx)
	})
}

// absentFor is how long it is believed that a profile does not exist. The door
// has seen it, so one that is not there is most likely a forgery.
const absentFor = 2 * time.Second

// swell is how much larger than its messages a block may become: a record that
// names few of a profile's many features takes room for all of them.
const swell = 4

// runners makes the runners of the topic records and of its retry topic, and the
// publisher that their handler announces windows with.
func (s *Service) runners() ([]*runner.Runner, broker.Publisher, error) {
	publisher, err := s.deps.Broker.Publisher()
	if err != nil {
		return nil, nil, fmt.Errorf("open publisher: %w", err)
	}
	w := &worker{
		store: s.store, publisher: publisher, metrics: s.metrics,
		profiles: profiles.New(profiles.Config{Size: s.cfg.Profiles, Absent: absentFor}, loadFrom(s.deps.Drift)),
	}
	w.units.New = func() any { return newUnit(swell * int(s.cfg.Bytes)) }
	runners, err := withRetry(runner.Config{
		Broker: s.deps.Broker,
		Consumer: broker.ConsumerConfig{
			Topic: event.Records, Group: event.GroupIngest, Member: name,
			MaxMessages: s.cfg.Messages, MaxBytes: int(s.cfg.Bytes), Linger: s.cfg.Linger, MaxInFlight: s.cfg.Parallel,
		},
		Handler: w.handle, OnPark: w.parked, Drain: s.cfg.Drain, Log: s.deps.Log,
	})
	if err != nil {
		return nil, nil, err
	}
	return runners, publisher, nil
}
