package mesh_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// Five processes, a broker, ClickHouse and PostgreSQL, each with a certificate and
// credentials of its own: everything works as without, and nothing without them.
func TestFiveProcessesEachWithTLSAndCredentialsOfItsOwn(t *testing.T) {
	t.Parallel()
	s := mesh.StartSecure(t, "DRIFTMESH_AUTH_SIGNING_KEY_LEAD=5s", "DRIFTMESH_LOG_LEVEL=debug")
	nobody := s.Addresses
	admin := s.Login(t, "driftmesh", "admin", adminPassword)
	s.MustCLI(t, "user", "create", "ann", "--tenant", "default", "--role", "admin", "--password", adminPassword, "--token", admin)
	s.Token = s.Login(t, "default", "ann", adminPassword)

	t.Run("traces in and out", func(t *testing.T) { requireTraces(t, s.Addresses) })
	t.Run("every hop", func(t *testing.T) { requireEveryHop(t, s.Addresses) })
	t.Run("records to alert", func(t *testing.T) {
		requireAlert(t, s.Addresses, func() string { return s.Process("drift").Log() })
	})
	key := s.MustCLI(t, "key", "create", "sensors", "--tenant", "default", "--token", admin)
	p := newProducer(t, s.BrokerURL("producer"))
	t.Run("a live tail", func(t *testing.T) { requireTail(t, s.Addresses) })
	t.Run("the inbox", func(t *testing.T) { requireInboxTrace(t, s.Addresses, p, key) })
	for _, signal := range []string{"spans", "records"} {
		account := s.Settled(t, signal)
		require.Zero(t, account.GetDeadLettered(), "%v", account)
	}
	require.NotRegexp(t, `MESH/user:.*Violation`, s.BrokerLog(), "docs/security.md gives somebody too few rights")
	t.Run("nobody without", func(t *testing.T) { requireNothingWithout(t, s, nobody) })
	t.Run("revocation", func(t *testing.T) { requireRevokedEverywhere(t, s, admin, p) })
	t.Run("rotation", func(t *testing.T) { requireNoFailureWhileRotating(t, s, key) })
	t.Run("terminal escapes", func(t *testing.T) { requireTameTerminal(t, s, admin, p, key) })
	t.Run("planted secrets", func(t *testing.T) {
		requireNoSecretShows(t, s, map[string]string{"token of an administrator": admin, "token of ann": s.Token, "API key": key})
	})
	t.Run("bad certificates", func(t *testing.T) { requireBadCertificatesAreNamed(t, s) })
	s.Stop()
}

