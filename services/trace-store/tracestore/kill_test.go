package tracestore_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
)

// kill ends the engine's child as kill -9 does.
func kill(t *testing.T, engine *embedded.Engine) {
	t.Helper()
	pid := engine.PID()
	if pid == 0 {
		return // it is down already
	}
	p, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, p.Kill())
}
