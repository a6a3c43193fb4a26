package process

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	"github.com/driftmesh/driftmesh/test/server"
)

var errSecret = errors.New("dial tcp 10.0.0.7:4222: connection refused")

// desked is a desk whose broker is away.
func desked(cfg Admin) *desk {
	stats := prometheus.NewRegistry()
	for _, name := range []string{"seen_total", "completed"} {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: "For the test."})
		c.Add(3)
		stats.MustRegister(c)
	}
	r := &readiness{checks: map[string]Check{}}
	r.add("broker", func(context.Context) error { return errSecret })
	r.add("clickhouse", func(context.Context) error { return nil })
	return &desk{cfg: cfg, log: slog.New(slog.DiscardHandler), gatherer: stats, readiness: r}
}

// ask asks the desk, from this address and under this name.
func ask(d *desk, path, from, host string, head ...string) (int, string) {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.RemoteAddr, req.Host = from, host
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	d.handler().ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

const (
	here      = "127.0.0.1:50000"
	elsewhere = "10.1.2.3:50000"
	name      = "127.0.0.1:9464"
)

func TestStrangersLearnNamesAndOperatorsReasons(t *testing.T) {
	const bare, whole = "[-] broker\n[+] clickhouse\n", "[-] broker: dial tcp 10.0.0.7:4222: connection refused\n[+] clickhouse\n"
	open, guarded := desked(Admin{}), desked(Admin{Token: "let-me-in"})
	for _, row := range []struct {
		desk       *desk
		from, host string
		token      string
		want       string
	}{
		{open, here, name, "", whole},
		{open, elsewhere, name, "", bare},
		{open, here, "evil.example:9464", "", bare}, // a page whose name resolves to this machine
		{open, elsewhere, name, "Bearer let-me-in", bare},
		{guarded, here, name, "", bare},
		{guarded, elsewhere, name, "Bearer let-me-in", whole},
		{guarded, elsewhere, name, "bearer  let-me-in", whole},
		{guarded, elsewhere, name, "Bearer wrong", bare},
		{guarded, elsewhere, name, "Basic let-me-in", bare},
		{guarded, elsewhere, name, "let-me-in", bare},
	} {
		for _, path := range []string{"/readyz", "/readyz?verbose"} {
			code, body := ask(row.desk, path, row.from, row.host, "Authorization", row.token)
			require.Equal(t, http.StatusServiceUnavailable, code)
			require.Equal(t, row.want, body, "%+v", row)
		}
	}
	open.readiness.add("broker", func(context.Context) error { return nil })
	code, body := ask(open, "/readyz", elsewhere, name)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "ok\n", body)
	_, body = ask(open, "/readyz?verbose", elsewhere, name)
	require.Equal(t, "[+] broker\n[+] clickhouse\n", body)
	open.readiness.stop()
	code, body = ask(open, "/readyz", elsewhere, name)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "[-] stopping\n", body)
}

func TestMetricsWantTheTokenWhenThereIsOne(t *testing.T) {
	open, guarded := desked(Admin{}), desked(Admin{Token: "let-me-in"})
	code, body := ask(open, "/metrics", elsewhere, name)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "seen_total 3")
	for _, token := range []string{"", "Bearer", "Bearer ", "Bearer let-me-i", "Bearer let-me-in2", "Basic let-me-in"} {
		code, body := ask(guarded, "/metrics", here, name, "Authorization", token)
		require.Equal(t, http.StatusUnauthorized, code, token)
		require.NotContains(t, body, "seen_total")
		require.NotContains(t, body, "let-me-in")
	}
	code, _ = ask(guarded, "/metrics", elsewhere, name, "Authorization", "Bearer let-me-in")
	require.Equal(t, http.StatusOK, code)
	for path, want := range map[string]int{"/livez": 200, "/healthz": 200, "/readyz": 503, "/debug/pprof/": 404, "/debug/pprof/profile": 404, "/nothing": 404} {
		code, _ := ask(guarded, path, elsewhere, name)
		require.Equal(t, want, code, path)
	}
}

// TestCountersKeepTheirNamesInOpenMetrics: it wants every counter to end in
// _total, and metrics.legacy has one that does not.
func TestCountersKeepTheirNamesInOpenMetrics(t *testing.T) {
	for _, accept := range []string{"application/openmetrics-text;version=1.0.0", "text/plain;version=0.0.4"} {
		_, body := ask(desked(Admin{}), "/metrics", here, name, "Accept", accept)
		require.Contains(t, body, "\ncompleted 3", accept)
		require.NotContains(t, body, "completed_total", accept)
		require.Contains(t, body, "\nseen_total 3", accept)
	}
}

