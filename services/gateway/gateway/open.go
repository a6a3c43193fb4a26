package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity/authcheck"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/seal"
)

// name is what the gateway calls itself to other services.
const name = "gateway"

// opened is what Run has opened, in order.
type opened struct {
	deps   Deps
	env    process.Env
	keys   *authcheck.Checker
	closes []func(context.Context) error
}

// open opens everything. What it returns must be closed, also after an error.
func open(ctx context.Context, cfg Config, env process.Env) (*opened, error) {
	o := &opened{env: env, deps: Deps{
		Instance: env.Instance, Log: env.Log, Stats: env.Stats, Traces: env.Traces,
		Tenants: quota.NewBook(quota.Defaults()), TopicBytes: int64(env.Shared.Broker.MaxBytes),
	}}
	var err error
	if o.deps.Calls, err = env.Calls(); err != nil {
		return o, err
	}
	secrets, err := env.Secrets()
	if err != nil {
		return o, err
	}
	o.deps.Seal = seal.New(secrets)
	if o.deps.TLS, err = process.OpenTLS(name, cfg.TLS, env.Log, env.Stats); err != nil {
		return o, err
	}
	o.deps.Settings = env.Shared.InForce.List
	o.deps.Certificates = func() []process.Certificate {
		list := env.Certificates()
		if o.deps.TLS != nil {
			list = append([]process.Certificate{process.CertificateOf(o.deps.TLS, name, "gateway.tls")}, list...)
		}
		return list
	}
	// Listeners first: an address in use is the likeliest fault, and the
	// cheapest to find.
	for _, l := range []struct {
		setting, addr string
		to            *net.Listener
	}{
		{"gateway.http", cfg.HTTP, &o.deps.HTTP}, {"gateway.jaeger", cfg.Jaeger, &o.deps.Jaeger}, {"gateway.grpc", cfg.GRPC, &o.deps.GRPC},
		{"gateway.otlp-grpc", cfg.OTLPGRPC, &o.deps.OTLPGRPC}, {"gateway.otlp-http", cfg.OTLPHTTP, &o.deps.OTLPHTTP},
	} {
		if err := o.listen(ctx, l.setting, l.addr, l.to); err != nil {
			return o, err
		}
	}
	for _, n := range []struct {
		service string
		to      **grpc.ClientConn
	}{
		{"auth", &o.deps.Auth}, {"drift", &o.deps.Drift}, {"trace-store", &o.deps.TraceStore}, {"ingest-worker", &o.deps.IngestWorker},
	} {
		conn, err := env.Neighbour(name, n.service)
		if err != nil {
			return o, fmt.Errorf("mesh.%s: %w", n.service, err)
		}
		*n.to = conn
		o.closes = append(o.closes, func(context.Context) error { return conn.Close() })
	}
	b, err := env.OpenBroker(ctx)
	if err != nil {
		return o, err
	}
	o.deps.Broker = b
	o.closes = append(o.closes, b.Close)
	return o, o.identify(cfg.anonymous())
}

func (o *opened) listen(ctx context.Context, setting, addr string, to *net.Listener) error {
	if addr == "" {
		return nil
	}
	var config net.ListenConfig
	lis, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen (setting %s): %w", setting, err)
	}
	*to = lis
	o.closes = append(o.closes, func(context.Context) error {
		if err := lis.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("close listener: %w", err)
		}
		return nil
	})
	return nil
}

// identify makes the check of credentials. Those without any are let in in the
// role anonymous, if that is not empty.
func (o *opened) identify(anonymous policy.Role) error {
	checker, err := authcheck.New(o.deps.Auth, name, anonymous)
	if err != nil {
		return err
	}
	o.keys, o.deps.Identify, o.deps.IdentifyStream = checker, checker.Authenticate, checker.AuthenticateStream
	if anonymous == "" {
		o.env.Ready("auth", checker.Ready) // nobody can come in without it
	}
	return nil
}

// serve provisions the topics while it already answers, so that callers learn
// to try again instead of finding nobody.
func (o *opened) serve(ctx context.Context, service *Service) error {
	topics := o.env.Topics(o.deps.Broker, event.Spans, event.SpanReceipts, event.Records, event.RecordReceipts)
	o.env.Ready(name, func(context.Context) error { return nil }) // it works when its neighbours do
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return o.keys.Run(ctx) })
	group.Go(func() error { return o.deps.Tenants.Follow(ctx, o.deps.Auth, name) })
	group.Go(func() error { return topics.Run(ctx) })
	group.Go(func() error { return service.Run(ctx) })
	return group.Wait()
}

// close closes everything in reverse.
func (o *opened) close(ctx context.Context) error {
	var errs []error
	for i := len(o.closes) - 1; i >= 0; i-- {
		errs = append(errs, o.closes[i](ctx))
	}
	return errors.Join(errs...)
}
