package drift

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/migration"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/notify"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Deps is what the service needs from outside. Every field but Now is required.
type Deps struct {
	State      *sqlstate.DB   // schema store.Schema, migrated or not
	ClickHouse *clickhouse.DB // with the tables of ingest-worker by the first touched window
	Broker     broker.Broker  // with topics and groups provisioned
	Server     *rpc.Server    // answers services; the service registers itself on it
	Listener   net.Listener
	Traces     tracev1.TraceServiceClient // calls carry the identity in their context
	Tenants    *quota.Book                // limits of tenants, which somebody keeps up to date; nil for none
	Log        *slog.Logger
	Stats      prometheus.Registerer
	Now        func() time.Time // nil means time.Now; tests turn the clock
}

// Service is drift. Run it once.
type Service struct {
	cfg    Config
	deps   Deps
	owner  string // names this worker in leases of deliveries
	sched  *scheduler
	routes *route.Table
	turns  *quota.Turns // of calls that compute
	ready  atomic.Bool
}

// New builds the service from open dependencies. It starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	metrics, err := newMetrics(deps.Stats)
	if err != nil {
		return nil, err
	}
	if deps.Tenants == nil {
		deps.Tenants = quota.NewBook(quota.Limits{})
	}
	turns := quota.NewTurns(cmp.Or(cfg.Queries, 4), quota.DefaultWait)
	if err := deps.Tenants.Register(deps.Stats, name, turns.Uses); err != nil {
		return nil, err
	}
	routes, err := cfg.routes(route.Deps{Log: deps.Log, Now: deps.Now})
	if err != nil {
		return nil, err
	}
	metrics.addRoutes(routes.Names())
	state := store.NewState(deps.State)
	engine := &engine{
		cfg: cfg, state: state, cells: store.NewCells(deps.ClickHouse), profiles: newProfileCache(state, cfg.Profiles, deps.Now),
		sources: &sources{state: state, now: deps.Now}, traces: deps.Traces, away: &rate.Sometimes{Interval: time.Minute}, log: deps.Log,
		metrics: metrics, now: deps.Now,
	}
	return &Service{cfg: cfg, deps: deps, owner: uuid.NewString(), routes: routes, turns: turns, sched: &scheduler{engine: engine, log: deps.Log}}, nil
}

// Run opens what cfg and env name, serves until ctx ends, drains, and closes
// what it opened. It waits for the broker and the stores.
func Run(ctx context.Context, cfg Config, env process.Env) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	state, err := sqlstate.Open(ctx, env.Shared.SQL.URL.Reveal(), store.Schema)
	if err != nil {
		return fmt.Errorf("open state (setting sql.url): %w", err)
	}
	defer process.Closing(ctx, &err, func(context.Context) error { return state.Close() })
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
	traces, err := env.Neighbour(name, "trace-store") // for the traces of records; those wait for it
	if err != nil {
		return fmt.Errorf("mesh.trace-store: %w", err)
	}
	defer process.Closing(ctx, &err, func(context.Context) error { return traces.Close() })
	listener, err := server.Listen(ctx)
	if err != nil {
		return fmt.Errorf("%w (setting %s.listen)", err, name)
	}
	defer listener.Close() //nolint:errcheck // the server has closed it, or never got to
	service, err := New(cfg, Deps{
		State: state, ClickHouse: db, Broker: b, Server: server, Listener: listener, Traces: tracev1.NewTraceServiceClient(traces),
		Tenants: quota.NewBook(quota.Defaults()),
		Log:     env.Log, Stats: env.Stats,
	})
	if err != nil {
		return err
	}
	env.Ready(name, service.Ready)
	topics := env.Topics(b, event.Windows, event.Alerts)
	if err := topics.Provision(ctx); err != nil {
		return process.UnlessStopped(ctx, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return topics.Keep(ctx) })
	group.Go(func() error { return service.deps.Tenants.Follow(ctx, auth, name) })
	group.Go(func() error { return service.Run(ctx) })
	return group.Wait()
}

// closeTimeout bounds what must still be
// written when the service stops.
const closeTimeout = 5 * time.Second

// Ready tells whether the service works and its stores answer.
func (s *Service) Ready(ctx context.Context) error {
	if !s.ready.Load() {
		return fault.Unavailable.New("drift is starting")
	}
	return errors.Join(s.sched.state.Ping(ctx), s.sched.cells.Ping(ctx))
}

// Run brings the stores up to date, waiting for them if need be, and works until
// ctx ends; then it ends what it has begun and gives back the rest. It returns
// nil after a clean stop.
func (s *Service) Run(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return process.UnlessStopped(ctx, err)
	}
	windows, err := s.runner(event.Windows, event.GroupDrift, s.sched.onWindows)
	if err != nil {
		return err
	}
	alerts, err := s.runner(event.Alerts, event.GroupNotifier, (&dispatch{
		metrics: s.sched.metrics, now: s.deps.Now, dispatcher: notify.Dispatcher{Routes: s.routes, To: s.sched.state},
	}).onAlerts)
	if err != nil {
		return err
	}
	publish, err := s.deps.Broker.Publisher()
	if err != nil {
		return fmt.Errorf("open publisher: %w", err)
	}
	driftv1.RegisterDriftServiceServer(s.deps.Server, &server{
		engine: s.sched.engine, routes: s.routes, sched: s.sched, tenants: s.deps.Tenants, turns: s.turns, topics: s.deps.Broker.Admin(),
	})
	driftv1.RegisterTagServiceServer(s.deps.Server, &tags{state: s.sched.state, now: s.deps.Now})
	s.ready.Store(true)
	defer s.ready.Store(false)
	err = s.work(ctx, windows, alerts, &publisher{state: s.sched.state, to: publish})
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, publish.Close(last))
}