// requireNothingWithout comes without TLS, without a certificate, with another's
// credentials, to each of the servers.
func requireNothingWithout(t *testing.T, s *mesh.Secure, nobody mesh.Addresses) {
	t.Helper()
	for name, address := range map[string]string{
		"http": s.HTTP, "jaeger": s.Jaeger, "otlp http": s.OTLPHTTP, "admin": s.Admin("auth"),
	} {
		if resp, err := http.Get("http://" + address + "/"); err == nil { // net/http says so itself
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, name)
			require.NoError(t, resp.Body.Close())
		}
	}
	for name, address := range map[string]string{"gRPC": s.GRPC, "OTLP": s.OTLPGRPC, "auth": s.Auth, "drift": s.Drift} {
		_, err := coltracepb.NewTraceServiceClient(dial(t, address)).Export(t.Context(), oneSpan("x", 1))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "Unauthenticated", "%s talks plain text", name)
	}
	// Services want to see a service's certificate.
	refused(t, "certificate required", func() error {
		_, err := coltracepb.NewTraceServiceClient(s.Dial(t, s.TraceStore)).Export(t.Context(), oneSpan("x", 1))
		return err
	})
	// The store and the database want one of their authority, and the right password.
	// The store wants a certificate of its authority, the right password, and both of one user.
	mine, theirs := s.StoreURL("drift"), s.StoreURL("trace-store")
	require.NoError(t, asks(t, mine))
	refused(t, "certificate required", func() error { return asks(t, strings.Split(mine, "&cert")[0]) })
	require.ErrorContains(t, asks(t, strings.Replace(mine, s.Passwords["drift"], "guessed", 1)), "user or password is wrong")
	require.ErrorContains(t, asks(t, strings.Split(mine, "?")[0]+"?"+strings.Split(theirs, "?")[1]), "user or password is wrong")
	// And so does the database; state of one is not another's.
	require.ErrorContains(t, reads(t, strings.Replace(s.StateURL("auth"), s.Passwords["auth"], "guessed", 1), "auth"), "password authentication failed")
	require.ErrorContains(t, reads(t, regexp.MustCompile(`ssl(cert|key)=[^&]*&`).ReplaceAllString(s.StateURL("auth"), ""), "auth"), "certificate")
	require.ErrorContains(t, reads(t, strings.Replace(s.StateURL("auth"), "verify-full", "disable", 1), "auth"), "no encryption")
	require.ErrorContains(t, reads(t, s.StateURL("drift"), "auth"), "permission denied for schema auth")
	require.NoError(t, reads(t, s.StateURL("auth"), "auth"))
	for _, name := range []string{"gateway", "auth", "drift", "trace-store"} {
		b := openBroker(t, s.BrokerURL(name))
		require.Error(t, publishTo(t, b, event.Inbox), "%s may speak as a producer", name)
	}
	b := openBroker(t, s.BrokerURL("auth"))
	require.Error(t, publishTo(t, b, event.Records))
	require.NoError(t, publishTo(t, openBroker(t, s.BrokerURL("gateway")), event.Records), "it has no signature, and is parked")
	_, err := driver.Open(t.Context(), driver.Config{URL: strings.Replace(s.BrokerURL("gateway"), s.Passwords["gateway"], "guessed", 1)})
	require.ErrorIs(t, err, broker.ErrDenied)
	bare, err := driver.Open(t.Context(), driver.Config{URL: strings.Split(s.BrokerURL("gateway"), "&cert")[0]})
	require.NoError(t, err)
	require.Error(t, bare.Ping(t.Context()), "without a certificate")
	require.NoError(t, bare.Close(t.Context()))
	require.Equal(t, http.StatusUnauthorized, nobody.Get(t, "/api/v1/services", nil))
	// What the CLI is told of a certificate for another name.
	cfg, err := tlsfiles.Client{CA: s.CA}.Config(&tls.Config{ServerName: "elsewhere"})
	require.NoError(t, err)
	_, err = (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", s.HTTP)
	require.ErrorContains(t, err, "certificate is valid for gateway, localhost, not elsewhere")
}

// refused calls until it is told why not: whoever writes may find the connection
// closed before it has read that.
func refused(t *testing.T, why string, call func() error) {
	t.Helper()
	mesh.Await(t, 10*time.Second, func() error {
		err := call()
		require.Error(t, err)
		if !strings.Contains(err.Error(), why) {
			return err
		}
		return nil
	})
}

// asks asks ClickHouse something.
func asks(t *testing.T, url string) error {
	t.Helper()
	db, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: url})
	require.NoError(t, err)
	defer db.Close()
	return db.Exec(t.Context(), "SELECT 1")
}

// reads reads a schema of PostgreSQL.
func reads(t *testing.T, url, schema string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	defer conn.Close(t.Context())
	var n int
	return conn.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".tenants").Scan(&n)
}

func openBroker(t *testing.T, url string) broker.Broker {
	t.Helper()
	b, err := driver.Open(t.Context(), driver.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	mesh.Await(t, 10*time.Second, func() error { return b.Ping(t.Context()) })
	return b
}

func publishTo(t *testing.T, b broker.Broker, topic string) error {
	t.Helper()
	p, err := b.Publisher()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return p.Publish(ctx, []broker.Message{{Topic: topic, ID: "forged", Value: []byte("x")}})
}

// requireTail watches spans arrive.
func requireTail(t *testing.T, m mesh.Addresses) {
	t.Helper()
	tail, err := ingestv1.NewIngestServiceClient(m.Conn(t)).Tail(t.Context(), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS, Service: "watched"})
	require.NoError(t, err)
	came := make(chan error, 1)
	go func() {
		_, err := tail.Recv()
		came <- err
	}()
	traces := coltracepb.NewTraceServiceClient(m.Dial(t, m.OTLPGRPC))
	mesh.Await(t, 20*time.Second, func() error { // it sees what comes after it began
		_, err := traces.Export(t.Context(), oneSpan("watched", 0x77))
		require.NoError(t, err)
		select {
		case err := <-came:
			require.NoError(t, err)
			return nil
		default:
			return errors.New("the tail has seen nothing")
		}
	})
}
