package mesh

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
)

var built struct {
	sync.Mutex
	dir   string
	paths map[string]string
}

// Binary builds a program of this module once per test run, with the race
// detector when the test itself has it.
func Binary(t server.T, pkg string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if path, ok := built.paths[pkg]; ok {
		return path
	}
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "driftmesh-test-")
		require.NoError(t, err)
		built.dir, built.paths = dir, map[string]string{}
	}
	path := filepath.Join(built.dir, strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-"))
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = Root(t)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	built.paths[pkg] = path
	return path
}

// Clean removes the built programs; call it at the end of TestMain.
func Clean() {
	built.Lock()
	defer built.Unlock()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
}

// Root is the directory of the repository.
func Root(t server.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, dir, parent, "no go.work above the test")
		dir = parent
	}
}
