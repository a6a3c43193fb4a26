package auth_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/auth"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

func TestMain(m *testing.M) {
	code := sqltest.Main(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var meshSecret = bytes.Repeat([]byte("s3cret--"), 4)

const adminPassword = "correct horse"

// running is an auth service, with a client for each caller.
type running struct {
	t        *testing.T
	url      string
	listener *bufconn.Listener
	stats    *prometheus.Registry
	log      *lockedBuffer
	stop     func()
}

// lockedBuffer collects the log of a service.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func config() auth.Config {
	return auth.Config{
		BootstrapPassword: adminPassword, TokenLife: 15 * time.Minute, SessionLife: 24 * time.Hour,
		KeyLife: 90 * 24 * time.Hour, SigningKeyLife: 30 * 24 * time.Hour,
		Hashing: account.HashParams{MemoryKiB: 64, Passes: 1, Lanes: 1},
	}
}

func meshSecrets(t *testing.T) *identity.Secrets {
	t.Helper()
	secrets, err := identity.FixedSecrets(meshSecret)
	require.NoError(t, err)
	return secrets
}

// start runs auth as its own process would, but over bufconn.
func start(t *testing.T, url string, cfg auth.Config) *running {
	t.Helper()
	r := &running{t: t, url: url, listener: bufconn.Listen(1 << 20), stats: prometheus.NewRegistry(), log: &lockedBuffer{}}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	env := process.Env{Log: log, Stats: r.stats, Traces: noop.NewTracerProvider(),
		Shared: process.Shared{Mesh: process.Mesh{Secret: settings.SecretsOf(settings.Secret(meshSecret))}}}
	server, err := env.ServiceServer("auth", "")
	require.NoError(t, err)
	state, err := sqlstate.Open(t.Context(), url, "auth")
	require.NoError(t, err)
	service, err := auth.New(cfg, auth.Deps{State: state, Server: server, Listener: r.listener,
		Secrets: meshSecrets(t), Log: log, Stats: r.stats})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, state.Close())
	})
	t.Cleanup(r.stop)
	require.Eventually(t, func() bool { return service.Ready(t.Context()) == nil }, 20*time.Second, 5*time.Millisecond)
	return r
}

func (r *running) dial(creds credentials.PerRPCCredentials) authv1.AuthServiceClient {
	r.t.Helper()
	return authv1.NewAuthServiceClient(r.connect(creds))
}

func (r *running) connect(creds credentials.PerRPCCredentials) *grpc.ClientConn {
	r.t.Helper()
	conn, err := rpc.Dial(rpc.ClientConfig{Target: "passthrough:///auth", Credentials: creds,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return r.listener.DialContext(ctx)
		})}})
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// gateway is a client as the gateway has one.
func (r *running) gateway() authv1.AuthServiceClient {
	return r.dial(signer(r.t, meshSecret).Credentials("auth"))
}

func signer(t *testing.T, secret []byte) *identity.Signer {
	t.Helper()
	secrets, err := identity.FixedSecrets(secret)
	require.NoError(t, err)
	s, err := identity.NewSigner(secrets, "gateway")
	require.NoError(t, err)
	return s
}

// header sends a fixed authorization header.
type header string

func (h header) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(h)}, nil
}
func (header) RequireTransportSecurity() bool { return false }

func as(t *testing.T, id identity.Identity) context.Context {
	return identity.With(t.Context(), id)
}

var (
	meshAdmin = identity.Identity{Tenant: identity.MeshTenant, Subject: "admin", Kind: identity.User, Grant: policy.As(policy.Admin)}
	acmeAdmin = identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)}
	acmeUser  = identity.Identity{Tenant: "acme", Subject: "bob", Kind: identity.User, Grant: policy.As(policy.Viewer)}
	betaAdmin = identity.Identity{Tenant: "beta", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)}
	anonymous = identity.Identity{Tenant: identity.DefaultTenant, Subject: "anonymous", Kind: identity.Anonymous, Grant: policy.As(policy.Local)}
	gateway   = identity.ForService("gateway", identity.MeshTenant)
)

// verifier checks user tokens as the gateway does.
func verifier(client authv1.AuthServiceClient) *identity.TokenVerifier {
	jwks := identity.NewJWKS(func(ctx context.Context) (string, error) {
		res, err := client.ListKeys(ctx, &authv1.ListKeysRequest{})
		return res.GetJwks(), err
	})
	return identity.NewTokenVerifier(jwks, identity.TokenAudience, identity.TokenIssuer)
}

