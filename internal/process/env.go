package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/broker/source"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// Env is what a process lends to a service: its log, its registry of metrics,
// its tracing, its readiness and the shared settings. Services are given one
// of their own by For and cannot tell whether others share the process.
type Env struct {
	Log      *slog.Logger
	Stats    prometheus.Registerer
	Traces   trace.TracerProvider
	Shared   Shared
	Instance string // names this process; new at every start

	service string // whose this is; "" for the process's own
	home    *home
}

// home is the process behind its Envs.
type home struct {
	registry  *prometheus.Registry
	tracing   *telemetry.Tracing
	readiness *readiness

	mu    sync.Mutex
	sink  broker.Broker           // carries the process's own spans; opened on first use
	calls map[string]*rpc.Metrics // by service

	mutual map[string]*tlsfiles.Mutual // by service
	admin  *tlsfiles.Source            // of the admin address; nil for plain text

	// Apart from mu, under which brokers are opened that need them.
	secretsMu sync.Mutex
	secrets   *identity.Secrets // opened on first use

	services []string
}

// NewEnv makes the environment of a process. Close it last.
func NewEnv(ctx context.Context, shared Shared, logTo io.Writer) (Env, error) {
	if shared.Memory > 0 && !settings.GoMemoryLimit() {
		debug.SetMemoryLimit(int64(shared.Memory))
	}
	e := Env{
		Log:      telemetry.NewLogger(shared.Log, logTo),
		Shared:   shared,
		Instance: uuid.NewString(),
		home: &home{
			registry:  prometheus.NewRegistry(),
			readiness: &readiness{checks: map[string]Check{}},
			calls:     map[string]*rpc.Metrics{},
			mutual:    map[string]*tlsfiles.Mutual{},
		},
	}
	e.Stats = e.home.registry
	e.home.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(telemetry.ErrorHandler(e.Log)))
	tracing, err := telemetry.NewTracing(ctx, shared.Telemetry, settings.OTel(), e.publishOwnSpans)
	if err != nil {
		return Env{}, err
	}
	e.home.tracing = tracing
	e.Traces = tracing.Service("process", e.Instance)
	return e, nil
}

// For gives a service its own view: its name in every log line and on every
// metric and span. The process is not ready until the service has given a
// check of its own under its name (see Ready).
func (e Env) For(service string) Env {
	e.service = service
	e.home.mu.Lock()
	e.home.services = append(e.home.services, service)
	e.home.mu.Unlock()
	e.Ready(service, starting)
	e.Log = e.Log.With(slog.String(telemetry.KeyService, service))
	e.Stats = prometheus.WrapRegistererWith(prometheus.Labels{"service": service}, e.Stats)
	e.Traces = e.home.tracing.Service(service, e.Instance)
	return e
}

// Calls counts the gRPC calls of the service's servers and clients.
func (e Env) Calls() (*rpc.Metrics, error) {
	if e.home == nil { // made by hand, in a test
		return rpc.NewMetrics(e.Shared.Metrics, e.Stats)
	}
	e.home.mu.Lock()
	defer e.home.mu.Unlock()
	if calls, ok := e.home.calls[e.service]; ok {
		return calls, nil
	}
	calls, err := rpc.NewMetrics(e.Shared.Metrics, e.Stats)
	if err == nil {
		e.home.calls[e.service] = calls
	}
	return calls, err
}

func starting(context.Context) error { return fault.Unavailable.New("starting") }

// Ready adds a check that must pass before the process reports itself ready. It
// takes the place of an earlier one of that name.
func (e Env) Ready(name string, check Check) {
	if e.home != nil { // one made by hand, in a test, has nobody to tell
		e.home.readiness.add(name, check)
	}
}

// ReadyReport runs all checks and says which pass.
func (e Env) ReadyReport(ctx context.Context) (ready bool, lines []string) {
	ready, findings := e.home.readiness.report(ctx)
	for _, f := range findings {
		lines = append(lines, f.String())
	}
	return ready, lines
}

// pushTimeout bounds the last push of metrics.
const pushTimeout = 5 * time.Second

