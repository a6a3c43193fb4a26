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
		Image string `yaml:"image"`
		Build struct {
			Args map[string]string `yaml:"args"`
		} `yaml:"build"`
		Environment map[string]string `yaml:"environment"`
		Healthcheck map[string]any    `yaml:"healthcheck"`
		Secrets     []secret          `yaml:"secrets"`
		Networks    []string          `yaml:"networks"`
		Ports       []string          `yaml:"ports"`
		ReadOnly    bool              `yaml:"read_only"`
		Drop        []string          `yaml:"cap_drop"`
		Add         []string          `yaml:"cap_add"`
		Security    []string          `yaml:"security_opt"`
		Privileged  bool              `yaml:"privileged"`
		DependsOn   map[string]struct {
			Condition string `yaml:"condition"`
		} `yaml:"depends_on"`
	} `yaml:"services"`
	Networks map[string]struct {
		Internal bool `yaml:"internal"`
	} `yaml:"networks"`
	Secrets map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
}

// secret is a secret of a container, by its name alone or with its place.
type secret struct{ name, target string }

func (s *secret) UnmarshalYAML(node *yaml.Node) error {
	var long struct{ Source, Target string }
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&s.name)
	}
	err := node.Decode(&long)
	s.name, s.target = long.Source, long.Target
	return err
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
	dir, secrets := t.TempDir(), makeSecrets(t)
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
				if name, ok := strings.CutPrefix(value, "file:/run/secrets/"); ok {
					require.Contains(t, s.Secrets, secret{name: name})
					value = "file:" + filepath.Join(secrets, filepath.Base(f.Secrets[name].File))
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

// Whoever breaks into one container finds no way on: no capability, nothing to write
// to but its volumes, no network that its work does not ask for, no password in sight.
func TestContainersAreConfined(t *testing.T) {
	f := load(t)
	for name, s := range f.Services {
		require.True(t, s.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, s.Drop, name)
		require.Empty(t, s.Add, name)
		require.False(t, s.Privileged, name)
		require.Contains(t, s.Security, "no-new-privileges:true", name)
		for key, value := range s.Environment {
			require.NotRegexp(t, `(?i)password|secret|token|:[^/@]+@`, strings.TrimPrefix(strings.TrimPrefix(value, "file:"), "/run/secrets/"), "%s of %s", key, name)
		}
		for _, of := range s.Secrets {
			require.Contains(t, f.Secrets, of.name, name)
		}
		for _, port := range s.Ports {
			require.Regexp(t, `^127\.0\.0\.1:`, port, name)
		}
	}
	on := func(network string) (names []string) {
		for name, s := range f.Services {
			if slices.Contains(s.Networks, network) {
				names = append(names, name)
			}
		}
		return slices.Sorted(slices.Values(names))
	}
	require.Equal(t, []string{"drift", "gateway"}, on("outside"))
	require.Equal(t, []string{"clickhouse", "drift", "ingest-worker", "trace-store"}, on("tables"))
	require.Equal(t, []string{"auth", "drift", "postgres"}, on("state"))
	require.Equal(t, []string{"auth", "drift", "gateway", "ingest-worker", "nats", "trace-store"}, on("broker"))
	require.Equal(t, []string{"auth", "drift", "gateway", "ingest-worker", "trace-store"}, on("services"))
	for name, network := range f.Networks {
		require.Equal(t, name != "outside", network.Internal, name)
	}
}
