package auth

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

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// FirstAdmin is the user name of the administrator that a bootstrap password
// makes, in the tenant identity.MeshTenant.
const FirstAdmin = "admin"

// Config is what can be set.
type Config struct {
	Listen            string          `help:"Address for other services." default:"127.0.0.1:50061" placeholder:"HOST:PORT"`
	BootstrapPassword settings.Secret `help:"Password of the first administrator (user admin of tenant driftmesh), used while there is none; file:PATH reads it from a file."`
	TokenLife         time.Duration   `help:"How long a token is good." default:"15m"`

	// Hashing is how much work a password is; the zero value is right, and
	// tests ask for less.
	Hashing account.HashParams `kong:"-"`
}

// Bounds of Config.TokenLife: a token cannot be called back, so its life bounds
// how long somebody stays who was sent away.
const (
	minTokenLife = time.Minute
	maxTokenLife = 24 * time.Hour
)

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.TokenLife < minTokenLife || c.TokenLife > maxTokenLife {
		errs = append(errs, fmt.Errorf("auth.token-life: must be from %s to %s", minTokenLife, maxTokenLife))
	}
	if c.BootstrapPassword != "" {
		if err := account.CheckPassword(c.BootstrapPassword.Reveal()); err != nil {
			errs = append(errs, fmt.Errorf("auth.bootstrap-password: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Deps is what the service needs from outside. Every field is required.
type Deps struct {
	State    *sqlstate.DB // schema "auth", migrated or not
	Server   *rpc.Server  // answers services; the service registers itself on it
	Listener net.Listener
	Secret   []byte // the mesh secret
	Log      *slog.Logger
	Stats    prometheus.Registerer
}

// OpenMethods are the methods that Deps.Server must answer without a token.
func OpenMethods() []string {
	return []string{authv1.AuthService_Login_FullMethodName, authv1.AuthService_ListKeys_FullMethodName}
}

// Service is auth. Run it once.
type Service struct {
	cfg   Config
	deps  Deps
	store *store.Store
	ready atomic.Bool
}

// New builds the service from open dependencies. It starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Service{cfg: cfg, deps: deps, store: store.New(deps.State)}, nil
}

// Run opens what cfg and env name, serves until ctx ends, and closes what it
// opened. It waits for the state store.
func Run(ctx context.Context, cfg Config, env process.Env) (err error) {
	state, err := sqlstate.Open(ctx, env.Shared.SQL.URL.Reveal(), store.Schema)
	if err != nil {
		return fmt.Errorf("open state (setting sql.url): %w", err)
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	server, err := env.ServiceServer("auth", cfg.Listen, OpenMethods()...)
	if err != nil {
		return err
	}
	secrets, err := env.Secrets()
	if err != nil {
		return err
	}
	listener, err := server.Listen(ctx)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // the server has closed it, or never got to
	service, err := New(cfg, Deps{
		State: state, Server: server, Listener: listener,
		Secret: secrets.First(), Log: env.Log, Stats: env.Stats,
	})
	if err != nil {
		return err
	}
	env.Ready("auth", service.Ready)
	return service.Run(ctx)
}

// Ready tells whether the service answers and its store does.
func (s *Service) Ready(ctx context.Context) error {
	if !s.ready.Load() {
		return fault.Unavailable.New("auth is starting")
	}
	return s.deps.State.Ping(ctx)
}

// Run brings the store up to date, waiting for it if need be, and serves until
// ctx ends. It returns nil after a clean stop.
func (s *Service) Run(ctx context.Context) error {
	ring, err := s.prepare(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	hasher := account.NewHasher(s.cfg.Hashing)
	if err := s.bootstrap(ctx, hasher); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	metrics, err := newMetrics(s.deps.Stats, hasher)
	if err != nil {
		return err
	}
	chain, err := newChain(s.store, s.deps.Secret, s.deps.Log)
	if err != nil {
		return err
	}
	auditv1.RegisterAuditServiceServer(s.deps.Server, &auditServer{chain: chain})
	authv1.RegisterAuthServiceServer(s.deps.Server, &server{
		store: s.store, hasher: hasher, ring: ring, metrics: metrics,
		login: account.NewLogin(s.store, hasher), tokenLife: s.cfg.TokenLife,
	})
	s.ready.Store(true)
	defer s.ready.Store(false)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return chain.run(ctx) })
	group.Go(func() error { return s.deps.Server.Serve(ctx, s.deps.Listener) })
	return group.Wait()
}

// prepare makes the schema and the signing key.
func (s *Service) prepare(ctx context.Context) (*token.Ring, error) {
	migrations, err := store.Migrations()
	if err != nil {
		return nil, err
	}
	if err := s.deps.State.MigrateWhenUp(ctx, migrations, s.deps.Log); err != nil {
		return nil, err
	}
	return token.Load(ctx, s.store, s.deps.Secret)
}

// bootstrap makes the tenants that always exist and, if asked to and nobody is
// there yet, the first administrator.
func (s *Service) bootstrap(ctx context.Context, hasher *account.Hasher) error {
	now := time.Now()
	for _, name := range []string{identity.DefaultTenant, identity.MeshTenant} {
		if err := s.store.EnsureTenant(ctx, account.Tenant{Name: name, Created: now}); err != nil {
			return err
		}
	}
	has, err := s.store.HasUsers(ctx, identity.MeshTenant)
	if err != nil || has {
		return err
	}
	if s.cfg.BootstrapPassword == "" {
		s.deps.Log.Info("there is no administrator yet; set auth.bootstrap-password to make one")
		return nil
	}
	hash, err := hasher.Hash(ctx, s.cfg.BootstrapPassword.Reveal())
	if err != nil {
		return err
	}
	added, err := s.store.AddFirstUser(ctx, account.User{
		Tenant: identity.MeshTenant, Name: FirstAdmin, Grant: policy.As(policy.Admin), Hash: hash, Created: now,
	}, "bootstrap")
	if added {
		s.deps.Log.Info("made the first administrator", slog.String("tenant", identity.MeshTenant), slog.String("user", FirstAdmin))
	}
	return err
}
