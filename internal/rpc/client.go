package rpc

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// ClientConfig says how to reach a server.
type ClientConfig struct {
	Target      string                           // host:port, or any gRPC target
	Credentials credentials.PerRPCCredentials    // who calls; nil for nobody
	Transport   credentials.TransportCredentials // nil for plaintext
	CallTimeout time.Duration                    // of a unary call without a deadline; 0 means 10 s
	MaxResponse int                              // bytes of one response message; 0 means 64 MiB
	Traces      trace.TracerProvider
	Calls       *Metrics // counts the calls; nil counts none
	DialOptions []grpc.DialOption
}

// balanced spreads calls over all addresses of a name; without it gRPC stays with
// the first that answers, and all but one replica stand idle.
const balanced = `{"loadBalancingConfig": [{"round_robin": {}}]}`

// Dial makes a client connection to a server, or to all replicas behind one name:
// calls go to each in turn, and past one that is away. It does not wait: calls
// made while nobody is there fail with fault.Unavailable, and connections come
// back by themselves. Statuses arrive as faults.
func Dial(cfg ClientConfig) (*grpc.ClientConn, error) {
	if cfg.Transport == nil {
		cfg.Transport = insecure.NewCredentials()
	}
	timeout := cmp.Or(cfg.CallTimeout, 10*time.Second)
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(cfg.Transport),
		grpc.WithDefaultServiceConfig(balanced),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(cmp.Or(cfg.MaxResponse, 64<<20))),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithChainUnaryInterceptor(clientUnary(timeout)),
		grpc.WithChainStreamInterceptor(clientStream),
	}
	if cfg.Calls != nil {
		// Inside of the deadline, and of what makes faults of statuses.
		options = append(options, cfg.Calls.DialOptions()...)
	}
	options = append(options, cfg.DialOptions...)
	if cfg.Traces != nil {
		options = append(options, grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(cfg.Traces), otelgrpc.WithPropagators(telemetry.Propagator()))))
	}
	if cfg.Credentials != nil {
		options = append(options, grpc.WithPerRPCCredentials(cfg.Credentials))
	}
	conn, err := grpc.NewClient(cfg.Target, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", cfg.Target, err)
	}
	return conn, nil
}

func clientUnary(timeout time.Duration) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if _, bounded := ctx.Deadline(); !bounded {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		return Fault(invoke(nameOnward(ctx), method, req, reply, cc, opts...))
	}
}

func clientStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(nameOnward(ctx), desc, cc, method, opts...)
	if err != nil {
		return nil, Fault(err)
	}
	return faultStream{stream}, nil
}

// faultStream gives faults for statuses; io.EOF stays io.EOF.
type faultStream struct{ grpc.ClientStream }

func (s faultStream) RecvMsg(m any) error { return Fault(s.ClientStream.RecvMsg(m)) }

// Faults is a connection whose statuses arrive as faults, as those of Dial do.
func Faults(conn grpc.ClientConnInterface) grpc.ClientConnInterface { return faults{conn} }

type faults struct{ grpc.ClientConnInterface }

// Invoke implements grpc.ClientConnInterface.
func (f faults) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return Fault(f.ClientConnInterface.Invoke(ctx, method, args, reply, opts...))
}

// NewStream implements grpc.ClientConnInterface.
func (f faults) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := f.ClientConnInterface.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, Fault(err)
	}
	return faultStream{stream}, nil
}
