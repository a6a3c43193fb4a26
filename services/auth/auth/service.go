package auth

import (
	"cmp"
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
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc"
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
	TokenLife         time.Duration   `help:"How long an access token is good. A client gets the next with its refresh token." default:"10m"`
	SessionLife       time.Duration   `help:"How long after a login refresh tokens get new access tokens." default:"720h"`
	KeyLife           time.Duration   `help:"How long an API key is good that is made without an end; 0 for ever." default:"2160h"`
	SigningKeyLife    time.Duration   `help:"How long a key signs tokens before the next takes its place; 0 for ever." default:"720h"`
	SigningKeyLead    time.Duration   `help:"How long a new key is published before it signs, so that nobody meets a token whose key is not known there yet. Everybody looks once a minute, and anew for a key that is not known, every 3 s." default:"2m"`

	ScouterAccounts bool `help:"Let in the accounts that Scouter's clients log in as when they are told no other: guest with password guest, and admin with password admin, both as editors of tenant default. Whoever reaches the gateway knows them."`

	Limits quota.Config `embed:"" prefix:"limits."`

	OIDC settings.Tree[oidc.Configs] `name:"oidc" help:"OpenID providers at which users log in and whose tokens are exchanged, by name (docs/security.md)." placeholder:"YAML"`

	// Hashing is how much work a password is; the zero value is right, and
	// tests ask for less.
	Hashing account.HashParams `kong:"-"`
}

// signingKeyLead is twice as long as it takes until everybody who verifies has
// fetched the keys again, so that no token is met by somebody who lacks its key.
const signingKeyLead = 2 * time.Minute

// minSigningKeyLead is how soon whoever meets an unknown key asks again.
const minSigningKeyLead = 3 * time.Second

// Bounds of Config.TokenLife: where auth cannot be heard, its life bounds how
// long somebody stays who was sent away.
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
	if c.SessionLife < c.TokenLife {
		errs = append(errs, errors.New("auth.session-life: must not be shorter than auth.token-life"))
	}
	if c.KeyLife < 0 || c.SigningKeyLife != 0 && c.SigningKeyLife < time.Hour {
		errs = append(errs, errors.New("auth.key-life: must not be negative; auth.signing-key-life: must be 0 or at least 1h"))
	}
	if err := c.Limits.Check("auth.limits."); err != nil {
		errs = append(errs, err)
	}
	if c.SigningKeyLead != 0 && c.SigningKeyLead < minSigningKeyLead {
		errs = append(errs, fmt.Errorf("auth.signing-key-lead: must be at least %s", minSigningKeyLead))
	}
	if c.BootstrapPassword != "" {
		if err := account.CheckNewPassword(c.BootstrapPassword.Reveal(), identity.MeshTenant, FirstAdmin); err != nil {
			errs = append(errs, fmt.Errorf("auth.bootstrap-password: %w", err))
		}
	}
	return errors.Join(append(errs, c.OIDC.Value.Check("auth.oidc"))...)
}

// Deps is what the service needs from outside. Every field is required.
type Deps struct {
	State    *sqlstate.DB // schema "auth", migrated or not
	Server   *rpc.Server  // answers services; the service registers itself on it
	Listener net.Listener
	Secrets  *identity.Secrets // the mesh secrets
	Log      *slog.Logger
	Stats    prometheus.Registerer
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
	server, err := env.ServiceServer("auth", cfg.Listen)
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
		Secrets: secrets, Log: env.Log, Stats: env.Stats,
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
	chain := newChain(s.store, s.deps.Secrets, s.deps.Log)
	auditv1.RegisterAuditServiceServer(s.deps.Server, &auditServer{chain: chain})
	devices := token.NewDevices(s.deps.Secrets)
	outside, err := newOutside(s.cfg.OIDC.Value, s.deps.Secrets, s.store, s.deps.Log)
	if err != nil {
		return err
	}
	defer outside.providers.Close()
	group, ctx := errgroup.WithContext(ctx)
	used, login := newUsage(s.store), account.NewLogin(s.store, hasher)
	authv1.RegisterAuthServiceServer(s.deps.Server, &server{
		cfg: s.cfg, stopping: ctx, store: s.store, hasher: hasher, ring: ring, devices: devices, metrics: metrics, used: used,
		login: login, recall: account.NewRecall(login, s.store), standing: token.NewStanding(s.deps.Secrets), outside: outside, log: s.deps.Log,
	})
	s.ready.Store(true)
	defer s.ready.Store(false)
	group.Go(func() error { return s.deps.Server.Serve(ctx, s.deps.Listener) })
	group.Go(func() error { return chain.run(ctx) })
	group.Go(func() error { return outside.account.Run(ctx) })
	group.Go(func() error { return s.tend(ctx, ring, used) })
	return group.Wait()
}

const (
	// tendEvery is how often signing keys are looked at: how long it takes a
	// replica to publish a key that another has made, and to seal the keys with a new
	// mesh secret. The next rotation of that takes longer.
	tendEvery = 5 * time.Second
	// tendTimeout bounds one look.
	tendTimeout = 5 * time.Second
)

// tend does now and then what nobody waits for, until ctx ends.
func (s *Service) tend(ctx context.Context, ring *token.Ring, used *usage) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-tick.C:
		}
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), tendTimeout)
		err := used.flush(look)
		if running {
			err = errors.Join(err, ring.Refresh(look))
		}
		cancel()
		if err != nil {
			s.deps.Log.Warn("signing keys or the use of API keys could not be brought up to date", telemetry.Err(err))
		}
	}
	return nil
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
	return token.Load(ctx, s.store, s.deps.Secrets, token.Rotation{
		Every: s.cfg.SigningKeyLife, Lead: cmp.Or(s.cfg.SigningKeyLead, signingKeyLead),
		// As long as a token lives that was signed at the last moment.
		Keep: s.cfg.TokenLife + time.Minute,
	})
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
	hash, err := hasher.Hash(ctx, account.Place{Known: true}, s.cfg.BootstrapPassword.Reveal())
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
