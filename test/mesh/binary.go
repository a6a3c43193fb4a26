package mesh

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
)

var built struct {
	sync.Mutex
	paths map[string]string
	plain bool
}

// Plain makes Binary build programs without the race detector, before any is built: for
// tests of something else than the mesh that is there while others look at its races.
func Plain() { built.plain = true }

// raceFlags build with the race detector and tell it to leave out SQLite, C that
// a program made into Go. It works on memory of its own, which the detector does
// not look at, and asking the detector at every access takes most of the time
// of a service that polls its state. scripts/test.sh has the same.
var raceFlags = []string{"-race", "-gcflags=modernc.org/sqlite/lib=-race=false", "-gcflags=modernc.org/libc/...=-race=false"}

// Binary builds a program of this module, with the race detector when the test
// itself has it, and returns its path. All tests have the same one, in .bin:
// Go links it again when a file of it has changed, and else leaves it.
func Binary(t server.T, pkg string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if path, ok := built.paths[pkg]; ok {
		return path
	}
	dir, args := "test", []string{"build", "-ldflags=-w"}
	if raceEnabled && !built.plain {
		dir, args = "test-race", append(args, raceFlags...)
	}
	dir = filepath.Join(Root(t), ".bin", dir)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	unlock := lock(t, dir)
	defer unlock()
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", append(args, "-o", path, pkg)...)
	cmd.Dir = Root(t)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	if built.paths == nil {
		built.paths = map[string]string{}
	}
	built.paths[pkg] = path
	return path
}

// lock keeps other test processes from building into the directory.
func lock(t server.T, dir string) (unlock func()) {
	t.Helper()
	f, err := os.Open(dir)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX)) //nolint:gosec // a file descriptor is small
	return func() { _ = f.Close() }                                 // which unlocks
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
