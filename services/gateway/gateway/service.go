package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/audit/wire"
	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/seal"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/audited"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/jaeger"
	"github.com/driftmesh/driftmesh/services/gateway/internal/origin"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
	"github.com/driftmesh/driftmesh/services/gateway/internal/records"
	"github.com/driftmesh/driftmesh/services/gateway/internal/rest"
	"github.com/driftmesh/driftmesh/services/gateway/internal/scouterdoor"
	"github.com/driftmesh/driftmesh/services/gateway/internal/site"
	"github.com/driftmesh/driftmesh/services/gateway/internal/source"
	"github.com/driftmesh/driftmesh/services/gateway/internal/tail"
	"github.com/driftmesh/driftmesh/services/gateway/internal/topics"
	"github.com/driftmesh/driftmesh/web"
)

// Deps is what the service needs from outside. Every field is required. The
// service closes the listeners and nothing else.
type Deps struct {
	Broker broker.Broker
	// Connections to the other services, which attach the identity in the
	// context to every call and turn statuses into faults (rpc.Dial).
	Auth, Drift, TraceStore, IngestWorker *grpc.ClientConn
	// Identify tells who calls from the values of the authorization and
	// x-api-key headers, "" for one that was not sent.
	Identify func(ctx context.Context, authorization, apiKey string) (identity.Identity, error)
	// IdentifyStream is Identify for calls that take long; its context ends when the
	// credentials do. Nil is Identify.
	IdentifyStream func(ctx context.Context, authorization, apiKey string) (context.Context, identity.Identity, error)
	// Listeners of the public addresses; nil for one not served.
	HTTP, Jaeger, GRPC, OTLPGRPC, OTLPHTTP net.Listener
	TLS                                    *tlsfiles.Source // of all of them; nil for plain text
	Instance                               string           // names this process
	Seal                                   *seal.Sealer     // vouches for who sent what is kept for later
	// Tenants have limits, which somebody keeps up to date; nil is none.
	Tenants *quota.Book
	// TopicBytes is how much a topic keeps, of which no tenant takes all; 0 is not
	// known.
	TopicBytes int64
	// Settings and Certificates of the process, for administrators of the mesh; nil
	// tells none.
	Settings     func() []settings.Setting
	Certificates func() []process.Certificate
	Log          *slog.Logger
	Stats        prometheus.Registerer
	Calls        *rpc.Metrics // counts the gRPC calls that come and go
	Traces       trace.TracerProvider
}

// Service is the gateway. Run it once.
type Service struct {
	cfg     Config
	deps    Deps
	records *records.Service

	publisher broker.Publisher
	profiles  record.Profiles
	hub       *tail.Hub
	topics    *topics.Service
	otlp      *otlpdoor.Door
	grpc      *rpc.Server
	web       http.Handler
	jaeger    http.Handler      // Jaeger's API alone, at the root
	inside    *bufconn.Listener // of the gRPC server, for web
	loop      *grpc.ClientConn  // to it
	traced    *telemetry.Allowance
	proxies   source.Proxies
	intakes   intakes
	account   *audit.Recorder // of who did what
	auditor   *audited.Auditor
	scouter   *scouterdoor.Door // nil when it is switched off
}

// insideBuffer is that of the pipe between the HTTP side and the gRPC server.
const insideBuffer = 256 << 10

