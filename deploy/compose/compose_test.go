// Package compose_test holds the compose file against what Docker Compose makes of
// it and what the programs accept, and runs the stack outside of containers.
package compose_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
)

var (
	meshServices  = []string{"auth", "drift", "gateway", "ingest-worker", "trace-store"}
	meshAlone     = append([]string{"clickhouse", "postgres"}, meshServices...)
	stackServices = []string{"alertmanager", "grafana", "jaeger", "keys", "otelcol", "prometheus", "sensor-chat", "sensor-get", "sensor-single", "sensor-stream", "sensors"}
	brokers       = []string{"nats", "kafka", "rabbitmq", "redis"}
	// unasked are those that nobody can ask whether they are well, and why.
	unasked = map[string]string{
		"keys": "it ends", "otelcol": "nothing in its image can ask",
		"sensor-single": "nobody calls it", "sensor-stream": "nobody calls it", "sensor-get": "nobody calls it", "sensor-chat": "nobody calls it",
	}
)

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// What .env says is what runs, unless the shell or --profile say something else.
func TestWhatRuns(t *testing.T) {
	for _, c := range []struct {
		shell, profiles []string
		broker          string
		stack           bool
	}{
		{nil, nil, "nats", true},
		{[]string{"STACK="}, nil, "nats", false},
		{[]string{"BROKER=kafka"}, nil, "kafka", true},
		{[]string{"BROKER=rabbitmq"}, nil, "rabbitmq", true},
		{[]string{"BROKER=redis", "STACK="}, nil, "redis", false},
		{[]string{"BROKER=kafka"}, []string{"kafka"}, "kafka", false},
		{nil, []string{"nats", "stack"}, "nats", true},
	} {
		t.Run(fmt.Sprint(c.shell, c.profiles), func(t *testing.T) {
			p := load(t, c.shell, c.profiles...)
			want := append(slices.Clone(meshAlone), c.broker)
			if c.stack {
				want = append(want, stackServices...)
			}
			slices.Sort(want)
			require.Equal(t, want, names(p.Services))
			for _, name := range meshServices {
				s := p.Services[name]
				require.Equal(t, "file:/run/secrets/broker.url", s.Environment["DRIFTMESH_BROKER_URL"])
				at := slices.IndexFunc(s.Secrets, func(m mounted) bool { return m.secret() == "/run/secrets/broker.url" })
				require.GreaterOrEqual(t, at, 0, name)
				require.Equal(t, c.broker+"-"+name+".url", filepath.Base(p.Secrets[s.Secrets[at].Source].File))
			}
			resolves(t, p)
		})
	}
}

// resolves requires that whatever the file names is there.
func resolves(t *testing.T, p project) {
	t.Helper()
	secrets := makeSecrets(t)
	published := map[string]string{}
	for name, s := range p.Services {
		for _, m := range s.Secrets {
			require.FileExists(t, filepath.Join(secrets, filepath.Base(p.Secrets[m.Source].File)), "%s of %s", m.Source, name)
		}
		for _, m := range s.Configs {
			require.FileExists(t, p.Configs[m.Source].File, "%s of %s", m.Source, name)
			require.NotEmpty(t, m.Target)
		}
		for _, v := range s.Volumes {
			if v.Type == "bind" {
				_, err := os.Stat(v.Source)
				require.NoError(t, err, name)
				continue
			}
			require.Contains(t, p.Volumes, v.Source, name)
		}
		for network := range s.Networks {
			require.Contains(t, p.Networks, network, name)
		}
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, name)
			require.NotContains(t, published, port.Published, name)
			published[port.Published] = name
		}
		require.Empty(t, s.ContainerName, "%s could not be scaled", name)
		builds(t, name, s)
		waits(t, p, name, s)
	}
}

