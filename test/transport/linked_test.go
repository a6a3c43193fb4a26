package transport_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/stretchr/testify/require"
)

// clients are the modules of the brokers' clients.
var clients = map[string]string{
	"nats": "github.com/nats-io/", "kafka": "github.com/segmentio/kafka-go", "rabbitmq": "github.com/rabbitmq/amqp091-go", "redis": "github.com/redis/go-redis",
}

// servers are what no program that sends has to know.
var servers = []string{
	"github.com/ClickHouse/", "github.com/ebitengine/purego", "modernc.org/sqlite", "github.com/jackc/", "github.com/nats-io/nats-server",
	"github.com/driftmesh/driftmesh/internal", "github.com/driftmesh/driftmesh/services", "github.com/driftmesh/driftmesh/cmd",
}

// program makes a module outside of this repository, as a user has one, and returns
// how to run go in it.
func program(t *testing.T, modules []string, imports ...string) func(args ...string) []string {
	t.Helper()
	root, dir := mesh.Root(t), t.TempDir()
	var mod, source, sums strings.Builder
	mod.WriteString("module example.com/app\n\ngo 1.26.0\n")
	for _, m := range []string{"proto", "sdk", "sdk/broker"} {
		path := "github.com/driftmesh/driftmesh/" + m
		mod.WriteString("\nreplace " + path + " => " + filepath.Join(root, m) + "\n")
		if slices.Contains(modules, m) {
			mod.WriteString("\nrequire " + path + " v0.0.0\n")
		}
	}
	for _, m := range []string{"sdk", "sdk/broker"} {
		raw, err := os.ReadFile(filepath.Join(root, m, "go.sum"))
		require.NoError(t, err)
		sums.Write(raw)
	}
	source.WriteString("package main\n\nimport (\n")
	for _, i := range imports {
		source.WriteString("\t_ \"github.com/driftmesh/driftmesh/" + i + "\"\n")
	}
	source.WriteString(")\n\nfunc main() {}\n")
	for name, text := range map[string]string{"go.mod": mod.String(), "go.sum": sums.String(), "main.go": source.String()} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return func(args ...string) []string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.Output()
		if failed, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as exec gives it
			t.Fatalf("go %v: %v\n%s", args, err, failed.Stderr)
		}
		require.NoError(t, err)
		return strings.Fields(string(out))
	}
}

func requireNone(t *testing.T, have []string, unwanted ...string) {
	t.Helper()
	for _, h := range have {
		for _, prefix := range unwanted {
			require.False(t, strings.HasPrefix(h, prefix), "%s is linked or resolved", h)
		}
	}
}

// A program that imports the SDK alone has no broker's client and nothing of the
// server in its build list; one that imports a transport links the client of that
// one.
func TestNobodyLinksWhatHeDoesNotUse(t *testing.T) {
	t.Parallel()
	all := slices.Clone(servers)
	for _, module := range clients {
		all = append(all, module)
	}
	run := program(t, []string{"sdk"}, "sdk")
	packages, modules := run("list", "-deps", "."), run("list", "-m", "-f", "{{.Path}}", "all")
	require.Contains(t, packages, "github.com/driftmesh/driftmesh/sdk")
	requireNone(t, packages, all...)
	requireNone(t, packages, "github.com/prometheus/")
	requireNone(t, modules, all...)
	requireNone(t, modules, "github.com/driftmesh/driftmesh/sdk/broker")
	t.Logf("sdk alone: %d packages, %d modules", len(packages), len(modules))
	for name := range clients {
		t.Run(name, func(t *testing.T) {
			packages := program(t, []string{"sdk", "sdk/broker"}, "sdk", "sdk/broker/"+name)("list", "-deps", ".")
			requireNone(t, packages, servers...)
			for other, module := range clients {
				linked := slices.ContainsFunc(packages, func(p string) bool { return strings.HasPrefix(p, module) })
				require.Equal(t, other == name, linked, other)
			}
		})
	}
}
