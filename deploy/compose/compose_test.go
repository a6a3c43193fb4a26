// Package compose_test holds the compose file against what the programs accept.
package compose_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type file struct {
	Services map[string]struct {
		Build struct {
			Args map[string]string `yaml:"args"`
		} `yaml:"build"`
		Environment map[string]string `yaml:"environment"`
		Healthcheck map[string]any    `yaml:"healthcheck"`
		Secrets     []string          `yaml:"secrets"`
		DependsOn   map[string]struct {
			Condition string `yaml:"condition"`
		} `yaml:"depends_on"`
	} `yaml:"services"`
	Secrets map[string]any `yaml:"secrets"`
}

func load(t *testing.T) file {
	t.Helper()
	raw, err := os.ReadFile("compose.yaml")
	require.NoError(t, err)
	var f file
	require.NoError(t, yaml.Unmarshal(raw, &f))
	return f
}

func TestEveryServiceHasAHealthCheckAndWaitsForHealth(t *testing.T) {
	f := load(t)
	for _, name := range []string{"nats", "clickhouse", "postgres", "auth", "trace-store", "drift", "ingest-worker", "gateway"} {
		require.Contains(t, f.Services, name)
	}
	for name, s := range f.Services {
		require.NotEmpty(t, s.Healthcheck, name)
		for on, how := range s.DependsOn {
			require.Contains(t, f.Services, on, name)
			require.Equal(t, "service_healthy", how.Condition, name)
		}
	}
}

var variable = regexp.MustCompile(`\$(DRIFTMESH_[A-Z0-9_]+)`)

// The programs themselves are asked: is every variable one of theirs, and do
// they take these settings?
func TestTheProgramsAcceptTheirSettings(t *testing.T) {
	f := load(t)
	dir := t.TempDir()
	secrets := map[string]string{"mesh_secret": strings.Repeat("s", 64), "admin_password": "a long enough password"}
	for name, value := range secrets {
		require.Contains(t, f.Secrets, name)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600))
	}
	settings, err := filepath.Abs("driftmesh.yaml")
	require.NoError(t, err)
	programs := 0
	for name, s := range f.Services {
		service := s.Build.Args["SERVICE"]
		if service == "" {
			continue
		}
		programs++
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(dir, "program-"+service)
			built, err := exec.Command("go", "build", "-o", program, "../../services/"+service).CombinedOutput()
			require.NoError(t, err, string(built))
			help, err := exec.Command(program, "--help").CombinedOutput()
			require.NoError(t, err, string(help))
			var known []string
			for _, m := range variable.FindAllStringSubmatch(string(help), -1) {
				known = append(known, m[1])
			}
			env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
			for key, value := range s.Environment {
				if key == "DRIFTMESH_CONFIG" {
					value = settings
				} else {
					require.True(t, slices.Contains(known, key), "%s is not a setting of %s", key, service)
				}
				if path, ok := strings.CutPrefix(value, "file:/run/secrets/"); ok {
					require.Contains(t, s.Secrets, path)
					value = "file:" + filepath.Join(dir, path)
				}
				env = append(env, key+"="+value)
			}
			check := exec.Command(program, "--check")
			check.Env, check.Dir = env, dir
			out, err := check.CombinedOutput()
			require.NoError(t, err, string(out))
		})
	}
	require.Equal(t, 5, programs)
}