// builds requires that an image is named by its version, or made of what is here.
func builds(t *testing.T, name string, s service) {
	t.Helper()
	if s.Build == nil {
		require.Regexp(t, `^[a-z./-]+:v?\d+\.\d+[\w.-]*$`, s.Image, name)
		return
	}
	file := filepath.Join(s.Build.Context, s.Build.Dockerfile)
	raw, err := os.ReadFile(file)
	require.NoError(t, err, name)
	if s.Build.Target != "" {
		require.Regexp(t, `(?m)^FROM \S+ AS `+s.Build.Target+`$`, string(raw), name)
	}
	if of := s.Build.Args["PACKAGE"]; of != "" {
		require.FileExists(t, filepath.Join(s.Build.Context, of, "main.go"), name)
	}
}

// waits requires that a service waits for what there is to wait for.
func waits(t *testing.T, p project, name string, s service) {
	t.Helper()
	if _, silent := unasked[name]; !silent {
		require.NotNil(t, s.Healthcheck, name)
		require.False(t, s.Healthcheck.Disable, name)
		require.NotEmpty(t, s.Healthcheck.Test, name)
	}
	for on, how := range s.DependsOn {
		neighbour, runs := p.Services[on]
		if !runs {
			require.Contains(t, brokers, on)
			require.False(t, how.Required, "%s waits for %s, which does not run", name, on)
			continue
		}
		switch how.Condition {
		case "service_healthy":
			require.NotContains(t, unasked, on)
			require.NotNil(t, neighbour.Healthcheck)
		case "service_completed_successfully":
			require.Equal(t, "keys", on, name)
		default:
			require.Fail(t, "waits for nothing in particular", "%s: %s", name, how.Condition)
		}
	}
}

// Versions of images are those that tests run, where they run them.
func TestImagesAreWhatIsTested(t *testing.T) {
	p := load(t, []string{"BROKER=kafka"})
	for name, at := range map[string]struct{ file, pattern, image string }{
		"prometheus": {"../../test/server/prometheus/build/go.mod", `prometheus/prometheus v0\.3(\d\d)\.(\d+)`, "prom/prometheus:v3.$1.$2"},
		"otelcol":    {"../../test/interop/collector/go.mod", `collector/otelcol v(\d+\.\d+\.\d+)`, "otel/opentelemetry-collector:$1"},
		"kafka":      {"../../test/server/kafka/pom.xml", `<version>(4[\d.]+)</version>`, "apache/kafka:$1"},
	} {
		pattern := regexp.MustCompile(at.pattern)
		found := pattern.FindStringSubmatchIndex(read(t, at.file))
		require.NotNil(t, found, at.file)
		want := string(pattern.ExpandString(nil, at.image, read(t, at.file), found))
		require.Equal(t, want, p.Services[name].Image)
	}
}

var variable = regexp.MustCompile(`\$(DRIFTMESH_[A-Z0-9_]+)`)

// The programs themselves are asked: is every variable one of theirs, and do
// they take these settings?
func TestTheProgramsAcceptTheirSettings(t *testing.T) {
	p := load(t, nil)
	dir, secrets := t.TempDir(), makeSecrets(t)
	for _, name := range meshServices {
		s := p.Services[name]
		t.Run(name, func(t *testing.T) {
			program := mesh.Binary(t, "./"+s.Build.Args["PACKAGE"])
			help, err := exec.Command(program, "--help").CombinedOutput()
			require.NoError(t, err, string(help))
			var known []string
			for _, m := range variable.FindAllStringSubmatch(string(help), -1) {
				known = append(known, m[1])
			}
			env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
			for key, value := range s.Environment {
				if key != "DRIFTMESH_CONFIG" && strings.HasPrefix(key, "DRIFTMESH_") {
					require.True(t, slices.Contains(known, key), "%s is not a setting of %s", key, name)
				}
				env = append(env, key+"="+here(t, p, s, secrets, value))
			}
			check := exec.Command(program, "--check")
			check.Env, check.Dir = env, dir
			out, err := check.CombinedOutput()
			require.NoError(t, err, string(out))
		})
	}
}