// ServeAdmin answers operators on the admin addresses, and pushes metrics where
// the environment says so, until ctx ends.
func (e Env) ServeAdmin(ctx context.Context) error {
	push, err := telemetry.NewMetricsPush(ctx, settings.OTel(), e.home.registry, e.home.name(), e.Instance)
	if err != nil {
		return err
	}
	admin := e.Shared.Admin
	group, running := errgroup.WithContext(ctx)
	// Labels as those of the services' certificates: one name has the same everywhere.
	stats := prometheus.WrapRegistererWith(prometheus.Labels{"service": "process"}, e.home.registry)
	group.Go(func() error {
		return (&desk{cfg: admin, log: e.Log, gatherer: e.home.registry, stats: stats, readiness: e.home.readiness, opened: e.home.adminTLS}).serve(running)
	})
	group.Go(func() error { return serveProfiles(running, admin.PProf, e.Log) })
	err = group.Wait()
	if push != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushTimeout)
		defer cancel()
		if pushErr := push.Shutdown(last); pushErr != nil {
			e.Log.Warn("the last metrics were not pushed", telemetry.Err(pushErr))
		}
	}
	return err
}

// name is what the process calls itself to others: its service, or the mesh
// when it has several.
func (h *home) name() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.services) == 1 {
		return "driftmesh." + h.services[0]
	}
	return "driftmesh"
}

// Stopping makes the process report itself not ready from now on.
func (e Env) Stopping() { e.home.readiness.stop() }

// Close sends the process's last own spans and lets go of what it holds.
func (e Env) Close(ctx context.Context) error {
	err := e.home.tracing.Shutdown(ctx)
	e.home.mu.Lock()
	defer e.home.mu.Unlock()
	if e.home.sink != nil {
		err = errors.Join(err, e.home.sink.Close(ctx))
		e.home.sink = nil
	}
	return err
}

// OpenBroker connects to the broker that the settings name and adds it to the
// readiness. It does not wait for it. The caller closes it.
func (e Env) OpenBroker(ctx context.Context) (broker.Broker, error) {
	b, err := e.dialBroker(ctx)
	if err != nil {
		return nil, err
	}
	e.Ready("broker", b.Ping)
	return b, nil
}

func (e Env) dialBroker(ctx context.Context) (broker.Broker, error) {
	secrets, err := e.Secrets()
	if err != nil {
		return nil, err
	}
	b, err := driver.Open(ctx, driver.Config{
		Seal: envelope.NewSigner(secrets, e.Shared.Mesh.Unsigned),
		URL:  e.Shared.Broker.URL.Reveal(), Name: "driftmesh", Log: e.Log, Stats: e.Stats, Tracer: e.Traces,
	})
	if err != nil {
		return nil, fmt.Errorf("open broker (setting broker.url): %w", err)
	}
	return b, nil
}

// OpenSource opens a queue of somebody else's, at the URL that a setting has, and adds
// it to the readiness under the setting's name: what is switched on and does not work
// is to be seen. It does not wait for it. The caller closes the source.
func (e Env) OpenSource(ctx context.Context, setting string, url settings.Secret, how source.Config) (source.Source, broker.Broker, error) {
	s, b, err := driver.OpenSource(ctx, driver.Config{
		URL: url.Reveal(), Name: "driftmesh", Log: e.Log, Stats: e.Stats, Tracer: e.Traces,
	}, how)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (setting %s)", err, setting)
	}
	e.Ready(setting, s.Ping)
	return s, b, nil
}

// OpenClickHouse makes a client of the ClickHouse that the settings name and
// adds it to the readiness. It does not wait for it.
func (e Env) OpenClickHouse(ctx context.Context) (*clickhouse.DB, error) {
	db, err := clickhouse.Open(ctx, clickhouse.Config{
		URL: e.Shared.ClickHouse.URL.Reveal(), Cluster: e.Shared.ClickHouse.Cluster,
	})
	if err != nil {
		return nil, fmt.Errorf("open clickhouse (setting clickhouse.url): %w", err)
	}
	e.Ready("clickhouse", db.Ping)
	return db, nil
}

// publishOwnSpans is where the process's own spans go: the same topic as
// everybody's, under the mesh's own tenant.
func (e Env) publishOwnSpans(ctx context.Context, request []byte, spans int) error {
	e.home.mu.Lock()
	if e.home.sink == nil {
		quiet := e
		quiet.Stats, quiet.Traces = nil, nil // spans about sending spans would never end
		b, err := quiet.dialBroker(ctx)
		if err != nil {
			e.home.mu.Unlock()
			return err
		}
		e.home.sink = b
	}
	b := e.home.sink
	e.home.mu.Unlock()
	publisher, err := b.Publisher()
	if err != nil {
		return err
	}
	return publisher.Publish(ctx, []broker.Message{envelope.New(event.Spans, envelope.Stamp{
		Tenant: event.Mesh, Type: event.TypeTraces, Count: spans, Accepted: time.Now(), Sender: "service:" + event.Mesh + "/" + e.home.name(),
	}, request)})
}