// Less urgent work is looked for this often.
const (
	measureEvery = 10 * time.Second
	forgetEvery  = time.Hour
	unmuteEvery  = 2 * time.Second
	// rememberFor is how long a delivered event is known, which must be longer
	// than the broker keeps one, and a silence that is over.
	rememberFor = 30 * 24 * time.Hour
)

// work runs everything until ctx ends or a part fails.
func (s *Service) work(ctx context.Context, windows, alerts *runner.Runner, publisher *publisher) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.deps.Server.Serve(ctx, s.deps.Listener) })
	group.Go(func() error { return windows.Run(ctx) })
	group.Go(func() error { return alerts.Run(ctx) })
	for _, w := range []struct {
		what  string
		pause time.Duration
		look  func(context.Context) error
	}{
		{"outbox", s.cfg.Poll, publisher.publish},
		{"measure", measureEvery, s.sched.measure},
		{"feeds", s.cfg.Poll, s.sched.listen},
		{"measure deliveries", measureEvery, s.measureDeliveries},
		{"measure alerts", measureEvery, s.measureAlerts},
		{"silences", unmuteEvery, func(ctx context.Context) error { return s.sched.state.Unmute(ctx, s.deps.Now()) }},
		{"forget", forgetEvery, s.forget},
	} {
		group.Go(func() error { return every(ctx, w.pause, s.deps.Log, w.what, w.look) })
	}
	for what, next := range map[string]claim{"windows": s.sched.nextWindows, "slots": s.sched.nextSlot, "late": s.sched.nextLate} {
		crew := newCrew(what, s.cfg.abreast(), s.deps.Log, next)
		group.Go(func() error { return crew.run(ctx, s.cfg.Poll) })
	}
	for _, name := range s.routes.Names() {
		courier := s.courier(name)
		group.Go(func() error { return every(ctx, s.cfg.Poll, s.deps.Log, "route "+name, courier.Work) })
		if _, ok := courier.Route.(route.Refresher); ok {
			refresher := s.courier(name)
			group.Go(func() error {
				return every(ctx, s.cfg.Poll, s.deps.Log, "route "+name, refresher.Refresh)
			})
		}
	}
	return group.Wait()
}

func (s *Service) courier(name string) *notify.Courier {
	to, timeout := s.routes.Route(name)
	return &notify.Courier{
		Name: name, Route: to, Timeout: timeout, Owner: s.owner, Queue: s.sched.state, Metrics: s.sched.metrics, Log: s.deps.Log, Now: s.deps.Now,
	}
}

// measureDeliveries shows what waits of each route. One that is not configured
// any more shows too.
func (s *Service) measureDeliveries(ctx context.Context) error {
	found, err := s.sched.state.DeliveryBacklog(ctx)
	if err != nil {
		return fmt.Errorf("measure deliveries: %w", err)
	}
	s.sched.metrics.undelivered.Reset()
	s.sched.metrics.undeliveredBy.Reset()
	for _, name := range s.routes.Names() {
		s.sched.metrics.backlog(name, 0, 0)
	}
	for name, b := range found {
		s.sched.metrics.backlog(name, float64(b.Waiting), max(s.deps.Now().Sub(b.Oldest).Seconds(), 0))
	}
	return nil
}

// measureAlerts shows how many alerts are open.
func (s *Service) measureAlerts(ctx context.Context) error {
	waiting, acknowledged, err := s.sched.state.OpenAlerts(ctx)
	if err != nil {
		return fmt.Errorf("measure alerts: %w", err)
	}
	s.sched.metrics.alertsOpen(waiting, acknowledged)
	return nil
}

// forget gives up what was tried for too long, and forgets what is long over.
func (s *Service) forget(ctx context.Context) error {
	now := s.deps.Now()
	given, err := s.sched.state.GiveUpDeliveries(ctx, now.Add(-s.cfg.Keep), now)
	for route, n := range given {
		s.sched.metrics.givenUp(route, n)
		s.deps.Log.Error("news were given up", slog.String("route", route), slog.Int("deliveries", n), slog.Duration("after", s.cfg.Keep))
	}
	return errors.Join(err, s.sched.state.ForgetDeliveries(ctx, now.Add(-rememberFor)), s.sched.state.ForgetSilences(ctx, now.Add(-rememberFor)),
		s.sched.state.ForgetVerdicts(ctx, now.Add(-s.cfg.Late), s.cfg.Insufficient), s.sched.state.ForgetTags(ctx, "trace", now.Add(-traceTags)))
}

func (s *Service) runner(topic, groupName string, handler runner.Handler) (*runner.Runner, error) {
	return runner.New(runner.Config{
		Broker:   s.deps.Broker,
		Consumer: broker.ConsumerConfig{Topic: topic, Group: groupName, Member: name, MaxInFlight: s.cfg.Parallel},
		Handler:  handler, Drain: s.cfg.Drain, Log: s.deps.Log,
	})
}

func (s *Service) migrate(ctx context.Context) error {
	if err := s.sched.state.Migrate(ctx, s.deps.Log); err != nil {
		return err
	}
	return migration.WhenUp(ctx, s.deps.Log, "clickhouse", s.sched.cells.Migrate)
}
