package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
)

// Config is what can be set.
type Config struct {
	Retention time.Duration `help:"How long dead letters are kept to be looked at and redriven; 0 is for ever." default:"720h"`
}

// MinRetention is the shortest time that letters can be kept.
const MinRetention = time.Hour

// Check reports a setting that cannot work.
func (c Config) Check() error {
	if c.Retention != 0 && c.Retention < MinRetention {
		return fmt.Errorf("retention: must be 0 or at least %s", MinRetention)
	}
	return nil
}

// Deps is what the service needs from outside. Every field is required.
type Deps struct {
	Broker     broker.Broker
	ClickHouse *clickhouse.DB
	Member     string        // of the groups
	Drain      time.Duration // how long writes may run on when it stops
	Log        *slog.Logger
	Stats      prometheus.Registerer
}

// Service moves dead letters into the store, shows and redrives them. Migrate,
// then Register, then Run it once.
type Service struct {
	cfg       Config
	deps      Deps
	store     *Store
	metrics   *metrics
	publisher broker.Publisher // of redriven messages
}

// New makes the service. It starts nothing; Run must be called, and closes what
// New opened.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	m, err := newMetrics(deps.Stats)
	if err != nil {
		return nil, err
	}
	publisher, err := deps.Broker.Publisher()
	if err != nil {
		return nil, fmt.Errorf("open publisher of redriven messages: %w", err)
	}
	return &Service{cfg: cfg, deps: deps, store: NewStore(deps.ClickHouse), metrics: m, publisher: publisher}, nil
}

// Migrate brings the tables up to date.
func (s *Service) Migrate(ctx context.Context) error { return s.store.Migrate(ctx, s.cfg.Retention) }

// Register serves DeadLetterService on reg.
func (s *Service) Register(reg grpc.ServiceRegistrar) {
	deadletterv1.RegisterDeadLetterServiceServer(reg, &server{
		store: s.store, redriver: &redriver{store: s.store, publisher: s.publisher, metrics: s.metrics},
	})
}

// closeTimeout bounds what must still be done when the service stops.
const closeTimeout = 5 * time.Second

// Run moves letters until ctx ends, then ends what it has begun. It returns nil
// after a clean stop.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, topic := range event.Topics() {
		letters, err := s.runner(topic)
		if err != nil {
			return errors.Join(err, s.publisher.Close(ctx))
		}
		group.Go(func() error { return letters.Run(ctx) })
	}
	err := group.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, s.publisher.Close(last))
}

// Bounds of one insert.
const (
	maxLetters = 200
	maxBytes   = 4 << 20 // of messages; a larger one comes alone
	linger     = 200 * time.Millisecond
)

// runner makes the runner of a topic's DLQ. Nothing is ever parked from there:
// there is no further place to go.
func (s *Service) runner(topic string) (*runner.Runner, error) {
	return runner.New(runner.Config{
		Broker: s.deps.Broker,
		Consumer: broker.ConsumerConfig{
			Topic: broker.DLQ(topic), Group: event.GroupDeadLetters, Member: s.deps.Member,
			MaxMessages: maxLetters, MaxBytes: maxBytes, Linger: linger, MaxInFlight: 1,
		},
		Handler: s.handle, MaxAttempts: math.MaxInt, MaxCrashes: -1,
		Drain: s.deps.Drain, Log: s.deps.Log,
	})
}

// retryRefused is how long a letter that the store refuses waits for the next
// attempt.
const retryRefused = time.Minute

// handle implements runner.Handler: letters are durable in the table before
// they leave the DLQ. An error that has nothing to do with one letter is waited
// out; a letter that the store refuses does not hold up its neighbours.
func (s *Service) handle(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	letters, contents := make([]Letter, len(ds)), make([]Content, len(ds))
	for i := range ds {
		letters[i], contents[i] = letterOf(&ds[i], broker.SealOf(s.deps.Broker))
	}
	err := s.write(ctx, letters, contents)
	if err == nil || fault.KindOf(err).Retryable() {
		return nil, err
	}
	verdicts, refused := make([]runner.Verdict, len(ds)), 0
	for i := range ds {
		if err := s.write(ctx, letters[i:i+1], contents[i:i+1]); err != nil {
			verdicts[i] = runner.Retry(retryRefused, fault.Unavailable.Wrap(err, "the dead letter cannot be stored"))
			refused++
		}
	}
	if refused == len(ds) {
		return nil, fault.Unavailable.Wrap(err, "dead letters cannot be stored")
	}
	return verdicts, nil
}

func (s *Service) write(ctx context.Context, letters []Letter, contents []Content) error {
	ctx, end := runner.Step(ctx, "store "+lettersTable)
	err := s.store.Write(ctx, letters, contents)
	end(err)
	if err == nil {
		s.metrics.stored(letters)
	}
	return err
}
