// Package rpc makes gRPC servers and clients that behave the same everywhere:
// who calls is known before a handler runs, faults become statuses and
// statuses faults, every call is counted, traced and bounded in time, and a
// server that stops lets its callers finish.
package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// ServerConfig bounds a server.
type ServerConfig struct {
	Listen        string              `help:"Address to listen on." placeholder:"HOST:PORT"`
	MaxRequest    int                 `kong:"-"` // bytes of one request message; 0 means 16 MiB
	CallTimeout   time.Duration       `kong:"-"` // of a unary call that came without a deadline; 0 means 30 s
	BodyTimeout   time.Duration       `kong:"-"` // in which the request of a unary call must have come; 0 means 60 s
	DrainTimeout  time.Duration       `kong:"-"` // how long calls may go on after the stop; 0 means 10 s
	MaxStreams    uint32              `kong:"-"` // concurrent calls of one connection; 0 means 1024
	MaxIdle       time.Duration       `kong:"-"` // a connection without calls is closed after this; 0 means 15 min
	MaxAge        time.Duration       `kong:"-"` // a connection takes no more calls after this: its client looks who is there by now; 0 means never
	Reflection    bool                `kong:"-"`
	ServerOptions []grpc.ServerOption `kong:"-"`
}

// Authenticate finds out who calls method and returns a context that says so,
// or a fault.
type Authenticate func(ctx context.Context, method string) (context.Context, error)

// ServerDeps is what a server needs. Authenticate may be nil only where nobody
// outside the process can call.
type ServerDeps struct {
	Log          *slog.Logger
	Calls        *Metrics              // counts the calls; nil makes one on Stats
	Stats        prometheus.Registerer // not needed with Calls
	Traces       trace.TracerProvider
	Authenticate Authenticate
	// AuthenticateStream takes the place of Authenticate for streams. When the
	// context that it gives ends with a fault as its cause, so does the stream.
	AuthenticateStream Authenticate
	// Refused is told of calls that end because of who calls, or nobody is told when
	// it is nil. The context has the caller, if that is known.
	Refused   func(ctx context.Context, method string, err error)
	Allowance *telemetry.Allowance // of traces that callers ask for; nil is no bound
	// Unknown is what a method that is not there is answered with; what it has nothing
	// to say of is unknown. Optional.
	Unknown func(method string) error
}

// Server is a gRPC server with health and, if asked for, reflection.
type Server struct {
	cfg    ServerConfig
	log    *slog.Logger
	grpc   *grpc.Server
	health *health.Server
	calls  *Metrics
	edge   *edge
}

// NewServer makes a server. Register services on it, then Serve.
func NewServer(cfg ServerConfig, deps ServerDeps) (*Server, error) {
	cfg = cfg.withDefaults()
	if deps.Calls == nil {
		var err error
		if deps.Calls, err = NewMetrics(MetricsConfig{}, deps.Stats); err != nil {
			return nil, err
		}
	}
	edge := &edge{
		log: deps.Log, authenticate: deps.Authenticate, timeout: cfg.CallTimeout,
		streams: map[string]*Method{}, unknown: deps.Calls.Method(BidiStream, ""),
		tracer: deps.Traces.Tracer("github.com/driftmesh/driftmesh/internal/rpc"), allowance: deps.Allowance,
	}
	edge.refused, edge.elsewhere = deps.Refused, deps.Unknown
	if edge.ofStream = deps.AuthenticateStream; edge.ofStream == nil {
		edge.ofStream = edge.authenticate
	}
	options := append([]grpc.ServerOption{
		Endable(),
		grpc.ChainStreamInterceptor(edge.stream),
		grpc.UnknownServiceHandler(unimplemented), // for edge.stream to see them
		grpc.MaxRecvMsgSize(cfg.MaxRequest),
		grpc.MaxConcurrentStreams(cfg.MaxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: cfg.MaxIdle, MaxConnectionAge: cfg.MaxAge, Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}, append(deps.Calls.ServerOptions(), cfg.ServerOptions...)...)
	s := &Server{cfg: cfg, log: deps.Log, grpc: grpc.NewServer(options...), health: health.NewServer(), calls: deps.Calls, edge: edge}
	healthgrpc.RegisterHealthServer(s, s.health)
	if cfg.Reflection {
		// What it describes is all that the server has, not s.
		reflection.Register(struct {
			grpc.ServiceRegistrar
			reflection.ServiceInfoProvider
		}{s, s.grpc})
	}
	return s, nil
}

func (c ServerConfig) withDefaults() ServerConfig {
	c.MaxRequest = cmp.Or(c.MaxRequest, 16<<20)
	c.CallTimeout = cmp.Or(c.CallTimeout, 30*time.Second)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, 60*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 10*time.Second)
	c.MaxStreams = cmp.Or(c.MaxStreams, 1024)
	c.MaxIdle = cmp.Or(c.MaxIdle, 15*time.Minute)
	return c
}

// RegisterService implements grpc.ServiceRegistrar and reports the service as
// serving to health checks.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	guarded := *desc
	guarded.Methods = slices.Clone(desc.Methods)
	for i, m := range guarded.Methods {
		guarded.Methods[i].Handler = s.around(m.Handler, s.calls.Method(Unary, "/"+desc.ServiceName+"/"+m.MethodName))
	}
	for _, stream := range desc.Streams {
		full := "/" + desc.ServiceName + "/" + stream.StreamName
		s.edge.streams[full] = s.calls.Method(typeOf(&stream), full)
	}
	s.grpc.RegisterService(&guarded, impl)
	s.health.SetServingStatus(desc.ServiceName, healthgrpc.HealthCheckResponse_SERVING)
}

// RegisterApart registers a service of unary methods that brings an edge of its own:
// it finds out who calls, and counts and traces its calls, by itself.
func (s *Server) RegisterApart(desc *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(desc, impl)
	s.health.SetServingStatus(desc.ServiceName, healthgrpc.HealthCheckResponse_SERVING)
}

// around puts the edge around a unary method, decoding of its request
// included: gRPC's own unary interceptors run after that, when the cost of a
// stranger's request is spent. (Those of streams run before.) A request is read,
// decompressed and decoded only when the handler asks for it.
func (s *Server) around(handle grpc.MethodHandler, method *Method) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, inner grpc.UnaryServerInterceptor) (any, error) {
		call := method.Begin()
		return s.edge.unary(ctx, call, func(ctx context.Context) (any, error) {
			return handle(srv, ctx, func(into any) error {
				return WithinTime(ctx, s.cfg.BodyTimeout, call.decoding(decode), into)
			}, inner)
		})
	}
}

// Listen opens the configured address; ctx bounds only the look-up of its host.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return lis, nil
}

// Serve answers calls on all listeners until ctx ends, then lets running calls
// finish within the drain timeout. It returns nil after a clean stop.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	failed := make(chan error, len(listeners))
	for _, lis := range listeners {
		go func() { failed <- s.grpc.Serve(lis) }()
	}
	running := len(listeners)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		running--
	}
	s.stop()
	for range running {
		if e := <-failed; err == nil {
			err = e
		}
	}
	if errors.Is(err, grpc.ErrServerStopped) {
		err = nil
	}
	return err
}

func (s *Server) stop() {
	s.health.Shutdown()
	hard := time.AfterFunc(s.cfg.DrainTimeout, s.grpc.Stop)
	defer hard.Stop()
	s.grpc.GracefulStop()
}
