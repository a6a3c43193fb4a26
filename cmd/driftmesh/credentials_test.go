package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// A login is kept where its owner alone can read it, by address; without a home there
// is none, and commands that need none go on.
func TestLoginsAreKept(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
	c := connectFlags{Addr: "mesh:1"}
	token, err := c.keptToken(t.Context())
	require.NoError(t, err)
	require.Empty(t, token)
	later := timestamppb.New(time.Now().Add(time.Hour))
	require.NoError(t, c.keep("acme", "ann", &authv1.LoginResponse{Token: "t", RefreshToken: "r", ExpireTime: later, SessionExpireTime: later, Device: "d"}))
	token, err = c.keptToken(t.Context())
	require.NoError(t, err)
	require.Equal(t, "t", token)
	require.Equal(t, "d", c.knownDevice("acme", "ann"))
	token, err = connectFlags{Addr: "mesh:2"}.keptToken(t.Context())
	require.NoError(t, err)
	require.Empty(t, token)

	ring, err := c.keyring()
	require.NoError(t, err)
	info, err := os.Stat(ring.path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, os.Chmod(ring.path, 0o640)) //nolint:gosec // that is what is refused
	_, err = c.keptToken(t.Context())
	require.ErrorContains(t, err, "others can read the logins")

	t.Setenv("HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	token, err = c.keptToken(t.Context())
	require.NoError(t, err)
	require.Empty(t, token)
	require.ErrorContains(t, c.keep("acme", "ann", &authv1.LoginResponse{}), "--credentials")
}
