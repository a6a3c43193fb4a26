package process

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

type testConfig struct {
	Listen string `help:"Address." default:"127.0.0.1:1"`
}

func TestOneFileServesEveryProgramAndCheckNamesWhatIsWrong(t *testing.T) {
	run := func(context.Context, testConfig, Env) error { return errors.New("must not run") }
	var out, err bytes.Buffer
	require.Equal(t, 0, serve("drift", run, []string{"--check", "--drift.listen", "127.0.0.1:2"}, &out, &err), err.String())
	require.Equal(t, "the settings are valid\n", out.String())
	require.Equal(t, 2, serve("drift", run, []string{"--check", "--mesh.secret", "short"}, &out, &err))
	require.Contains(t, err.String(), "mesh.secret: must be at least 32 bytes long")
	require.NotContains(t, err.String(), "short")
}

func TestAProgramThatFailsSaysSoAndExitsWithOne(t *testing.T) {
	run := func(_ context.Context, cfg testConfig, env Env) error {
		require.NotEmpty(t, env.Instance)
		return errors.New("disk full at " + cfg.Listen)
	}
	var out, err bytes.Buffer
	require.Equal(t, 1, serve("drift", run, []string{"--admin.listen", "", "--telemetry.disable"}, &out, &err))
	require.Contains(t, err.String(), "drift: drift: disk full at 127.0.0.1:1")
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	r := &readiness{checks: map[string]Check{}}
	server := httptest.NewServer(adminHandler(prometheus.NewRegistry(), r))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	var broken error
	r.add("broker", func(context.Context) error { return broken })
	r.add("clickhouse", func(context.Context) error { return nil })
	require.NoError(t, probe(t.Context(), address))

	broken = errors.New("connection refused")
	err := probe(t.Context(), address)
	require.ErrorContains(t, err, "[-] broker: connection refused")
	require.ErrorContains(t, err, "[+] clickhouse")

	broken = nil
	r.stop()
	require.ErrorContains(t, probe(t.Context(), address), "stopping")
	for path, want := range map[string]int{"/livez": 200, "/healthz": 200, "/metrics": 200, "/debug/pprof/": 200, "/readyz": 503, "/nothing": 404} {
		resp, err := http.Get(server.URL + path)
		require.NoError(t, err)
		require.Equal(t, want, resp.StatusCode, path)
		require.NoError(t, resp.Body.Close())
	}
}

func TestProbeOfNobodyFails(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := lis.Addr().String()
	require.NoError(t, lis.Close())
	require.Error(t, probe(t.Context(), address))
	require.Error(t, probe(t.Context(), "nonsense"))
}
