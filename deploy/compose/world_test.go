package compose_test

import (
	"context"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/nats"
)

// world runs what the compose file says, outside of containers: the same programs
// with the same arguments, environments and files. What a container has of its own is
// put into them: names and ports of the network become addresses of loopback, what is
// mounted a file in a directory of the test.
type world struct {
	t       *testing.T
	p       project
	dir     string
	secrets string
	// at is where a service's port is: "gateway:8000".
	at map[string]string
	// edits are made to files and values, by the service: what is told anew here.
	edits map[string]func(string) string
	// args follow those of the file: where to listen, for who listens on a port of
	// his own by default.
	args map[string][]string
	bin  string // on the PATH
}

func newWorld(t *testing.T, shell ...string) *world {
	t.Helper()
	w := &world{t: t, p: load(t, shell), dir: t.TempDir(), secrets: makeSecrets(t), at: map[string]string{}, edits: map[string]func(string) string{}, args: map[string][]string{}}
	for _, name := range meshServices {
		w.port(name, "9464")
	}
	for name, port := range map[string]string{
		"auth": "50061", "drift": "50062", "trace-store": "50063", "ingest-worker": "50064", "alertmanager": "9093", "prometheus": "9090", "sensors": "50071",
	} {
		w.port(name, port)
	}
	for name, ports := range map[string][]string{"gateway": {"8000", "16686", "50051", "4317", "4318"}, "otelcol": {"4317", "4318", "8888"}} {
		for _, port := range ports {
			w.port(name, port)
		}
	}
	w.bin = filepath.Join(w.dir, "bin")
	require.NoError(t, os.Mkdir(w.bin, 0o700))
	require.NoError(t, os.Symlink(mesh.Binary(t, "./cmd/driftmesh"), filepath.Join(w.bin, "driftmesh")))
	return w
}

func (w *world) port(service, port string) { w.at[service+":"+port] = server.FreeAddress(w.t) }

// rewrite puts the world into what stands in a file or a value of a service.
func (w *world) rewrite(service, text string) string {
	longest := slices.SortedFunc(maps.Keys(w.at), func(a, b string) int { return len(b) - len(a) }) // trace-store:… before store:…
	for _, name := range longest {
		text = regexp.MustCompile(`\b`+regexp.QuoteMeta(name)+`\b`).ReplaceAllString(text, w.at[name])
		if of, port, _ := strings.Cut(name, ":"); of == service {
			text = regexp.MustCompile(`\b(0\.0\.0\.0|127\.0\.0\.1):`+port+`\b`).ReplaceAllString(text, w.at[name])
		}
	}
	here, targets := map[string]string{}, []string{}
	for _, m := range w.mounts(service) {
		here[m.target] = m.source
		targets = append(targets, regexp.QuoteMeta(m.target))
	}
	if len(targets) > 0 { // all at once: what was put in is not looked at again
		paths := regexp.MustCompile(`(^|[=:"' \[{])(` + strings.Join(targets, "|") + `)`)
		text = paths.ReplaceAllStringFunc(text, func(found string) string {
			at := strings.Index(found, "/")
			return found[:at] + here[found[at:]]
		})
	}
	if edit := w.edits[service]; edit != nil {
		text = edit(text)
	}
	return text
}

type mount struct{ target, source string }

// mounts are the places of a container and where they are here, the longest first.
func (w *world) mounts(service string) (all []mount) {
	s := w.p.Services[service]
	dir := filepath.Join(w.dir, service)
	for _, m := range s.Configs {
		all = append(all, mount{m.Target, filepath.Join(dir, m.Target)})
	}
	for _, m := range s.Secrets {
		all = append(all, mount{m.secret(), filepath.Join(dir, m.secret())})
	}
	for _, v := range s.Volumes {
		source := v.Source
		if v.Type == "volume" {
			source = filepath.Join(w.dir, "volumes", v.Source)
		}
		all = append(all, mount{v.Target, source})
	}
	slices.SortFunc(all, func(a, b mount) int { return len(b.target) - len(a.target) })
	return all
}

// prepare makes the files of a service.
func (w *world) prepare(service string) {
	w.t.Helper()
	s := w.p.Services[service]
	files := map[string]string{}
	for _, m := range s.Configs {
		files[m.Target] = w.p.Configs[m.Source].File
	}
	for _, m := range w.mounts(service) {
		if strings.HasPrefix(m.source, filepath.Join(w.dir, "volumes")) {
			require.NoError(w.t, os.MkdirAll(m.source, 0o700))
		}
	}
	for _, m := range s.Secrets {
		files[m.secret()] = filepath.Join(w.secrets, filepath.Base(w.p.Secrets[m.Source].File))
	}
	for target, from := range files {
		raw, err := os.ReadFile(from)
		require.NoError(w.t, err)
		path := filepath.Join(w.dir, service, target)
		require.NoError(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(w.t, os.WriteFile(path, []byte(w.rewrite(service, string(raw))), 0o600))
	}
}

// environment is a service's, and more.
func (w *world) environment(service string, more ...string) []string {
	env := []string{"PATH=" + w.bin + ":" + os.Getenv("PATH"), "HOME=" + w.dir}
	for name, value := range w.p.Services[service].Environment {
		env = append(env, name+"="+w.rewrite(service, value))
	}
	return append(env, more...)
}

// start runs a service by its program, with its arguments.
func (w *world) start(service, program string, more ...string) *server.Process {
	w.t.Helper()
	w.prepare(service)
	return w.run(service, program, more...)
}

// run is start once more, as --scale does.
func (w *world) run(service, program string, more ...string) *server.Process {
	w.t.Helper()
	var args []string
	for _, arg := range w.p.Services[service].Command {
		args = append(args, w.rewrite(service, arg))
	}
	args = append(args, w.args[service]...)
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Dir = w.environment(service, more...), w.dir
	return server.Start(w.t, service, cmd)
}

// ours is the program of a service of ours.
func (w *world) ours(service string) string {
	w.t.Helper()
	return mesh.Binary(w.t, "./"+w.p.Services[service].Build.Args["PACKAGE"])
}

// stores starts NATS on its configuration, and what ClickHouse and PostgreSQL are
// here: the engine of driftmesh up, and a server of the machine. Their own images,
// users and files are not run.
func (w *world) stores() *embedded.Engine {
	w.t.Helper()
	mesh.RequireEngine(w.t)
	w.prepare("nats")
	conf := filepath.Join(w.dir, "nats", "etc", "nats")
	broker := nats.Start(w.t, nats.Options{ConfigFile: filepath.Join(conf, "nats.conf")})
	w.at["nats:4222"] = broker.Addr()

	library, err := embedded.Fetch(w.t.Context(), embedded.Source{})
	require.NoError(w.t, err)
	program := mesh.Binary(w.t, "./cmd/driftmesh")
	engine, err := embedded.Start(context.Background(), embedded.Config{
		Library: library, Path: filepath.Join(w.dir, "clickhouse"), Log: slog.New(slog.DiscardHandler),
		Command: func() *exec.Cmd { return exec.Command(program, "engine") },
	})
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := engine.Stop(ctx); err != nil {
			w.t.Logf("engine: %v", err)
		}
	})
	tables, state := engine.URL()+"driftmesh", sqltest.Postgres(w.t)
	for _, name := range meshServices {
		w.edits[name] = func(text string) string {
			if u, err := url.Parse(strings.TrimSpace(text)); err == nil && strings.HasPrefix(u.Host, "clickhouse") {
				return tables
			} else if err == nil && strings.HasPrefix(u.Host, "postgres") {
				return state
			}
			return text
		}
	}
	return engine
}
