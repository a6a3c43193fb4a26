package interop_test

import (
	"bufio"
	"context"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
)

// TestSDKsMayExportMetricsAndLogs: an SDK that sends all three signals, as they
// do unless told not to, logs no error for those that nobody keeps. Node's logs
// one warning of each, when it is the first of its tenant in an hour; Python's
// does not look at what it is told.
func TestSDKsMayExportMetricsAndLogs(t *testing.T) {
	m := mesh.Start(t)
	for i, sdk := range []struct {
		name, script string
		protocols    []string
		warnings     int
	}{
		{"node", "node/unkept.mjs", []string{"grpc", "http-protobuf", "http-json"}, 2},
		{"python", "python/unkept.py", []string{"grpc", "http-protobuf"}, 0},
	} {
		if i > 0 { // a mesh that has told nobody yet
			m.Stop()
			m.Boot()
		}
		for k, protocol := range sdk.protocols {
			t.Run(sdk.name+" "+protocol, func(t *testing.T) {
				said := sendUnkept(t, m, sdkOf(t, sdk.name), sdk.script, protocol)
				if k > 0 {
					require.Empty(t, said)
					return
				}
				require.Len(t, said, sdk.warnings)
				for _, line := range said {
					require.True(t, strings.HasPrefix(line, "warn "), line)
					require.Contains(t, line, "exporter off")
				}
			})
		}
	}
}

// sendUnkept has an SDK send metrics and logs three times at least, and gives
// the lines that it logs.
func sendUnkept(t *testing.T, m *mesh.Mesh, program, script, protocol string) []string {
	t.Helper()
	address := m.OTLPHTTP
	if protocol == "grpc" {
		address = m.OTLPGRPC
	}
	before := unkeptRequests(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, script, protocol, address).CombinedOutput()
	require.NoError(t, err, string(out))
	after := unkeptRequests(t, m)
	for _, signal := range []string{"metrics", "logs"} {
		require.GreaterOrEqual(t, after[signal]-before[signal], 3, signal)
	}
	return slices.Collect(strings.Lines(string(out)))
}

// sdkOf is the program that has an SDK.
func sdkOf(t *testing.T, name string) string {
	t.Helper()
	if name == "python" {
		return tool(t, name, ".bin/venv/bin/python")
	}
	tool(t, name, "test/interop/node/node_modules/@opentelemetry/exporter-metrics-otlp-proto")
	program, err := exec.LookPath(name)
	if err != nil {
		server.Missing(t, name, err.Error())
	}
	return program
}

// unkeptRequests counts the requests that the door let go of, by signal.
func unkeptRequests(t *testing.T, m *mesh.Mesh) map[string]int {
	t.Helper()
	resp, err := http.Get("http://" + m.Admin + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	counts := map[string]int{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if label, ok := strings.CutPrefix(name, "driftmesh_gateway_otlp_unkept_requests_total{"); ok {
			n, err := strconv.ParseFloat(value, 64)
			require.NoError(t, err)
			for _, signal := range []string{"metrics", "logs"} {
				if strings.Contains(label, `"`+signal+`"`) {
					counts[signal] = int(n)
				}
			}
		}
	}
	return counts
}
