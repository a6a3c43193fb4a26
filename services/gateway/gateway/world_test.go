package gateway_test

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/seal"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

const patience = 20 * time.Second

// topicBytes is what the gateway believes that a topic keeps.
const topicBytes = 1 << 30

var secret = []byte("a secret of the mesh, for tests only")

// world is a gateway on loopback between real clients, a broker in memory and
// fake services behind real gRPC.
type world struct {
	t        *testing.T
	http     string // with http://
	jaeger   string
	grpc     string
	otlpGRPC string
	otlpHTTP string // with http://
	broker   *memory.Server
	admin    broker.Broker
	drift    *fakeDrift
	traces   *fakeTraces
	auth     *fakeAuth
	audit    *fakeAudit
	spans    *tracetest.InMemoryExporter
	client   *http.Client
	stats    *prometheus.Registry
	tenants  *quota.Book
	conns    map[string]*grpc.ClientConn // the gateway's own, to the services
	stop     func()

	mu      sync.Mutex
	seen    []seen
	revokes []context.CancelCauseFunc // of streams under way
}

type option func(*gateway.Config)

func anonymous(c *gateway.Config) { c.Anonymous = true }

func start(t *testing.T, options ...option) *world {
	t.Helper()
	return startWith(t, slog.New(slog.DiscardHandler), options...)
}

func startWith(t *testing.T, log *slog.Logger, options ...option) *world {
	t.Helper()
	w := &world{
		t: t, broker: memory.NewServer(), drift: newFakeDrift(), traces: &fakeTraces{}, auth: &fakeAuth{}, audit: &fakeAudit{},
		spans: tracetest.NewInMemoryExporter(), client: &http.Client{Transport: &http.Transport{}},
	}
	w.tenants = quota.NewBook(quota.Limits{})
	w.admin = w.broker.Open(memory.Options{})
	t.Cleanup(func() { require.NoError(t, w.admin.Close(context.Background())) })
	for _, topic := range []string{event.Spans, event.Records, event.SpanReceipts, event.RecordReceipts} {
		require.NoError(t, w.admin.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: topic}))
	}
	cfg := gateway.Config{Scouter: true}
	for _, o := range options {
		o(&cfg)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	b := broker.NewTelemetry(provider, nil).Instrument(w.broker.Open(memory.Options{}))
	w.stats = prometheus.NewRegistry()
	calls, err := rpc.NewMetrics(rpc.MetricsConfig{}, w.stats)
	require.NoError(t, err)
	secrets, err := identity.FixedSecrets(secret)
	require.NoError(t, err)
	identify := identifier(t, cfg)
	deps := gateway.Deps{
		Broker: b, Instance: "gw-1", Seal: seal.New(secrets), Log: log,
		Stats: w.stats, Calls: calls, Traces: provider,
		Auth: w.backend(func(s *rpc.Server) {
			authv1.RegisterAuthServiceServer(s, w.auth)
			auditv1.RegisterAuditServiceServer(s, w.audit)
		}),
		Drift: w.backend(func(s *rpc.Server) {
			driftv1.RegisterDriftServiceServer(s, w.drift)
			driftv1.RegisterTagServiceServer(s, driftv1.UnimplementedTagServiceServer{})
		}),
		TraceStore: w.backend(func(s *rpc.Server) {
			tracev1.RegisterTraceServiceServer(s, w.traces)
			ledgerv1.RegisterLedgerServiceServer(s, &fakeLedger{signal: "spans"})
		}),
		IngestWorker: w.backend(func(s *rpc.Server) {
			ledgerv1.RegisterLedgerServiceServer(s, &fakeLedger{signal: "records"})
			deadletterv1.RegisterDeadLetterServiceServer(s, &fakeDeadLetters{})
			recordv1.RegisterRecordServiceServer(s, &fakeRecords{})
		}),
		Identify: identify, IdentifyStream: w.following(identify), Tenants: w.tenants, TopicBytes: topicBytes,
	}
	for _, l := range []struct {
		to   *net.Listener
		addr *string
	}{{&deps.HTTP, &w.http}, {&deps.Jaeger, &w.jaeger}, {&deps.GRPC, &w.grpc}, {&deps.OTLPGRPC, &w.otlpGRPC}, {&deps.OTLPHTTP, &w.otlpHTTP}} {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		*l.to, *l.addr = lis, lis.Addr().String()
	}
	w.http, w.otlpHTTP = "http://"+w.http, "http://"+w.otlpHTTP
	deps.TLS, err = process.OpenTLS("gateway", cfg.TLS, log, w.stats)
	require.NoError(t, err)
	w.conns = map[string]*grpc.ClientConn{"auth": deps.Auth, "drift": deps.Drift, "trace-store": deps.TraceStore, "ingest-worker": deps.IngestWorker}
	service, err := gateway.New(cfg, deps)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(patience):
			t.Error("the gateway did not stop")
		}
		require.NoError(t, b.Close(context.Background()))
	}
	t.Cleanup(w.client.CloseIdleConnections)
	t.Cleanup(w.stop)
	return w
}