// keyCheck checks API keys as the gateway does.
func keyCheck(client authv1.AuthServiceClient) identity.KeyCheck {
	return func(ctx context.Context, key string) (identity.Identity, time.Time, error) {
		res, err := client.CheckAPIKey(identity.With(ctx, gateway), &authv1.CheckAPIKeyRequest{Key: key})
		if err != nil {
			return identity.Identity{}, time.Time{}, err
		}
		var ends time.Time
		if res.GetExpireTime() != nil {
			ends = res.GetExpireTime().AsTime()
		}
		grant, err := identity.GrantClaims{Role: res.GetRole(), Permissions: res.GetPermissions(), Spaces: res.GetSpaces()}.Grant(identity.Key)
		return identity.Identity{Tenant: res.GetTenant(), Subject: res.GetKeyId(), Kind: identity.Key, Grant: grant}, ends, err
	}
}

// The whole way of a person: the first administrator logs in, makes a tenant
// and its administrator, who makes a user, who logs in.
func TestFromTheFirstAdministratorToAUser(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		client := start(t, url, config()).gateway()
		tokens := verifier(client)
		login := func(tenant, user, password string) identity.Identity {
			t.Helper()
			res, err := client.Login(t.Context(), &authv1.LoginRequest{Tenant: tenant, Username: user, Password: password})
			require.NoError(t, err)
			require.WithinDuration(t, time.Now().Add(15*time.Minute), res.GetExpireTime().AsTime(), 10*time.Second)
			id, err := tokens.Verify(t.Context(), res.GetToken())
			require.NoError(t, err)
			return id
		}
		boss := login(identity.MeshTenant, "admin", adminPassword)
		require.Equal(t, meshAdmin, boss)

		tenant, err := client.CreateTenant(as(t, boss), &authv1.CreateTenantRequest{Name: "acme"})
		require.NoError(t, err)
		require.Equal(t, "acme", tenant.GetTenant().GetName())
		made, err := client.CreateUser(as(t, boss), &authv1.CreateUserRequest{Tenant: "acme", Username: "ann", Password: "ann's password", Admin: true})
		require.NoError(t, err)
		ann := login("acme", "ann", "ann's password")
		require.Equal(t, acmeAdmin, ann)

		_, err = client.CreateUser(as(t, ann), &authv1.CreateUserRequest{Username: "bob", Password: "bob's password"})
		require.NoError(t, err)
		require.Equal(t, acmeUser, login("acme", "bob", "bob's password"))

		users, err := client.ListUsers(as(t, ann), &authv1.ListUsersRequest{})
		require.NoError(t, err)
		require.Len(t, users.GetUsers(), 2)
		require.NotNil(t, users.GetUsers()[0].GetLastLoginTime())
		users.GetUsers()[0].LastLoginTime = nil
		require.Equal(t, made.GetUser().String(), users.GetUsers()[0].String(), "a list shows what was returned")
		require.Equal(t, "bob", users.GetUsers()[1].GetUsername())
		tenants, err := client.ListTenants(as(t, boss), &authv1.ListTenantsRequest{})
		require.NoError(t, err)
		require.Len(t, tenants.GetTenants(), 3)
		require.Equal(t, "acme", tenants.GetTenants()[0].GetName())
		require.Equal(t, "default", tenants.GetTenants()[1].GetName())
		require.Equal(t, "driftmesh", tenants.GetTenants()[2].GetName())
	})
}

func TestStateSurvivesARestart(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		first := start(t, url, config())
		login := &authv1.LoginRequest{Tenant: identity.MeshTenant, Username: "admin", Password: adminPassword}
		res, err := first.gateway().Login(t.Context(), login)
		require.NoError(t, err)
		first.stop()

		cfg := config()
		cfg.BootstrapPassword = "another password"
		second := start(t, url, cfg)
		_, err = second.gateway().Login(t.Context(), login)
		require.NoError(t, err, "there is an administrator, so the bootstrap password is not used again")
		id, err := verifier(second.gateway()).Verify(t.Context(), res.GetToken())
		require.NoError(t, err)
		require.Equal(t, meshAdmin, id)
	})
}

func TestWithoutABootstrapPasswordThereIsNoAdministrator(t *testing.T) {
	cfg := config()
	cfg.BootstrapPassword = ""
	r := start(t, sqltest.SQLite(t), cfg)
	_, err := r.gateway().Login(t.Context(), &authv1.LoginRequest{Tenant: identity.MeshTenant, Username: "admin", Password: adminPassword})
	requireCode(t, err, "LOGIN_REFUSED")
	require.Contains(t, r.log.String(), "there is no administrator yet")
}

