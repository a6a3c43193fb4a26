package clickhousetest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
)

func TestMain(m *testing.M) {
	clickhousetest.Main(m, func() error { return goleak.Find() })
}

func TestOpenGivesEachTestADatabase(t *testing.T) {
	first, second := clickhousetest.Open(t), clickhousetest.Open(t)
	require.NotEqual(t, first.Database(), second.Database())
	require.NoError(t, first.Exec(t.Context(), "CREATE TABLE t (n UInt8) ENGINE = Memory"))
	require.NoError(t, second.Exec(t.Context(), "CREATE TABLE t (n UInt8) ENGINE = Memory"))
	name := ""
	t.Run("sub", func(t *testing.T) { name = clickhousetest.Open(t).Database() })
	var left uint64
	require.NoError(t, first.QueryRow(t.Context(), "SELECT count() FROM system.databases WHERE name = ?", name).Scan(&left))
	require.Zero(t, left, "dropped when its test ended")
}

// Without the library a test is skipped, and says why, unless ClickHouse is
// required. This binary runs itself where neither npm nor a cache is.
func TestWithoutTheLibrary(t *testing.T) {
	run := func(env ...string) string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOpenGivesEachTestADatabase$", "-test.v")
		home := t.TempDir()
		cmd.Env = append([]string{"PATH=" + home, "HOME=" + home, "TMPDIR=" + os.TempDir()}, env...)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	out := run()
	require.Contains(t, out, "--- SKIP")
	require.Contains(t, out, "npm, which does it, is not installed")
	require.True(t, strings.HasSuffix(strings.TrimSpace(out), "PASS"), out)
	out = run("DRIFTMESH_TEST_REQUIRE=kafka,clickhouse")
	require.Contains(t, out, "--- FAIL")
	require.Contains(t, out, "suite clickhouse is required")
	out = run("DRIFTMESH_TEST_ENGINE_LIBRARY=/nowhere")
	require.Contains(t, out, "--- FAIL")
}
