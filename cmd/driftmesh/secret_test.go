package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/settings"
)

// At no step does a secret sign that was not believed before.
func TestSecretRotateGoesStepByStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mesh.secret")
	require.NoError(t, ensureSecret(path))
	list := func() []settings.Secret {
		l, err := settings.ReadSecrets(path)
		require.NoError(t, err)
		return l
	}
	rotate := func(args ...string) {
		var out, err bytes.Buffer
		require.Zero(t, run(t.Context(), append([]string{"secret", "rotate", path}, args...), console{out: &out, err: &err}), err.String())
		for _, s := range list() {
			require.NotContains(t, out.String(), s.Reveal())
		}
	}
	first := list()
	rotate("--only", "add")
	added := list()
	require.Len(t, added, 2)
	require.Equal(t, first[0], added[0])
	rotate("--only", "sign")
	require.Equal(t, []settings.Secret{added[1], added[0]}, list())
	rotate("--spread", "1ms")
	require.Len(t, list(), 2)
	require.Equal(t, added[1], list()[1])
	rotate("--only", "drop", "--keep", "1")
	require.Len(t, list(), 1)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	var out, failed bytes.Buffer
	require.NotZero(t, run(t.Context(), []string{"secret", "rotate", path, "--only", "sign"}, console{out: &out, err: &failed}))
	require.Contains(t, failed.String(), "do --only add first")
}
