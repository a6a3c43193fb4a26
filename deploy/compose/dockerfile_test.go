package compose_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The stage that builds, as plain commands in a clean directory: what is copied before
// the modules are fetched is enough to fetch them, what docker's context has is enough
// for every program of the compose file, and one of them is built and runs.
func TestTheDockerfileBuilds(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	src, out := t.TempDir(), t.TempDir()
	first := strings.Split(read(t, "Dockerfile"), "\nFROM ")[1]
	first = strings.ReplaceAll(first, "\\\n", " ")
	copies, runs := 0, 0
	for line := range strings.Lines(first) {
		switch words := strings.Fields(line); {
		case strings.HasPrefix(line, "COPY . ."):
			copyContext(t, root, src)
			for _, of := range packages(t) {
				list := plain(src, "go list -deps ./"+of+" >/dev/null")
				said, err := list.CombinedOutput()
				require.NoError(t, err, "%s: %s", of, said)
			}
		case strings.HasPrefix(line, "COPY "):
			copies++
			to := words[len(words)-1]
			for _, from := range words[1 : len(words)-1] {
				copyFile(t, filepath.Join(root, from), filepath.Join(src, to, filepath.Base(from)))
			}
		case strings.HasPrefix(line, "RUN "):
			runs++
			run := plain(src, strings.ReplaceAll(strings.TrimPrefix(line, "RUN "), "/out/", out+"/"))
			run.Env = append(run.Env, "PACKAGE=examples/sensors", "VERSION=tried")
			said, err := run.CombinedOutput()
			require.NoError(t, err, "%s: %s", line, said)
		}
	}
	require.Equal(t, []int{copies, runs}, []int{strings.Count(first, "\nCOPY ") - 1, strings.Count(first, "\nRUN ")})
	usage, err := exec.Command(filepath.Join(out, "program"), "client").CombinedOutput() //nolint:gosec // built above
	require.Error(t, err)
	require.Contains(t, string(usage), "say which calls to make")
	for _, dir := range []string{"data", "keys/grafana", "keys/otelcol", "keys/sensors"} {
		require.DirExists(t, filepath.Join(out, dir), "the volume takes its owner from it")
	}
	// Each module of the workspace is there before "go mod download".
	for _, m := range regexp.MustCompile(`(?m)^\t(\.\S*)$`).FindAllStringSubmatch(read(t, root, "go.work"), -1) {
		require.Contains(t, first, strings.TrimPrefix(filepath.Join(m[1], "go.mod"), "./"))
	}
}

// plain is a command of a shell in a directory, where nothing is set but what Go needs.
func plain(dir, command string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	for _, name := range []string{"PATH", "HOME", "GOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GOFLAGS", "GOMODCACHE", "GOCACHE", "TMPDIR", "SSL_CERT_FILE", "HTTPS_PROXY"} {
		if value, set := os.LookupEnv(name); set {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	return cmd
}

// packages are those that the compose file builds images of.
func packages(t *testing.T) (all []string) {
	t.Helper()
	for _, s := range load(t, nil).Services {
		if s.Build != nil && s.Build.Args["PACKAGE"] != "" {
			all = append(all, s.Build.Args["PACKAGE"])
		}
	}
	require.Greater(t, len(all), 6)
	return all
}

// copyContext copies what docker would send to its daemon.
func copyContext(t *testing.T, from, to string) {
	t.Helper()
	ignored := read(t, from, ".dockerignore")
	require.NoError(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || name == "." {
			return err
		}
		if dockerIgnores(t, ignored, name) {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() {
			copyFile(t, path, filepath.Join(to, name))
		}
		return nil
	}))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755)) //nolint:gosec // sources
	raw, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, raw, 0o644)) //nolint:gosec // sources
}
