package process

import (
	"bytes"
	"context"
	"errors"
	"testing"

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
	t.Setenv("DRIFTMESH_MESH_SECRET", "short")
	require.Equal(t, 2, serve("drift", run, []string{"--check"}, &out, &err))
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

func TestBadAdminSettingsAreNamed(t *testing.T) {
	run := func(context.Context, testConfig, Env) error { return errors.New("must not run") }
	for _, row := range []struct{ arg, want string }{
		{"--admin.tls.cert=x.pem", "admin.tls.key: must be given with admin.tls.cert"},
		{"--admin.tls.key=x.pem", "admin.tls.cert: must be given with admin.tls.key"},
		{"--admin.pprof=0.0.0.0:6060", "admin.pprof: must be an address of loopback"},
		{"--admin.pprof=10.0.0.1:6060", "admin.pprof: must be an address of loopback"},
		{"--metrics.buckets=1,1", "metrics.buckets: bounds must ascend"},
	} {
		var out, err bytes.Buffer
		require.Equal(t, 2, serve("drift", run, []string{"--check", row.arg}, &out, &err), row.arg)
		require.Contains(t, err.String(), row.want)
	}
}

func TestAProgramWhoseCertificateIsNotThereSaysWhich(t *testing.T) {
	run := func(ctx context.Context, _ testConfig, _ Env) error { <-ctx.Done(); return nil }
	var out, err bytes.Buffer
	require.Equal(t, 1, serve("drift", run, []string{
		"--admin.listen=127.0.0.1:0", "--telemetry.disable", "--admin.tls.cert=/nowhere/tls.crt", "--admin.tls.key=/nowhere/tls.key",
	}, &out, &err))
	require.Contains(t, err.String(), "settings admin.tls.cert and admin.tls.key: certificate: stat /nowhere/tls.crt: no such file or directory")
}
