package compose_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README has people write secrets to files here. None of them may slip into
// a commit or into the context that docker sends to its daemon, and with
// "COPY . ." into an image.
func TestSecretsOfTheReadmeAreIgnored(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	made := regexp.MustCompile(`openssl rand[^>\n]*> (\S+)`).FindAllStringSubmatch(string(readme), -1)
	require.Len(t, made, 2)
	ignored, err := os.ReadFile("../../.dockerignore")
	require.NoError(t, err)
	for _, m := range made {
		file := m[1]
		out, err := exec.Command("git", "check-ignore", "--no-index", file).CombinedOutput()
		if len(out) == 0 && err != nil && err.Error() != "exit status 1" {
			t.Skip("not in a git repository")
		}
		require.NoError(t, err, "git does not ignore %s: %s", file, out)
		require.True(t, dockerIgnores(t, string(ignored), "deploy/compose/"+file), "docker does not ignore %s", file)
	}
	require.False(t, dockerIgnores(t, string(ignored), "deploy/compose/driftmesh.yaml"))
	require.False(t, dockerIgnores(t, string(ignored), "services/gateway/main.go"))
}

// dockerIgnores reads the patterns that the file uses: a name, or **/ before one.
func dockerIgnores(t *testing.T, patterns, path string) bool {
	t.Helper()
	for line := range strings.Lines(patterns) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		target := path
		if rest, anywhere := strings.CutPrefix(line, "**/"); anywhere {
			line, target = rest, filepath.Base(path)
		}
		match, err := filepath.Match(line, target)
		require.NoError(t, err)
		if match || strings.HasPrefix(path, line+"/") {
			return true
		}
	}
	return false
}