// here is a value of the environment with the files of the container replaced by
// those that are mounted there.
func here(t *testing.T, p project, s service, secrets, value string) string {
	t.Helper()
	file, prefix := value, ""
	if rest, ok := strings.CutPrefix(value, "file:"); ok {
		file, prefix = rest, "file:"
	}
	if strings.HasPrefix(file, "/run/secrets/") {
		for _, m := range s.Secrets {
			if m.secret() == file {
				return prefix + filepath.Join(secrets, filepath.Base(p.Secrets[m.Source].File))
			}
		}
		require.Fail(t, "no such secret", value)
	}
	for _, m := range s.Configs {
		if m.Target == file {
			return prefix + p.Configs[m.Source].File
		}
	}
	require.False(t, strings.HasPrefix(file, "/"), "nothing is mounted at %s", file)
	return value
}

// Whoever breaks into one container finds no way on: no capability, nothing to write
// to but its volumes, no network that its work does not ask for, no password in sight,
// no way to be root, and no more memory than its own.
func TestContainersAreConfined(t *testing.T) {
	for _, broker := range brokers {
		p := load(t, []string{"BROKER=" + broker})
		for name, s := range p.Services {
			require.True(t, s.ReadOnly, name)
			require.Equal(t, []string{"ALL"}, s.Drop, name)
			require.Empty(t, s.Add, name)
			require.False(t, s.Privileged, name)
			require.Contains(t, s.Security, "no-new-privileges:true", name)
			if s.Build == nil || s.Build.Target == "nats" { // else the Dockerfile says who
				require.Regexp(t, `^[1-9]\d*:\d+$`, s.User, name)
			}
			limits := s.Deploy.Resources.Limits
			require.NotNil(t, limits.Memory, name)
			require.NotNil(t, limits.CPUs, name)
			require.Positive(t, limits.Pids, name)
			for key, value := range s.Environment {
				for _, from := range []string{"file:", "/run/secrets/", "/keys/"} {
					value = strings.TrimPrefix(value, from)
				}
				require.NotRegexp(t, `(?i)password|secret|token|:[^/@]+@`, value, "%s of %s", key, name)
			}
		}
	}
	requireNetworks(t, load(t, nil))
	for _, stage := range strings.Split(read(t, "Dockerfile"), "\nFROM ")[2:] { // what stands before is a comment and the stage that builds
		require.Regexp(t, `(?m)^USER (nonroot|65532:65532)$`, stage)
	}
}

func requireNetworks(t *testing.T, p project) {
	t.Helper()
	sensors := []string{"sensor-chat", "sensor-get", "sensor-single", "sensor-stream", "sensors"}
	sorted := func(more ...string) []string { return slices.Sorted(slices.Values(more)) }
	want := map[string][]string{
		"outside":  {"drift", "gateway", "otelcol"},
		"desk":     {"alertmanager", "grafana", "jaeger", "prometheus"},
		"tables":   {"clickhouse", "drift", "grafana", "ingest-worker", "trace-store"},
		"state":    {"auth", "drift", "postgres"},
		"broker":   sorted(append([]string{"nats"}, meshServices...)...),
		"services": meshServices,
		"metrics":  sorted(append([]string{"otelcol", "prometheus"}, meshServices...)...),
		"alerts":   {"alertmanager", "drift", "prometheus"},
		"door":     sorted(append([]string{"gateway", "grafana", "keys", "otelcol"}, sensors...)...),
		"otlp":     sorted(append([]string{"jaeger", "otelcol", "prometheus"}, sensors...)...),
		"sensors":  sensors,
	}
	got := map[string][]string{}
	for name, s := range p.Services {
		for network := range s.Networks {
			got[network] = append(got[network], name)
		}
	}
	for name := range got {
		slices.Sort(got[name])
	}
	require.Equal(t, want, got)
	for name, network := range p.Networks {
		require.Equal(t, name != "outside" && name != "desk", network.Internal, name)
	}
}
