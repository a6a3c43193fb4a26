package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/auth/auth"
	"github.com/driftmesh/driftmesh/services/drift/drift"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
	"github.com/driftmesh/driftmesh/services/ingest-worker/ingest"
	"github.com/driftmesh/driftmesh/services/trace-store/tracestore"
)

// embeddedURL as the URL of the broker, of ClickHouse or of the state means:
// bring your own.
const embeddedURL = "embedded"

// defaultHTTP is where the gateway listens, and drift takes it to, unless told
// otherwise.
const defaultHTTP = "127.0.0.1:8000"

// upCmd are the settings of the whole mesh in one process.
type upCmd struct {
	process.Shared

	DataDir string         `help:"Where everything is kept." default:"${data_dir}" placeholder:"DIR"`
	NATS    natsSettings   `embed:"" prefix:"nats." group:"embedded broker"`
	Engine  engineSettings `embed:"" prefix:"engine." group:"embedded ClickHouse engine"`

	Gateway      gateway.Config    `embed:"" prefix:"gateway." group:"gateway"`
	Auth         auth.Config       `embed:"" prefix:"auth." group:"auth"`
	IngestWorker ingest.Config     `embed:"" prefix:"ingest-worker." group:"ingest-worker"`
	Drift        drift.Config      `embed:"" prefix:"drift." group:"drift"`
	TraceStore   tracestore.Config `embed:"" prefix:"trace-store." group:"trace-store"`

	embeddedBroker bool
}

type engineSettings struct {
	Library string        `help:"Path of one's own copy of libchdb; empty to fetch it once into the cache." placeholder:"FILE"`
	Cache   string        `help:"Directory of the fetched library." placeholder:"DIR"`
	Memory  settings.Size `help:"Most memory that the engine may use." default:"1GiB"`
	Threads int           `help:"Most threads that one query may use." default:"2"`
}

// readyTimeout is how long up waits before it says what is still missing.
const readyTimeout = 60 * time.Second

// Run runs the mesh until ctx ends.
func (u *upCmd) Run(ctx context.Context, con console, inForce settings.InForce) error {
	u.InForce = inForce
	return u.run(ctx, con, func(ctx context.Context) { u.banner(ctx, con.out) })
}

// run runs the mesh and calls whenReady, in a goroutine that it waits for,
// once everything is.
func (u *upCmd) run(ctx context.Context, con console, whenReady func(context.Context)) error {
	unlock, err := u.prepare()
	if err != nil {
		return err
	}
	defer unlock()
	log := telemetry.NewLogger(u.Log, con.err)
	stopEngine, err := u.startEngine(ctx, con.err, log)
	if err != nil {
		return err
	}
	defer stopEngine()
	stopBroker, err := u.startBroker(log)
	if err != nil {
		return err
	}
	defer stopBroker()
	return u.serve(ctx, con, whenReady)
}

// prepare makes the data directory ours, and the secret that the services
// share if none is given.
func (u *upCmd) prepare() (unlock func(), err error) {
	dir, err := filepath.Abs(u.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find data directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	u.DataDir = dir
	unlock, err = lockDir(dir)
	if err != nil {
		return nil, err
	}
	if u.Mesh.Secret.First() == "" {
		path := filepath.Join(dir, "mesh.secret")
		err := ensureSecret(path)
		if err == nil {
			err = u.Mesh.Secret.UnmarshalText([]byte("file:" + path))
		}
		if err != nil {
			unlock()
			return nil, err
		}
	}
	if u.SQL.URL.Reveal() == embeddedURL {
		u.SQL.URL = settings.Secret("sqlite:" + filepath.Join(dir, "state"))
	}
	u.embeddedBroker = u.Broker.URL.Reveal() == embeddedURL
	// The inbox is as open as the door: to nobody unknown, unless only this
	// machine can reach it.
	if u.IngestWorker.Inbox.Auth == "" && u.Gateway.Anonymous && u.embeddedBroker && process.Loopback(u.NATS.Listen) {
		u.IngestWorker.Inbox.Auth = ingest.AuthAnonymous
	}
	if err := u.followListeners(); err != nil {
		unlock()
		return nil, err
	}
	// Alerts lead to where this gateway listens, unless told otherwise.
	for _, link := range []*string{&u.Drift.TraceURL, &u.Drift.AlertURL} {
		*link = strings.Replace(*link, "http://"+defaultHTTP+"/", u.web()+"/", 1)
	}
	return unlock, nil
}

// followListeners makes the services look for one another where they listen:
// one setting moves a service. An address that was given beside it stands.
func (u *upCmd) followListeners() error {
	var usual process.Mesh
	if err := settings.Defaults(&usual); err != nil {
		return err
	}
	for _, s := range []struct {
		listen  string
		address *string
		usual   string
	}{
		{u.Auth.Listen, &u.Mesh.Auth, usual.Auth},
		{u.Drift.Listen, &u.Mesh.Drift, usual.Drift},
		{u.TraceStore.Listen, &u.Mesh.TraceStore, usual.TraceStore},
		{u.IngestWorker.Listen, &u.Mesh.IngestWorker, usual.IngestWorker},
	} {
		if *s.address == s.usual {
			*s.address = reachable(s.listen)
		}
	}
	return nil
}

// reachable is an address at which this machine reaches what listens: every
// address is listened on when none is named.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen // listening will tell
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func (u *upCmd) startEngine(ctx context.Context, progress io.Writer, log *slog.Logger) (stop func(), err error) {
	if u.ClickHouse.URL.Reveal() != embeddedURL {
		return func() {}, nil
	}
	report := newProgressLine(progress)
	library, err := embedded.Fetch(ctx, embedded.Source{
		Library: u.Engine.Library, Cache: u.Engine.Cache, Progress: report.update,
	})
	report.end()
	if err != nil {
		return nil, err
	}
	// The engine outlives ctx: the services drain into it.
	engine, err := embedded.Start(context.WithoutCancel(ctx), embedded.Config{
		Library: library, Path: filepath.Join(u.DataDir, "clickhouse"),
		Limits: embedded.Limits{Memory: int64(u.Engine.Memory), Threads: u.Engine.Threads},
		Log:    log.With(slog.String(telemetry.KeyService, "engine")),
	})
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	u.ClickHouse.URL = settings.Secret(engine.URL() + "driftmesh")
	return func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		if err := engine.Stop(late); err != nil {
			log.Warn("engine did not stop cleanly", telemetry.Err(err))
		}
	}, nil
}

