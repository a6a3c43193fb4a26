package compose_test

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/test/server/nats"
)

// project is what Docker Compose makes of the file, for one choice of what runs.
type project struct {
	Services map[string]service
	Networks map[string]struct{ Internal bool }
	Secrets  map[string]struct{ File string }
	Configs  map[string]struct{ File string }
	Volumes  map[string]any
}

type service struct {
	Image string
	Build *struct {
		Context, Dockerfile, Target string
		Args                        map[string]string
	}
	User, ContainerName string
	Command, Entrypoint []string
	Environment         map[string]string
	Healthcheck         *struct {
		Test    []string
		Disable bool
	}
	Secrets, Configs []mounted
	Networks         map[string]any
	Ports            []struct {
		Target    int
		Published string
		HostIP    string `json:"host_ip"`
	}
	Volumes []struct {
		Type, Source, Target string
	}
	Tmpfs      []string
	ReadOnly   bool     `json:"read_only"`
	Drop       []string `json:"cap_drop"`
	Add        []string `json:"cap_add"`
	Security   []string `json:"security_opt"`
	Privileged bool
	DependsOn  map[string]struct {
		Condition string
		Required  bool
	} `json:"depends_on"`
	Deploy struct {
		Resources struct {
			Limits struct {
				Memory any
				CPUs   any
				Pids   int
			}
		}
	}
}

// mounted is a secret or a configuration in a container.
type mounted struct{ Source, Target string }

// secret is where a container has a secret.
func (m mounted) secret() string {
	target := cmp.Or(m.Target, m.Source)
	if strings.HasPrefix(target, "/") {
		return target
	}
	return "/run/secrets/" + target
}

var loader struct {
	once    sync.Once
	program string
	said    string
	err     error
}

// load resolves the file with the library of the compose specification: with what a
// shell has set, NAME=VALUE, and these profiles, as by --profile.
func load(t *testing.T, shell []string, profiles ...string) project {
	t.Helper()
	loader.once.Do(func() {
		dir, err := os.MkdirTemp("", "loader-")
		if err != nil {
			loader.err = err
			return
		}
		loader.program = filepath.Join(dir, "loader")
		build := exec.Command("go", "build", "-o", loader.program, ".") // a module of its own
		build.Dir, build.Env = "loader", append(os.Environ(), "GOWORK=off")
		out, err := build.CombinedOutput()
		loader.said, loader.err = string(out), err
	})
	require.NoError(t, loader.err, loader.said)
	cmd := exec.Command(loader.program, append([]string{"."}, profiles...)...) //nolint:gosec // built above
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, shell...)
	var said strings.Builder
	cmd.Stderr = &said
	raw, err := cmd.Output()
	require.NoError(t, err, said.String())
	require.Empty(t, said.String(), "a warning")
	var p project
	require.NoError(t, json.Unmarshal(raw, &p))
	return p
}

func TestMain(m *testing.M) {
	nats.Child()
	code := sqltest.Main(m)
	if loader.program != "" {
		_ = os.RemoveAll(filepath.Dir(loader.program))
	}
	os.Exit(code)
}
