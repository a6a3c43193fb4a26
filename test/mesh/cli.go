package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
)

// CLI runs a driftmesh command against the mesh and returns what it printed.
// What follows --token goes into the environment, and what follows --password to
// the standard input: no secret stands on a command line.
func (a Addresses) CLI(t server.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args, token := without(args, "--token")
	token = cmp.Or(token, a.Token)
	args, password := without(args, "--password")
	if password != "" {
		args = append(args, "--password-stdin")
	}
	args = append(args, "--addr", a.GRPC)
	if a.CA != "" {
		args = append(args, "--ca", a.CA)
	}
	cmd := exec.CommandContext(ctx, Binary(t, "./cmd/driftmesh"), args...)
	cmd.Env = append(os.Environ(), "DRIFTMESH_TOKEN="+token, "DRIFTMESH_CREDENTIALS="+filepath.Join(t.TempDir(), "credentials.json"))
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// without takes a flag and its value out of a command line.
func without(args []string, flag string) (rest []string, value string) {
	i := slices.Index(args, flag)
	if i < 0 || i+1 >= len(args) {
		return slices.Clone(args), ""
	}
	return slices.Concat(args[:i], args[i+2:]), args[i+1]
}

// Login gives an access token of a user.
func (a Addresses) Login(t server.T, tenant, user, password string) string {
	t.Helper()
	return a.MustCLI(t, "login", user, "--tenant", tenant, "--print", "--password", password)
}

// MustCLI is CLI for a command that must succeed.
func (a Addresses) MustCLI(t server.T, args ...string) string {
	t.Helper()
	out, err := a.CLI(t, args...)
	require.NoError(t, err, out)
	return out
}

// JSON runs a driftmesh command and decodes what it prints as JSON.
func (a Addresses) JSON(t server.T, into any, args ...string) {
	t.Helper()
	out := a.MustCLI(t, append(args, "-o", "json")...)
	require.NoError(t, json.Unmarshal([]byte(out), into), out)
}