// serveDesk serves a desk on loopback until the test ends.
func serveDesk(t *testing.T, d *desk) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.serve(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", d.cfg.Listen)
		return err == nil && c.Close() == nil
	}, 10*time.Second, 5*time.Millisecond)
}

func TestTLSServesAndAProbeNeedsNoToken(t *testing.T) {
	root := server.NewAuthority(t, "root")
	dir := t.TempDir()
	files := tlsfiles.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	root.Issue(time.Now().Add(time.Hour), nil, "mesh.example").Write(t, files.Cert, files.Key)
	d := desked(Admin{Listen: server.FreeAddress(t), TLS: files, Token: "let-me-in"})
	serveDesk(t, d)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: root.Pool()}, DisableKeepAlives: true}}
	get := func(url, token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", token)
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	code, body := get("https://"+d.cfg.Listen+"/metrics", "Bearer let-me-in")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "seen_total 3")
	code, _ = get("https://"+d.cfg.Listen+"/metrics", "")
	require.Equal(t, http.StatusUnauthorized, code)
	code, _ = get("http://"+d.cfg.Listen+"/metrics", "Bearer let-me-in")
	require.Equal(t, http.StatusBadRequest, code, "plain text to a TLS port")

	err := probe(t.Context(), d.cfg)
	require.EqualError(t, err, "not ready:\n[-] broker\n[+] clickhouse\n")
	d.readiness.add("broker", func(context.Context) error { return nil })
	require.NoError(t, probe(t.Context(), d.cfg))
	// Renewed, and expired: who is ready is so all the same.
	root.Issue(time.Now().Add(-time.Hour), nil).Write(t, files.Cert, files.Key)
	require.NoError(t, probe(t.Context(), d.cfg))
	_, err = client.Get("https://" + d.cfg.Listen + "/readyz")
	require.ErrorContains(t, err, "certificate has expired")
}

func TestAProbeOfThisMachineLearnsReasons(t *testing.T) {
	d := desked(Admin{Listen: server.FreeAddress(t)})
	serveDesk(t, d)
	require.ErrorContains(t, probe(t.Context(), d.cfg), "[-] broker: "+errSecret.Error())
	d.readiness.add("broker", func(context.Context) error { return nil })
	require.NoError(t, probe(t.Context(), d.cfg))
	_, port, err := net.SplitHostPort(d.cfg.Listen)
	require.NoError(t, err)
	require.NoError(t, probe(t.Context(), Admin{Listen: ":" + port}))
	require.NoError(t, probe(t.Context(), Admin{Listen: "0.0.0.0:" + port}))
}

func TestProbeOfNobodyFails(t *testing.T) {
	require.Error(t, probe(t.Context(), Admin{Listen: server.FreeAddress(t)}))
	require.Error(t, probe(t.Context(), Admin{Listen: "nonsense"}))
}

func TestOpenMetricsBeyondThisMachineAreWarnedOf(t *testing.T) {
	for _, token := range []string{"", "let-me-in"} {
		var out bytes.Buffer
		_, port, err := net.SplitHostPort(server.FreeAddress(t))
		require.NoError(t, err)
		d := desked(Admin{Listen: "0.0.0.0:" + port, Token: settings.Secret(token)})
		d.log = slog.New(slog.NewTextHandler(&out, nil))
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- d.serve(ctx) }()
		require.Eventually(t, func() bool {
			c, err := net.Dial("tcp", "127.0.0.1:"+port)
			return err == nil && c.Close() == nil
		}, 10*time.Second, 5*time.Millisecond)
		stop()
		require.NoError(t, <-served)
		require.Equal(t, token == "", strings.Contains(out.String(), "no admin.token is set"), out.String())
	}
}

func TestProfilesAreForThisMachineOnly(t *testing.T) {
	get := func(host string) int {
		req := httptest.NewRequest(http.MethodGet, "/debug/pprof/cmdline", nil)
		req.Host = host
		w := httptest.NewRecorder()
		profiles().ServeHTTP(w, req)
		return w.Code
	}
	require.Equal(t, http.StatusOK, get("127.0.0.1:6060"))
	require.Equal(t, http.StatusOK, get("localhost:6060"))
	require.Equal(t, http.StatusForbidden, get("evil.example:6060"))
	require.ErrorContains(t, serveProfiles(t.Context(), "0.0.0.0:0", slog.New(slog.DiscardHandler)), "admin.pprof: must be an address of loopback")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, serveProfiles(ctx, "", slog.New(slog.DiscardHandler)))
	require.NoError(t, serveProfiles(ctx, "127.0.0.1:0", slog.New(slog.DiscardHandler)))
}
