package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
	"github.com/driftmesh/driftmesh/test/server"
)

// spoken is a log that can be read while it is written.
type spoken struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *spoken) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *spoken) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// listeners are the ways to reach a gateway over TLS.
func listeners(w *world) map[string]func(*tls.Config) error {
	overHTTP := func(method, address, path string) func(*tls.Config) error {
		return func(cfg *tls.Config) error {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}, Timeout: patience}
			defer client.CloseIdleConnections()
			req, err := http.NewRequestWithContext(w.t.Context(), method, "https://"+bare(address)+path, http.NoBody)
			if err != nil {
				return err
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			require.Equal(w.t, 2, resp.ProtoMajor, "HTTP/2")
			return resp.Body.Close()
		}
	}
	overGRPC := func(address string, call func(context.Context, *grpc.ClientConn) error) func(*tls.Config) error {
		return func(cfg *tls.Config) error {
			conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
			if err != nil {
				return err
			}
			defer conn.Close()
			return call(as(w.t, "acme"), conn)
		}
	}
	return map[string]func(*tls.Config) error{
		"http": overHTTP(http.MethodGet, w.http, "/"), "jaeger": overHTTP(http.MethodGet, w.jaeger, "/api/services"),
		"otlp-http": overHTTP(http.MethodPost, w.otlpHTTP, "/v1/traces"),
		"grpc": overGRPC(w.grpc, func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := ingestv1.NewIngestServiceClient(conn).PublishRecords(ctx, &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("a", float("alcohol", 1))}})
			return err
		}),
		"otlp-grpc": overGRPC(w.otlpGRPC, func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := coltracepb.NewTraceServiceClient(conn).Export(ctx, &coltracepb.ExportTraceServiceRequest{})
			return err
		}),
	}
}

// bare is an address without its scheme.
func bare(address string) string { return strings.TrimPrefix(address, "http://") }

// Every listener speaks TLS, takes a new certificate without a restart, and a
// client is told what is wrong with the one it is shown.
func TestEveryListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	root, foreign := server.NewAuthority(t, "root"), server.NewAuthority(t, "foreign")
	dir, out := t.TempDir(), &spoken{}
	cert, key := filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")
	root.Issue(time.Now().Add(time.Hour), nil).Write(t, cert, key)
	w := startWith(t, slog.New(slog.NewTextHandler(out, nil)), func(c *gateway.Config) { c.TLS.Cert, c.TLS.Key = cert, key })
	good := &tls.Config{RootCAs: root.Pool(), ServerName: "localhost"}
	for name, reach := range listeners(w) {
		require.NoError(t, reach(good), name)
		require.ErrorContains(t, reach(&tls.Config{RootCAs: root.Pool(), ServerName: "elsewhere"}),
			"certificate is valid for localhost, not elsewhere", name)
		require.ErrorContains(t, reach(&tls.Config{RootCAs: foreign.Pool(), ServerName: "localhost"}),
			"certificate signed by unknown authority", name)
		require.ErrorContains(t, reach(&tls.Config{RootCAs: root.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}),
			"protocol version", name)
	}
	require.Contains(t, out.String(), "it was shown is for localhost, 127.0.0.1, issued by \\\"CN=root\\\"")

	expired := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	root.Issue(expired, nil).Write(t, cert, key)
	for name, reach := range listeners(w) {
		require.ErrorContains(t, reach(good), "certificate has expired", name)
	}
	require.Contains(t, out.String(), "it expired on 2026-02-03T04:05:06Z")
	expiry := strings.NewReader(`# HELP driftmesh_tls_certificate_expiry_timestamp_seconds When the certificate in use expires, seconds since 1970.
# TYPE driftmesh_tls_certificate_expiry_timestamp_seconds gauge
driftmesh_tls_certificate_expiry_timestamp_seconds{use="gateway"} 1.770091506e+09
`)
	require.NoError(t, testutil.GatherAndCompare(w.stats, expiry, "driftmesh_tls_certificate_expiry_timestamp_seconds"))
	root.Issue(time.Now().Add(time.Hour), nil).Write(t, cert, key)
	for name, reach := range listeners(w) {
		require.NoError(t, reach(good), name)
	}
}

func TestCredentialsDoNotTravelInPlainText(t *testing.T) {
	t.Parallel()
	public := gateway.Config{GRPC: "0.0.0.0:50051"}
	err := public.Validate()
	require.ErrorContains(t, err, "gateway.grpc=0.0.0.0:50051: credentials would come over plain text")
	require.ErrorContains(t, err, "gateway.tls.cert")
	for name, allow := range map[string]func(*gateway.Config){
		"loopback": func(c *gateway.Config) { c.GRPC = "127.0.0.1:50051" }, "said so": func(c *gateway.Config) { c.Plaintext = true },
		"TLS": func(c *gateway.Config) { c.TLS.Cert, c.TLS.Key = "c", "k" },
	} {
		cfg := public
		allow(&cfg)
		require.NoError(t, cfg.Validate(), name)
	}
	half := public
	half.TLS.Cert = "c"
	require.ErrorContains(t, half.Validate(), "gateway.tls.key: must be given with gateway.tls.cert")
}
