package mesh

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
)

// CLI runs a driftmesh command against the mesh and returns what it printed.
func (a Addresses) CLI(t server.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args = append(slices.Clone(args), "--addr", a.GRPC)
	if a.Token != "" {
		args = append(args, "--token", a.Token)
	}
	cmd := exec.CommandContext(ctx, Binary(t, "./cmd/driftmesh"), args...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
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
