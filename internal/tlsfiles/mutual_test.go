package tlsfiles_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/driftmesh/driftmesh/internal/pki"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// certs makes the certificates of a mesh that live so long.
func certs(t *testing.T, domain string, life time.Duration, services ...string) string {
	t.Helper()
	dir := t.TempDir()
	_, err := pki.NewDir(dir, time.Now).Make(pki.Plan{Domain: domain, Services: services, Life: life, CALife: time.Hour})
	require.NoError(t, err)
	return dir
}

func mutual(t *testing.T, dir, service string, out *log) *tlsfiles.Mutual {
	t.Helper()
	m, err := tlsfiles.OpenMutual(tlsfiles.MutualFiles{
		Files: tlsfiles.Files{Cert: filepath.Join(dir, "{service}.pem"), Key: filepath.Join(dir, "{service}.key")},
		CA:    filepath.Join(dir, "ca.pem"), Domain: "driftmesh",
	}.Of(service), out.logger())
	require.NoError(t, err)
	return m
}

// serving answers health checks over mutual TLS, and keeps who called last.
type serving struct {
	healthgrpc.HealthServer
	mutual *tlsfiles.Mutual
	caller string
	whose  error
}

func (s *serving) Check(ctx context.Context, req *healthgrpc.HealthCheckRequest) (*healthgrpc.HealthCheckResponse, error) {
	s.caller, s.whose = s.mutual.Peer(ctx)
	return s.HealthServer.Check(ctx, req)
}

func serve(t *testing.T, m *tlsfiles.Mutual) (*serving, string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &serving{HealthServer: health.NewServer(), mutual: m}
	server := grpc.NewServer(grpc.Creds(m.Server()))
	healthgrpc.RegisterHealthServer(server, s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	return s, lis.Addr().String()
}

// tells waits until the log says something: the other end hears of a refusal first.
func (l *log) tells(t *testing.T, what string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(l.String(), what) }, 10*time.Second, 10*time.Millisecond, "%s in %s", what, l)
}

func check(t *testing.T, address string, creds credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	require.NoError(t, err)
	defer conn.Close()
	_, err = healthgrpc.NewHealthClient(conn).Check(t.Context(), &healthgrpc.HealthCheckRequest{})
	return err
}

// fails checks until the client is told why it is refused: its own writes may find
// the connection closed before it has read that.
func fails(t *testing.T, address string, creds credentials.TransportCredentials, why string) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := check(t, address, creds)
		require.Error(t, err)
		return strings.Contains(err.Error(), why)
	}, 10*time.Second, 10*time.Millisecond)
}

func TestServicesKnowOneAnotherByTheirCertificates(t *testing.T) {
	dir, out := certs(t, "driftmesh", time.Hour, "auth", "gateway"), &log{}
	s, address := serve(t, mutual(t, dir, "auth", out))
	require.NoError(t, check(t, address, mutual(t, dir, "gateway", &log{}).Client("auth")))
	require.NoError(t, s.whose)
	require.Equal(t, "gateway", s.caller)
	require.ErrorContains(t, check(t, address, mutual(t, dir, "gateway", &log{}).Client("drift")),
		"the certificate is valid for auth, spiffe://driftmesh/auth, not spiffe://driftmesh/drift")

	// Of the same authority, but of another trust domain.
	_, err := pki.NewDir(dir, time.Now).Make(pki.Plan{Domain: "elsewhere", Services: []string{"drift"}, Life: time.Hour})
	require.NoError(t, err)
	require.NoError(t, check(t, address, mutual(t, dir, "drift", &log{}).Client("auth")))
	require.ErrorContains(t, s.whose, "spiffe://elsewhere/drift is of no service of the trust domain driftmesh")
}

func TestForeignExpiredAndMissingCertificatesAreRefusedAtBothEnds(t *testing.T) {
	dir, out := certs(t, "driftmesh", time.Hour, "auth", "gateway"), &log{}
	_, address := serve(t, mutual(t, dir, "auth", out))
	foreign := certs(t, "driftmesh", time.Hour, "gateway")
	expired := t.TempDir()
	for _, name := range []string{"ca.pem", "ca.key"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(expired, name), raw, 0o600))
	}
	_, err := pki.NewDir(expired, time.Now).Make(pki.Plan{Domain: "driftmesh", Services: []string{"gateway"}, Life: -time.Second})
	require.NoError(t, err)

	// The client's end, of the server.
	require.ErrorContains(t, check(t, address, mutual(t, foreign, "gateway", &log{}).Client("auth")),
		`is signed by unknown authority \"CN=driftmesh CA driftmesh`)
	// The server's end, of the client: the reason is in its log, the client gets the alert.
	fails(t, address, mutual(t, expired, "gateway", &log{}).Client("auth"), "expired certificate")
	out.tells(t, `CN=gateway,O=driftmesh\" expired on `)
	trusting := mutual(t, foreign, "gateway", &log{})
	raw, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "ca.pem"), raw, 0o600))
	fails(t, address, trusting.Client("auth"), "unknown certificate authority")
	out.tells(t, "is signed by unknown authority")
	anyone, err := tlsfiles.Client{CA: filepath.Join(dir, "ca.pem")}.Transport()
	require.NoError(t, err)
	require.ErrorContains(t, check(t, address, anyone), "not 127.0.0.1")
}

// A new authority is believed beside the old one, and nothing is restarted.
func TestAuthorityAndCertificatesAreTakenUpWhileServing(t *testing.T) {
	dir := certs(t, "driftmesh", time.Hour, "auth", "gateway")
	m := mutual(t, dir, "auth", &log{})
	_, address := serve(t, m)
	client := mutual(t, dir, "gateway", &log{}).Client("auth")
	require.NoError(t, check(t, address, client))
	_, err := pki.NewDir(dir, time.Now).Make(pki.Plan{
		Domain: "driftmesh", Services: []string{"auth", "gateway"}, Life: time.Hour, CALife: 2 * time.Hour, ReplaceCA: true,
	})
	require.NoError(t, err)
	require.NoError(t, check(t, address, client))

	stats := prometheus.NewRegistry()
	require.NoError(t, m.Register(stats, "mesh"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("broken"), 0o600))
	want := strings.NewReader(`# HELP driftmesh_tls_certificate_files_broken 1 when the files of the certificate cannot be used, and the one that was there is kept.
# TYPE driftmesh_tls_certificate_files_broken gauge
driftmesh_tls_certificate_files_broken{use="mesh"} 1
`)
	require.NoError(t, testutil.GatherAndCompare(stats, want, "driftmesh_tls_certificate_files_broken"))
	require.NoError(t, check(t, address, client), "what was there is kept")
}