// New builds the service from open dependencies. It starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	publisher, err := deps.Broker.Publisher()
	if err != nil {
		return nil, fmt.Errorf("open publisher: %w", err)
	}
	s := &Service{cfg: cfg, deps: deps, publisher: publisher, inside: bufconn.Listen(insideBuffer)}
	if s.proxies, err = source.Parse(cfg.Proxies); err != nil {
		return nil, fmt.Errorf("gateway.proxies: %w", err)
	}
	s.account = audit.NewRecorder(s.record, deps.Log)
	s.traced = telemetry.NewAllowance(cmp.Or(cfg.MaxTraced, 100))
	if deps.Tenants == nil {
		deps.Tenants = quota.NewBook(quota.Limits{})
		s.deps.Tenants = deps.Tenants
	}
	s.auditor = &audited.Auditor{Recorder: s.account, Source: s.proxies.Of, Tenants: deps.Tenants}
	s.topics = topics.New(topics.Config{Readers: process.Readers}, deps.Broker)
	budget := door.NewBudget(int64(cmp.Or(cfg.MaxInFlight, 384<<20)))
	s.hub = tail.NewHub(deps.Broker, cmp.Or(cfg.MaxTails, 256), func(t *quota.Tenant) broker.Room { return budget.Room(t) }, deps.Log)
	items := newItems()
	s.intakes = newIntakes(cfg, deps, publisher, items)
	profiles := record.NewCache(name, driftv1.NewDriftServiceClient(deps.Drift), nil)
	s.profiles = profiles
	s.records = records.New(cfg.Records, records.Deps{
		Intake: s.intakes.records, Budget: budget, MaxMessage: s.maxMessage,
		Profiles: profiles,
		Tracer:   deps.Traces.Tracer("github.com/driftmesh/driftmesh/services/gateway"),
	})
	pages, err := origin.New(cfg.pages(cfg.OTLP.CORSOrigins))
	if err != nil {
		return nil, fmt.Errorf("gateway.otlp.cors-origins: %w", err)
	}
	if s.otlp, err = otlpdoor.New(cfg.OTLP, otlpdoor.Deps{
		Intake: s.intakes.spans, Budget: budget, MaxMessage: s.maxMessage,
		Identify: deps.Identify, Log: deps.Log, Stats: deps.Stats, Calls: deps.Calls, Traces: deps.Traces,
		Allowance: s.traced, Pages: pages, TLS: deps.TLS, Refused: s.refusedAt,
	}); err != nil {
		return nil, err
	}
	if err := s.openLoop(); err != nil {
		return nil, err
	}
	if cfg.Scouter {
		s.scouter = s.newScouter()
	}
	if s.grpc, err = s.newServer(); err != nil {
		return nil, err
	}
	if err := s.newWeb(); err != nil {
		return nil, err
	}
	return s, errors.Join(register(deps.Stats, items, budget, s.hub), deps.Tenants.Register(deps.Stats, name, nil))
}

// record puts entries into the account of who did what, which auth keeps.
func (s *Service) record(ctx context.Context, entries []audit.Entry) error {
	req := &auditv1.RecordRequest{Entries: make([]*auditv1.Entry, len(entries))}
	for i, e := range entries {
		req.Entries[i] = wire.Message(e)
	}
	_, err := auditv1.NewAuditServiceClient(s.deps.Auth).Record(identity.With(ctx, identity.ForService(name, identity.MeshTenant)), req)
	return err
}

func (s *Service) maxMessage() int { return s.deps.Broker.Capabilities().MaxMessageBytes }

// refusedAt takes down who was refused at a door; r is nil over gRPC.
func (s *Service) refusedAt(ctx context.Context, r *http.Request, action string, err error) {
	source := s.proxies.Of(ctx)
	if r != nil {
		source = s.proxies.OfRequest(r)
	}
	s.auditor.Refused(ctx, action, source, err)
}

// A stream's and a connection's window inside the process. They are fixed: else they
// grow, and whoever reads a stream slowly holds as much memory as they have become.
const insideStream, insideConn = 1 << 20, 16 << 20

// openLoop makes the connection to the gateway's own gRPC server, inside the process.
func (s *Service) openLoop() (err error) {
	maxAnswer := grpc.MaxCallRecvMsgSize(64 << 20) // the same as between services
	s.loop, err = grpc.NewClient("passthrough:///gateway", append(append(s.deps.Calls.DialOptions(), rpc.NameOnward()...),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.inside.DialContext(ctx) }),
		grpc.WithInitialWindowSize(insideStream), grpc.WithInitialConnWindowSize(insideConn),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(maxAnswer))...)
	if err != nil {
		return fmt.Errorf("dial own gRPC server: %w", err)
	}
	return nil
}