// following is identify for streams, which revoke ends.
func (w *world) following(identify func(context.Context, string, string) (identity.Identity, error)) func(context.Context, string, string) (context.Context, identity.Identity, error) {
	return func(ctx context.Context, authorization, apiKey string) (context.Context, identity.Identity, error) {
		id, err := identify(ctx, authorization, apiKey)
		if err != nil {
			return nil, id, err
		}
		ctx, end := context.WithCancelCause(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.revokes = append(w.revokes, end)
		return ctx, id, nil
	}
}

// revoke ends all streams as the revocation of their credentials does.
func (w *world) revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range w.revokes {
		end(fault.Unauthenticated.New("the credentials were revoked").WithReason("REVOKED"))
	}
}

// backend serves a fake service as services do, and returns the gateway's
// connection to it.
func (w *world) backend(register func(*rpc.Server)) *grpc.ClientConn {
	w.t.Helper()
	secrets, err := identity.FixedSecrets(secret)
	require.NoError(w.t, err)
	verifier := identity.NewServiceVerifier(secrets, "backend", []string{"gateway"})
	traces := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	server, err := rpc.NewServer(rpc.ServerConfig{Listen: "127.0.0.1:0"}, rpc.ServerDeps{
		Log: slog.New(slog.DiscardHandler), Stats: prometheus.NewRegistry(), Traces: traces,
		Authenticate: func(ctx context.Context, method string) (context.Context, error) {
			authorization, _, err := identity.FromMetadata(ctx)
			if err != nil {
				return nil, err
			}
			if authorization == "" && policy.MethodOf(method).Permission == policy.PublicCall {
				return ctx, nil
			}
			call, err := verifier.VerifyHeader(authorization)
			if err != nil {
				return nil, err
			}
			w.behind(method, call.Identity)
			return identity.With(ctx, call.Identity), nil
		},
	})
	require.NoError(w.t, err)
	register(server)
	lis, err := server.Listen(w.t.Context())
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, lis) }()
	signer, err := identity.NewSigner(secrets, "gateway")
	require.NoError(w.t, err)
	conn, err := rpc.Dial(rpc.ClientConfig{Target: lis.Addr().String(), Credentials: signer.Credentials("backend")})
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		require.NoError(w.t, conn.Close())
		cancel()
		require.NoError(w.t, <-done)
	})
	return conn
}

// behind notes who called a service, and what.
func (w *world) behind(method string, id identity.Identity) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, seen{method, id})
}

// takeSeen gives who called services since it was asked last.
func (w *world) takeSeen() []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.seen
	w.seen = nil
	return all
}

// seen is one call of a service behind the gateway.
type seen struct {
	method string
	by     identity.Identity
}

// Keys of test tokens: ours is published, the other one is not.
var (
	ours    = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
	foreign = ed25519.NewKeyFromSeed([]byte("fedcba9876543210fedcba9876543210"))
)

type staticKeys struct{}

func (staticKeys) Key(_ context.Context, id string) (ed25519.PublicKey, error) {
	if id != "k1" {
		return nil, fault.Unauthenticated.New("no such key").WithReason(identity.ReasonUnknownKey)
	}
	return ours.Public().(ed25519.PublicKey), nil
}

var apiKey = identity.FormatAPIKey("key1", []byte("0123456789abcdef0123456789abcdef"))

func identifier(t *testing.T, cfg gateway.Config) func(context.Context, string, string) (identity.Identity, error) {
	t.Helper()
	role := policy.Role("")
	switch {
	case cfg.Anonymous && cfg.Insecure:
		role = policy.Operator
	case cfg.Anonymous:
		role = policy.Local
	}
	a, err := identity.NewAuthenticator(identity.Checks{
		Tokens: identity.NewTokenVerifier(staticKeys{}, identity.TokenAudience, identity.TokenIssuer),
		Keys: identity.NewKeyVerifier(func(_ context.Context, key string) (identity.Identity, time.Time, error) {
			if key != apiKey {
				return identity.Identity{}, time.Time{}, fault.NotFound.New("no such key")
			}
			return identity.Identity{Tenant: "keyed", Subject: "key1", Kind: identity.Key, Grant: policy.As(policy.Operator)}, time.Time{}, nil
		}),
		Anonymous: role,
	})
	require.NoError(t, err)
	return a.Authenticate
}

// token is a user token of a tenant; change may spoil it.
func token(tenant string, change func(jwt.MapClaims)) string {
	return signed(tenant, ours, "k1", change)
}

func signed(tenant string, key ed25519.PrivateKey, kid string, change func(jwt.MapClaims)) string {
	claims := jwt.MapClaims{
		"iss": identity.TokenIssuer, "aud": identity.TokenAudience, "sub": "ann", "tenant": tenant,
		"exp": time.Now().Add(time.Minute).Unix(),
	}
	if change != nil {
		change(claims)
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	tok.Header["kid"] = kid
	text, err := tok.SignedString(key)
	if err != nil {
		return err.Error() // which nobody takes for a token
	}
	return text
}

// as is a context whose gRPC calls carry a token of a tenant.
func as(t *testing.T, tenant string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token(tenant, nil))
}

// conn is a plain client connection to the native gRPC address.
func (w *world) conn() *grpc.ClientConn {
	w.t.Helper()
	return w.dial(w.grpc)
}

func (w *world) dial(addr string) *grpc.ClientConn {
	w.t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (w *world) ingest() ingestv1.IngestServiceClient {
	return ingestv1.NewIngestServiceClient(w.conn())
}