// serve runs the five services. They stop in the order gateway, ingest-worker,
// drift, trace-store, auth, so that each finds what it drains into.
func (u *upCmd) serve(ctx context.Context, con console, whenReady func(context.Context)) error {
	env, err := process.NewEnv(ctx, u.Shared, con.err)
	if err != nil {
		return err
	}
	group := process.NewGroup(env.Log)
	group.Add("admin", env.ServeAdmin)
	start := func(name string, run func(context.Context, process.Env) error) {
		own := env.For(name)
		group.Add(name, func(ctx context.Context) error { return run(ctx, own) })
	}
	start("auth", func(ctx context.Context, e process.Env) error { return auth.Run(ctx, u.Auth, e) })
	start("trace-store", func(ctx context.Context, e process.Env) error { return tracestore.Run(ctx, u.TraceStore, e) })
	start("drift", func(ctx context.Context, e process.Env) error { return drift.Run(ctx, u.Drift, e) })
	start("ingest-worker", func(ctx context.Context, e process.Env) error { return ingest.Run(ctx, u.IngestWorker, e) })
	start("gateway", func(ctx context.Context, e process.Env) error { return gateway.Run(ctx, u.Gateway, e) })
	group.Add("console", func(ctx context.Context) error {
		awaitReady(ctx, env, con.err)
		if ctx.Err() == nil {
			whenReady(ctx)
		}
		<-ctx.Done()
		return nil
	})
	context.AfterFunc(ctx, env.Stopping)
	err = group.Run(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if closeErr := env.Close(last); closeErr != nil && err == nil && !errors.Is(closeErr, context.Canceled) {
		env.Log.Warn("last own spans were not sent", telemetry.Err(closeErr))
	}
	return err
}

// awaitReady returns when every check passes or ctx ends, and says what is
// missing when that takes long.
func awaitReady(ctx context.Context, env process.Env, to io.Writer) {
	patience := time.NewTimer(readyTimeout)
	defer patience.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ready, lines := env.ReadyReport(ctx)
		if ready && len(lines) > 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-patience.C:
			fmt.Fprintln(to, "still waiting for:")
			for _, line := range lines {
				fmt.Fprintln(to, " ", line)
			}
		case <-tick.C:
		}
	}
}

// web is where REST is.
func (u *upCmd) web() string { return u.scheme() + u.Gateway.HTTP }

func (u *upCmd) scheme() string {
	if u.Gateway.TLS.On() {
		return "https://"
	}
	return "http://"
}

func (u *upCmd) banner(_ context.Context, to io.Writer) {
	g := u.Gateway
	jaeger, metrics := u.web()+"/jaeger", "none (setting admin.listen)"
	if g.Jaeger != "" {
		jaeger += ", " + u.scheme() + g.Jaeger
	}
	if u.Admin.Listen != "" {
		metrics = u.Admin.URL() + "/metrics"
	}
	fmt.Fprintf(to, `driftmesh is ready

  traces in    OTLP gRPC  %s
               OTLP HTTP  %s/v1/traces
  records in   gRPC       %s
  web, REST    %s
  Jaeger API   %s
  metrics      %s
  data         %s
`, g.OTLPGRPC, u.scheme()+g.OTLPHTTP, g.GRPC, u.web(), jaeger, metrics, u.DataDir)
	u.inboxBanner(to)
	if g.Anonymous {
		fmt.Fprintln(to, "\n  Calls without credentials are accepted as tenant \"default\" (setting gateway.anonymous).")
	}
	fmt.Fprintln(to, "\nStop with Ctrl-C.")
}

// inboxBanner names the way past the gateway, where there is one.
func (u *upCmd) inboxBanner(to io.Writer) {
	if !u.embeddedBroker || u.NATS.ProducerPassword == "" {
		return
	}
	who := "with a token or an API key in the message's headers"
	if u.IngestWorker.Inbox.Auth == ingest.AuthAnonymous {
		who = "without credentials as tenant \"default\", or with a token or an API key in the message's headers"
	}
	fmt.Fprintf(to, "  inbox        nats://%s:PASSWORD@%s, subject %s\n               %s\n", producerUser, u.NATS.Listen, inboxSubject, who)
}

// engineCmd is the body of the engine's process. Its parent ends it by closing
// its input; signals from a terminal reach both and must not end it first.
type engineCmd struct{}

// Run serves until the parent is gone.
func (engineCmd) Run(ctx context.Context) error {
	return embedded.Child(context.WithoutCancel(ctx))
}
