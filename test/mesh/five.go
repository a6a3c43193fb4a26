package mesh

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/test/server"
)

// Five is a mesh of five programs beside a broker and a store of their own.
type Five struct {
	Addresses
	Dir           string
	Broker        server.Broker
	Network       *server.Proxy // to the broker; nil unless On.Proxied
	ClickHouseURL string
	Engine        *embedded.Engine

	t        server.T
	env      []string
	own      map[string][]string // settings of one service
	services map[string]*Process
	admins   map[string]string
}

// Secret is the mesh secret of a Five.
const Secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// On is what five programs run on.
type On struct {
	// Broker is one of Brokers; "" is nats.
	Broker string
	// Proxied puts a proxy between the services and the broker: Five.Network.
	Proxied bool
}

// Services in the order in which StartFive starts them. Any order would do.
var Services = []string{"gateway", "auth", "drift", "ingest-worker", "trace-store"}

// StartFive is StartFiveOn a NATS server, for programs that call nats.Child
// first.
func StartFive(t server.T, env ...string) *Five {
	t.Helper()
	return StartFiveOn(t, On{}, env...)
}

// StartFiveOn starts a broker, an engine and the five services as processes of
// their own and waits until all are ready. env adds settings to all of them.
func StartFiveOn(t server.T, on On, env ...string) *Five {
	t.Helper()
	f := newFive(t)
	f.Broker, f.Network = startBroker(t, on.Broker, on.Proxied)
	f.startEngine()
	f.env = append([]string{
		"DRIFTMESH_BROKER_URL=" + f.Broker.URL(), "DRIFTMESH_CLICKHOUSE_URL=" + f.ClickHouseURL,
		"DRIFTMESH_SQL_URL=sqlite:" + filepath.Join(f.Dir, "state"),
	}, env...)
	f.boot()
	return f
}

func newFive(t server.T) *Five {
	t.Helper()
	RequireEngine(t)
	return &Five{
		t: t, Dir: t.TempDir(), Addresses: freeAddresses(t), own: map[string][]string{},
		services: map[string]*Process{}, admins: map[string]string{},
	}
}

// boot starts the services on what f.env and f.own say.
func (f *Five) boot() {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(f.SecretFile(), []byte(Secret), 0o600))
	f.env = append([]string{
		"DRIFTMESH_MESH_SECRET=file:" + f.SecretFile(),
		"DRIFTMESH_MESH_AUTH=" + f.Auth, "DRIFTMESH_MESH_DRIFT=" + f.Drift,
		"DRIFTMESH_MESH_TRACE_STORE=" + f.TraceStore, "DRIFTMESH_MESH_INGEST_WORKER=" + f.IngestWorker,
		"DRIFTMESH_AUTH_LISTEN=" + f.Auth, "DRIFTMESH_DRIFT_LISTEN=" + f.Drift,
		"DRIFTMESH_TRACE_STORE_LISTEN=" + f.TraceStore, "DRIFTMESH_INGEST_WORKER_LISTEN=" + f.IngestWorker,
		"DRIFTMESH_GATEWAY_HTTP=" + f.HTTP, "DRIFTMESH_GATEWAY_JAEGER=" + f.Jaeger, "DRIFTMESH_GATEWAY_GRPC=" + f.GRPC,
		"DRIFTMESH_GATEWAY_OTLP_GRPC=" + f.OTLPGRPC, "DRIFTMESH_GATEWAY_OTLP_HTTP=" + f.OTLPHTTP,
	}, f.env...)
	for _, name := range Services {
		f.start(name)
	}
	for _, name := range Services {
		f.services[name].WaitReady(f.adminURL(f.admins[name]))
	}
}

// SecretFile holds the mesh secret.
func (f *Five) SecretFile() string { return filepath.Join(f.Dir, "mesh.secret") }

// adminURL is an admin address with its scheme.
func (f *Five) adminURL(address string) string { return f.URL(address, "") }

func (f *Five) startEngine() {
	f.t.Helper()
	library, err := embedded.Fetch(context.Background(), embedded.Source{})
	require.NoError(f.t, err)
	program := Binary(f.t, "./cmd/driftmesh")
	f.Engine, err = embedded.Start(context.Background(), embedded.Config{
		Library: library, Path: filepath.Join(f.Dir, "clickhouse"), Log: slog.New(slog.DiscardHandler),
		Command: func() *exec.Cmd { return exec.Command(program, "engine") },
	})
	require.NoError(f.t, err)
	f.ClickHouseURL = f.Engine.URL() + "driftmesh"
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := f.Engine.Stop(ctx); err != nil {
			f.t.Logf("engine: %v", err)
		}
	})
}

func (f *Five) start(name string) {
	f.t.Helper()
	f.admins[name] = server.FreeAddress(f.t)
	f.services[name] = RunEnv(f.t, f.envOf(name, "DRIFTMESH_ADMIN_LISTEN="+f.admins[name]), name, Binary(f.t, "./services/"+name))
}

// envOf are the settings of a service, those last that it has alone.
func (f *Five) envOf(name string, more ...string) []string {
	return slices.Concat(f.env, f.own[name], more)
}

// Kill ends a service with SIGKILL.
func (f *Five) Kill(name string) { f.services[name].Kill() }

// Restart starts a service again and waits until it is ready.
func (f *Five) Restart(name string) {
	f.t.Helper()
	f.start(name)
	f.services[name].WaitReady(f.adminURL(f.admins[name]))
}

// Join starts one more worker of a service that is only a member of a group,
// its gRPC on a port of its own, and waits until it is ready.
func (f *Five) Join(name string) *Process {
	f.t.Helper()
	admin := server.FreeAddress(f.t)
	listen := "DRIFTMESH_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_LISTEN=" + server.FreeAddress(f.t)
	p := RunEnv(f.t, f.envOf(name, "DRIFTMESH_ADMIN_LISTEN="+admin, listen), name, Binary(f.t, "./services/"+name))
	p.WaitReady(f.adminURL(admin))
	return p
}

// Process is a service's process.
func (f *Five) Process(name string) *Process { return f.services[name] }

// Admin is a service's admin address.
func (f *Five) Admin(name string) string { return f.admins[name] }

// Stop ends all services with SIGTERM and requires that they stop cleanly.
func (f *Five) Stop() {
	f.t.Helper()
	for _, name := range Services {
		require.NoError(f.t, f.services[name].Stop(), name)
	}
}

// JoinGateway starts a second gateway on addresses of its own, and waits until
// it is ready.
func (f *Five) JoinGateway() (Addresses, *Process) {
	f.t.Helper()
	second := f.Addresses
	for _, a := range []*string{&second.HTTP, &second.Jaeger, &second.GRPC, &second.OTLPGRPC, &second.OTLPHTTP, &second.Admin} {
		*a = server.FreeAddress(f.t)
	}
	p := RunEnv(f.t, f.envOf("gateway", "DRIFTMESH_ADMIN_LISTEN="+second.Admin,
		"DRIFTMESH_GATEWAY_HTTP="+second.HTTP, "DRIFTMESH_GATEWAY_JAEGER="+second.Jaeger, "DRIFTMESH_GATEWAY_GRPC="+second.GRPC,
		"DRIFTMESH_GATEWAY_OTLP_GRPC="+second.OTLPGRPC, "DRIFTMESH_GATEWAY_OTLP_HTTP="+second.OTLPHTTP,
	), "gateway", Binary(f.t, "./services/gateway"))
	p.WaitReady(f.adminURL(second.Admin))
	return second, p
}
