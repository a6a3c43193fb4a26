package process

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/pki"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/settings"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

type teller struct {
	ledgerv1.UnimplementedLedgerServiceServer
}

func (teller) GetSettled(ctx context.Context, _ *ledgerv1.GetSettledRequest) (*ledgerv1.GetSettledResponse, error) {
	tenant, err := identity.Tenant(ctx)
	return &ledgerv1.GetSettledResponse{Signal: tenant}, err
}

// neighbours is an environment whose services have certificates in dir.
func neighbours(t *testing.T, dir, address string) Env {
	t.Helper()
	var shared Shared
	shared.Mesh.TLS.Domain = "driftmesh"
	shared.Telemetry.Disable = true
	shared.Mesh.Secret = settings.SecretsOf(settings.Secret(strings.Repeat("s", 32)))
	shared.Mesh.TraceStore = address
	if dir != "" {
		shared.Mesh.TLS.Cert, shared.Mesh.TLS.Key = filepath.Join(dir, "{service}.pem"), filepath.Join(dir, "{service}.key")
		shared.Mesh.TLS.CA = filepath.Join(dir, "ca.pem")
	}
	env, err := NewEnv(t.Context(), shared, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, env.Close(context.WithoutCancel(t.Context()))) })
	return env
}

func certificates(t *testing.T, services ...string) string {
	t.Helper()
	dir := t.TempDir()
	_, err := pki.NewDir(dir, time.Now).Make(pki.Plan{Domain: "driftmesh", Services: services, Life: time.Hour, CALife: time.Hour})
	require.NoError(t, err)
	return dir
}

// serveStore is trace-store's inner server, and its address.
func serveStore(t *testing.T, env Env) string {
	t.Helper()
	server, err := env.For("trace-store").ServiceServer("trace-store", "127.0.0.1:0")
	require.NoError(t, err)
	ledgerv1.RegisterLedgerServiceServer(server, teller{})
	lis, err := server.Listen(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return lis.Addr().String()
}

// viewer is in whose name services call.
var viewer = identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Viewer)}

// settledBy calls the store as a service, whose token says who it is.
func settledBy(t *testing.T, env Env, service string) error {
	t.Helper()
	conn, err := env.For(service).Neighbour(service, "trace-store")
	require.NoError(t, err)
	defer conn.Close()
	ctx := identity.With(t.Context(), viewer)
	resp, err := ledgerv1.NewLedgerServiceClient(conn).GetSettled(ctx, &ledgerv1.GetSettledRequest{})
	if err == nil {
		require.Equal(t, "acme", resp.GetSignal())
	}
	return err
}

func TestACallNeedsTheCallersCertificateAndItsLeave(t *testing.T) {
	dir := certificates(t, "gateway", "trace-store", "drift")
	address := serveStore(t, neighbours(t, dir, ""))
	require.NoError(t, settledBy(t, neighbours(t, dir, address), "gateway"))

	err := settledBy(t, neighbours(t, dir, address), "drift")
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "the service drift may not call /driftmesh.ledger.v1.LedgerService/GetSettled")

	// Who has the mesh secret and a certificate of another service is not the gateway.
	posing := neighbours(t, dir, address)
	posing.Shared.Mesh.TLS.Cert, posing.Shared.Mesh.TLS.Key = filepath.Join(dir, "drift.pem"), filepath.Join(dir, "drift.key")
	err = settledBy(t, posing, "gateway")
	require.ErrorIs(t, err, fault.Unauthenticated)
	require.ErrorContains(t, err, "the service token is of gateway, the certificate of drift")

	err = settledBy(t, neighbours(t, certificates(t, "gateway"), address), "gateway")
	require.ErrorContains(t, err, "signed by unknown authority")
	require.Error(t, settledBy(t, neighbours(t, "", address), "gateway"), "plain text")
}

func TestWithoutCertificatesTheSecretAloneProves(t *testing.T) {
	address := serveStore(t, neighbours(t, "", ""))
	require.NoError(t, settledBy(t, neighbours(t, "", address), "gateway"))
	require.ErrorIs(t, settledBy(t, neighbours(t, "", address), "drift"), fault.Denied)
	require.ErrorContains(t, settledBy(t, neighbours(t, "", address), "intruder"), "which is no service of the mesh")
}

func TestTokensOfServicesDoNotTravelInPlainText(t *testing.T) {
	env := neighbours(t, "", "")
	_, err := env.ServiceServer("drift", "0.0.0.0:0")
	require.ErrorContains(t, err, "drift.listen: other services' tokens would come over plain text")
	env.Shared.Mesh.Plaintext = true
	_, err = env.ServiceServer("drift", "0.0.0.0:0")
	require.NoError(t, err)
	_, err = neighbours(t, certificates(t, "drift"), "").ServiceServer("drift", "0.0.0.0:0")
	require.NoError(t, err)
}

// Certificates, their authority and the mesh secret change under steady load, and no
// call fails.
func TestNoCallFailsWhileEverythingRotates(t *testing.T) {
	dir := certificates(t, "gateway", "trace-store")
	env := neighbours(t, dir, "")
	env.Shared.Mesh.TraceStore = serveStore(t, env)
	conn, err := env.For("gateway").Neighbour("gateway", "trace-store")
	require.NoError(t, err)
	defer conn.Close()
	client, stop, failed := ledgerv1.NewLedgerServiceClient(conn), make(chan struct{}), make(chan error, 1)
	calls := make(chan int, 1)
	go func() {
		n := 0
		defer func() { calls <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			ctx := identity.With(t.Context(), viewer)
			if _, err := client.GetSettled(ctx, &ledgerv1.GetSettledRequest{}); err != nil {
				failed <- err
				return
			}
		}
	}()
	plan := pki.Plan{Domain: "driftmesh", Services: []string{"gateway", "trace-store"}, Life: time.Hour, CALife: time.Hour, ReplaceCA: true}
	for range 5 {
		_, err := pki.NewDir(dir, time.Now).Make(plan)
		require.NoError(t, err)
		for range 5 { // new connections, each with what is in the files by now
			require.NoError(t, settledBy(t, env, "gateway"))
		}
	}
	close(stop)
	n := <-calls
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	require.Greater(t, n, 20)
}

// A program of one service has a certificate for others, and one for operators.
func TestMetricsOfBothCertificatesStandSideBySide(t *testing.T) {
	dir := certificates(t, "drift")
	env := neighbours(t, dir, "")
	env.Shared.Admin.Listen = "127.0.0.1:0"
	env.Shared.Admin.TLS.Cert, env.Shared.Admin.TLS.Key = filepath.Join(dir, "drift.pem"), filepath.Join(dir, "drift.key")
	_, err := env.For("drift").ServiceServer("drift", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- env.ServeAdmin(ctx) }()
	uses := func() (n int) {
		families, err := env.home.registry.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "driftmesh_tls_certificate_files_broken" {
				n = len(f.GetMetric())
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return uses() == 2 || len(ended) > 0 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
}
