package compose_test

import (
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// makeSecrets runs secrets.sh elsewhere and gives the directory of what it made.
func makeSecrets(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile("secrets.sh")
	require.NoError(t, err)
	dir := t.TempDir()
	path := filepath.Join(dir, "secrets.sh")
	require.NoError(t, os.WriteFile(path, script, 0o700)) //nolint:gosec // a program
	out, err := exec.Command("sh", path).CombinedOutput()
	require.NoError(t, err, string(out))
	return filepath.Join(dir, "secrets")
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return strings.TrimSpace(string(raw))
}

// Each password is of its own, nobody else on the machine reads it, and what is there
// stays, until it is taken away.
func TestSecretsAreMadeOnce(t *testing.T) {
	dir := makeSecrets(t)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	before, known := map[string]string{}, map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		name := entry.Name()
		before[name] = read(t, dir, name)
		require.NotEmpty(t, before[name], name)
		if filepath.Ext(name) == "" {
			require.GreaterOrEqual(t, len(before[name]), 24, name)
			require.NotContains(t, known, before[name], "%s and %s", name, known[before[name]])
			known[before[name]] = name
		}
	}
	for _, of := range load(t, nil).Secrets {
		require.Contains(t, before, filepath.Base(of.File))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "nats-drift")))
	out, err := exec.Command("sh", filepath.Join(filepath.Dir(dir), "secrets.sh")).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "made secrets/nats-drift\nmade secrets/nats-drift.url\nmade secrets/nats.conf\n", string(out))
	for name, value := range before {
		if !strings.Contains(string(out), "/"+name+"\n") {
			require.Equal(t, value, read(t, dir, name), name)
		}
	}
}

// NATS takes its configuration, and its users have the passwords that are in the
// services' URLs. What they may do is held against the whole mesh in test/mesh.
func TestTheBrokerKnowsItsUsers(t *testing.T) {
	dir := makeSecrets(t)
	conf := t.TempDir()
	for name, text := range map[string]string{"nats.conf": read(t, "nats.conf"), "passwords.conf": read(t, dir, "nats.conf")} {
		require.NoError(t, os.WriteFile(filepath.Join(conf, name), []byte(text), 0o600))
	}
	said, err := natsd.ProcessConfigFile(filepath.Join(conf, "nats.conf"))
	require.NoError(t, err)
	require.True(t, said.JetStream)
	require.Equal(t, "/data", said.StoreDir)
	require.Equal(t, 8222, said.HTTPPort)
	require.Empty(t, said.NoAuthUser)
	require.Len(t, said.Users, 6)
	for _, user := range said.Users {
		u, err := url.Parse(read(t, dir, "nats-"+user.Username+".url"))
		require.NoError(t, err)
		password, _ := u.User.Password()
		require.Equal(t, user.Username, u.User.Username())
		require.Equal(t, user.Password, password)
		require.NotNil(t, user.Permissions, user.Username)
	}
}

// The users of Redis are those whose rights docs/brokers.md has tested, the default one
// among them: with others a server forgets groups at its restart.
func TestUsersOfRedisAreThoseOfTheDocument(t *testing.T) {
	user := regexp.MustCompile(`(?m)^user (default|mesh) .*$`)
	password := regexp.MustCompile(`>\w+`)
	users := func(text string) []string { return user.FindAllString(password.ReplaceAllString(text, ">"), -1) }
	want := users(read(t, "../../docs/brokers.md"))
	require.Len(t, want, 2)
	require.Equal(t, want, users(read(t, makeSecrets(t), "redis.conf")))
}

// None of the secrets may slip into a commit or into the context that docker sends to
// its daemon, and with "COPY . ." into an image.
func TestSecretsAreIgnored(t *testing.T) {
	elsewhere := t.TempDir() // the sources need not be a repository
	out, err := exec.Command("git", "init", "--quiet", elsewhere).CombinedOutput()
	require.NoError(t, err, string(out))
	ignored := read(t, "..", "..", ".dockerignore")
	for _, file := range []string{"secrets/mesh", "secrets/admin", "secrets/postgres.url", "x.secret", "x.password"} {
		out, err := exec.Command("git", "--git-dir", filepath.Join(elsewhere, ".git"), "--work-tree", "../..", "check-ignore", "--no-index", file).CombinedOutput()
		require.NoError(t, err, "git does not ignore %s: %s", file, out)
		require.True(t, dockerIgnores(t, ignored, "deploy/compose/"+file), "docker does not ignore %s", file)
	}
	require.True(t, dockerIgnores(t, ignored, "certs/sensors/sensors.key"), "docker does not ignore keys")
	require.False(t, dockerIgnores(t, ignored, "deploy/compose/driftmesh.yaml"))
	require.False(t, dockerIgnores(t, ignored, "services/gateway/main.go"))
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