// newWeb makes the HTTP side, which calls the gRPC server inside the process.
func (s *Service) newWeb() error {
	pages, err := origin.New(s.cfg.pages(nil))
	if err != nil {
		return err
	}
	files, err := web.Files()
	if err != nil {
		return err
	}
	ui, err := site.New(files)
	if err != nil {
		return err
	}
	cfg := rest.Config{MaxBody: int64(s.cfg.MaxRequest), MaxRequests: s.cfg.MaxRequests, Pages: pages}
	traces := tracev1.NewTraceServiceClient(s.deps.TraceStore)
	deps := rest.Deps{
		Conn: s.loop, Authenticate: s.deps.Identify, Enter: s.enter, Tenants: s.deps.Tenants, Log: s.deps.Log,
		Refused: func(r *http.Request, route string, err error) { s.refusedAt(r.Context(), r, route, err) },
		Spans:   s.otlp.Traces(),
		Jaeger:  jaeger.New(jaeger.Config{}, traces, s.deps.Log), Site: ui,
	}
	if s.scouter != nil {
		deps.More = s.scouterRoutes()
	}
	if s.jaeger, err = rest.NewJaeger(cfg, deps); err != nil {
		return err
	}
	s.web, err = rest.New(cfg, deps)
	return err
}

// Run serves until ctx ends, lets calls under way finish and returns nil after
// a clean stop. First the HTTP side stops, then OTLP, then gRPC, which the HTTP
// side calls.
func (s *Service) Run(ctx context.Context) error {
	group := process.NewGroup(s.deps.Log)
	group.Add("grpc", func(ctx context.Context) error {
		return s.grpc.Serve(ctx, given(s.inside, s.deps.GRPC)...)
	})
	group.Add("otlp", func(ctx context.Context) error {
		return s.otlp.Serve(ctx, s.deps.OTLPGRPC, s.deps.OTLPHTTP)
	})
	for name, side := range map[string]struct {
		lis     net.Listener
		handler http.Handler
	}{"http": {s.deps.HTTP, s.web}, "jaeger": {s.deps.Jaeger, s.jaeger}} {
		if side.lis != nil {
			group.Add(name, func(ctx context.Context) error {
				return rest.Serve(ctx, side.lis, s.deps.TLS, side.handler, s.deps.Log)
			})
		}
	}
	group.Add("audit", s.account.Run)
	group.Add("limits", s.watchLimits)
	defer s.topics.Watch()()
	// Streams would never end by themselves.
	end := context.AfterFunc(ctx, func() {
		s.records.Stop()
		s.hub.Stop()
	})
	defer end()
	err := group.Run(ctx)
	s.records.Stop()
	s.hub.Stop()
	s.records.Wait()
	return errors.Join(err, s.loop.Close())
}

func given(listeners ...net.Listener) []net.Listener {
	out := listeners[:0]
	for _, l := range listeners {
		if l != nil {
			out = append(out, l)
		}
	}
	return out
}

// closeTimeout bounds the closing of the broker's connection.
const closeTimeout = 5 * time.Second

// Run opens what cfg and env name, serves until ctx ends, and closes what it
// opened. It waits for nobody: calls that need a service that is away are told
// to try again.
func Run(ctx context.Context, cfg Config, env process.Env) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	o, err := open(ctx, cfg, env)
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, o.close(late))
	}()
	if err != nil {
		return err
	}
	service, err := New(cfg, o.deps) //nolint:contextcheck // building starts nothing that could end
	if err != nil {
		return err
	}
	if cfg.Anonymous {
		env.Log.Warn("callers without credentials are let in as tenant default")
	}
	return o.serve(ctx, service)
}