// No secret may show in the log, nor stand in the store as it is.
func TestSecretsStayHidden(t *testing.T) {
	r := start(t, sqltest.SQLite(t), config())
	client := r.gateway()
	_, err := client.CreateUser(as(t, meshAdmin), &authv1.CreateUserRequest{Tenant: "default", Username: "ann", Password: "ann's password"})
	require.NoError(t, err)
	login, err := client.Login(t.Context(), &authv1.LoginRequest{Username: "ann", Password: "ann's password"})
	require.NoError(t, err)
	_, err = client.Login(t.Context(), &authv1.LoginRequest{Username: "ann", Password: "ann's other password"})
	require.Error(t, err)
	key, err := client.CreateAPIKey(as(t, meshAdmin), &authv1.CreateAPIKeyRequest{Name: "ci", Tenant: "default"})
	require.NoError(t, err)
	_, keySecret, err := identity.ParseAPIKey(key.GetKey())
	require.NoError(t, err)
	r.stop()

	files := dump(t, r.url)
	secrets := map[string]string{
		"bootstrap password": adminPassword, "password": "ann's password", "wrong password": "ann's other password",
		"token": login.GetToken(), "API key": key.GetKey(), "API key's secret": string(keySecret), "mesh secret": string(meshSecret),
	}
	for name, secret := range secrets {
		require.NotContains(t, r.log.String(), secret, name)
		require.NotContains(t, files, secret, name)
	}
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", config(), config(), config()), adminPassword)
}

// dump is everything the store's files hold.
func dump(t *testing.T, url string) string {
	t.Helper()
	dir := strings.TrimPrefix(url, "sqlite:")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all strings.Builder
	for _, e := range entries {
		text, err := os.ReadFile(dir + "/" + e.Name())
		require.NoError(t, err)
		all.Write(text)
	}
	require.Contains(t, all.String(), "argon2id")
	return all.String()
}

func TestEverybodyLearnsWhoTheyAre(t *testing.T) {
	client := start(t, sqltest.SQLite(t), config()).gateway()
	for _, id := range []identity.Identity{meshAdmin, acmeUser, anonymous, gateway} {
		res, err := client.WhoAmI(as(t, id), &authv1.WhoAmIRequest{})
		require.NoError(t, err)
		require.Equal(t, id.Permissions().Names(), res.GetPermissions())
		got := identity.Identity{Tenant: res.GetTenant(), Subject: res.GetSubject(), Kind: identity.Kind(res.GetKind()), Grant: policy.As(policy.Role(res.GetRole()))}
		require.Equal(t, id, got)
	}
}

func TestCreatorsAreRecorded(t *testing.T) {
	url := sqltest.SQLite(t)
	r := start(t, url, config())
	_, err := r.gateway().CreateUser(as(t, meshAdmin), &authv1.CreateUserRequest{Tenant: "default", Username: "ann", Password: "ann's password"})
	require.NoError(t, err)
	db, err := sqlstate.Open(t.Context(), url, "auth")
	require.NoError(t, err)
	defer db.Close()
	by, err := sqlstate.All(t.Context(), db, func(rows *sql.Rows) (s string, err error) {
		err = rows.Scan(&s)
		return s, err
	}, `SELECT created_by FROM users ORDER BY tenant`)
	require.NoError(t, err)
	require.Equal(t, []string{"user:driftmesh/admin", "bootstrap"}, by)
}

func TestConfigIsChecked(t *testing.T) {
	require.NoError(t, config().Validate())
	cfg := config()
	cfg.TokenLife, cfg.BootstrapPassword = time.Second, "hunter2"
	err := cfg.Validate()
	require.ErrorContains(t, err, "auth.token-life: must be from 1m0s to 24h0m0s")
	require.ErrorContains(t, err, "auth.bootstrap-password: password: has 7 bytes")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = auth.New(cfg, auth.Deps{})
	require.Error(t, err)
}

func TestStoppingWhileTheStoreIsAwayIsClean(t *testing.T) {
	state, err := sqlstate.Open(t.Context(), "postgres://u@127.0.0.1:1/db", "auth")
	require.NoError(t, err)
	service, err := auth.New(config(), auth.Deps{State: state, Secrets: meshSecrets(t),
		Log: slog.New(slog.DiscardHandler), Stats: prometheus.NewRegistry()})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, service.Ready(ctx))
	require.NoError(t, service.Run(ctx))
	require.NoError(t, state.Close())
}
