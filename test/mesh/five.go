package mesh

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
)

// Five is a mesh of five programs beside a broker and a store of their own.
type Five struct {
	Addresses
	Dir           string
	BrokerURL     string
	ClickHouseURL string
	Engine        *embedded.Engine

	t        T
	env      []string
	services map[string]*Process
	admins   map[string]string
	broker   *Process
}

// Services in the order in which StartFive starts them. Any order would do.
var Services = []string{"gateway", "auth", "drift", "ingest-worker", "trace-store"}

// StartFive starts a broker, an engine and the five services as processes of
// their own and waits until all are ready. env adds settings to all of them.
func StartFive(t T, env ...string) *Five {
	t.Helper()
	RequireEngine(t)
	f := &Five{
		t: t, Dir: t.TempDir(), Addresses: freeAddresses(t),
		services: map[string]*Process{}, admins: map[string]string{},
	}
	f.startEngine()
	f.BrokerURL = "nats://" + FreeAddress(t)
	f.StartBroker()
	secret := filepath.Join(f.Dir, "mesh.secret")
	require.NoError(t, os.WriteFile(secret, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600))
	f.env = append([]string{
		"DRIFTMESH_BROKER_URL=" + f.BrokerURL, "DRIFTMESH_CLICKHOUSE_URL=" + f.ClickHouseURL,
		"DRIFTMESH_SQL_URL=sqlite:" + filepath.Join(f.Dir, "state"), "DRIFTMESH_MESH_SECRET=file:" + secret,
		"DRIFTMESH_MESH_AUTH=" + f.Auth, "DRIFTMESH_MESH_DRIFT=" + f.Drift,
		"DRIFTMESH_MESH_TRACE_STORE=" + f.TraceStore, "DRIFTMESH_MESH_INGEST_WORKER=" + f.IngestWorker,
		"DRIFTMESH_AUTH_LISTEN=" + f.Auth, "DRIFTMESH_DRIFT_LISTEN=" + f.Drift,
		"DRIFTMESH_TRACE_STORE_LISTEN=" + f.TraceStore, "DRIFTMESH_INGEST_WORKER_LISTEN=" + f.IngestWorker,
		"DRIFTMESH_GATEWAY_HTTP=" + f.HTTP, "DRIFTMESH_GATEWAY_GRPC=" + f.GRPC,
		"DRIFTMESH_GATEWAY_OTLP_GRPC=" + f.OTLPGRPC, "DRIFTMESH_GATEWAY_OTLP_HTTP=" + f.OTLPHTTP,
	}, env...)
	for _, name := range Services {
		f.start(name)
	}
	for _, name := range Services {
		f.services[name].WaitReady(f.admins[name])
	}
	return f
}

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

// StartBroker starts the NATS server, again after KillBroker, on the same data
// and port.
func (f *Five) StartBroker() {
	f.t.Helper()
	address := strings.TrimPrefix(f.BrokerURL, "nats://")
	f.broker = Run(f.t, "nats", Binary(f.t, "./test/mesh/natsserver"), "--listen", address, "--dir", filepath.Join(f.Dir, "nats"))
}

// KillBroker ends the NATS server with SIGKILL.
func (f *Five) KillBroker() { f.broker.Kill() }

// BrokerPID is the NATS server's process id.
func (f *Five) BrokerPID() int { return f.broker.PID() }

func (f *Five) start(name string) {
	f.t.Helper()
	f.admins[name] = FreeAddress(f.t)
	env := append([]string{"DRIFTMESH_ADMIN_LISTEN=" + f.admins[name]}, f.env...)
	f.services[name] = RunEnv(f.t, env, name, Binary(f.t, "./services/"+name))
}

// Kill ends a service with SIGKILL.
func (f *Five) Kill(name string) { f.services[name].Kill() }

// Restart starts a service again and waits until it is ready.
func (f *Five) Restart(name string) {
	f.t.Helper()
	f.start(name)
	f.services[name].WaitReady(f.admins[name])
}

// Join starts one more worker of a service that is only a member of a group,
// its gRPC on a port of its own, and waits until it is ready.
func (f *Five) Join(name string) *Process {
	f.t.Helper()
	admin := FreeAddress(f.t)
	listen := "DRIFTMESH_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_LISTEN=" + FreeAddress(f.t)
	env := append(append([]string{}, f.env...), "DRIFTMESH_ADMIN_LISTEN="+admin, listen)
	p := RunEnv(f.t, env, name, Binary(f.t, "./services/"+name))
	p.WaitReady(admin)
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
