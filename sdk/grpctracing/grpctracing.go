// Package grpctracing carries traces over gRPC calls, both ways: a span for every
// call on either side, unary or of streams, W3C Trace Context, baggage and the header
// map trace_id, span_id, is_sampled in the metadata.
//
//	server := grpc.NewServer(grpctracing.ServerOptions()...)
//	conn, err := grpc.NewClient(address, grpctracing.DialOptions()...)
//
// A handler's context has the span: spans that it starts are below it, and records
// that it inserts carry it. It is OpenTelemetry's otelgrpc underneath, with the SDK's
// propagators; what a handler panics with, and the whole of the error that it
// returns, are recorded besides.
package grpctracing

import (
	"context"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/sdk"
)

// Option changes what is traced.
type Option func(*config)

type config struct {
	otel     []otelgrpc.Option
	payloads bool
}

// WithProvider makes spans with p. The default is OpenTelemetry's global provider,
// which sdk.Init sets, as it is when the options are made.
func WithProvider(p trace.TracerProvider) Option {
	return func(c *config) { c.otel = append(c.otel, otelgrpc.WithTracerProvider(p)) }
}

// WithPayloads captures request and answer of unary calls on the server's side as
// input and output, cut and redacted as the client says; see sdk.WithRedaction.
func WithPayloads() Option {
	return func(c *config) { c.payloads = true }
}

// WithFilter traces only calls that f says yes to.
func WithFilter(f otelgrpc.Filter) Option {
	return func(c *config) { c.otel = append(c.otel, otelgrpc.WithFilter(f)) }
}

// propagator is that of the default client, or what the SDK has without one.
func propagator() propagation.TextMapPropagator {
	if sdk.Default() != nil {
		return otel.GetTextMapPropagator()
	}
	return sdk.Propagator()
}

func configOf(options []Option) *config {
	// Calls are counted by package grpcmetrics, for who wants that.
	c := &config{otel: []otelgrpc.Option{otelgrpc.WithPropagators(propagator()), otelgrpc.WithMeterProvider(noop.NewMeterProvider())}}
	for _, o := range options {
		o(c)
	}
	return c
}

// ServerOptions are for grpc.NewServer.
func ServerOptions(options ...Option) []grpc.ServerOption {
	c := configOf(options)
	return []grpc.ServerOption{
		grpc.StatsHandler(otelgrpc.NewServerHandler(c.otel...)),
		grpc.ChainUnaryInterceptor(c.unary), grpc.ChainStreamInterceptor(stream),
	}
}

// DialOptions are for grpc.NewClient.
func DialOptions(options ...Option) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(configOf(options).otel...))}
}

func (c *config) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	span := sdk.Current(ctx)
	if !span.IsRecording() {
		return handle(ctx, req)
	}
	if c.payloads {
		span.SetInput(req)
	}
	var resp any
	err := recorded(span, func() (err error) {
		resp, err = handle(ctx, req)
		return err
	})
	if c.payloads && err == nil {
		span.SetOutput(resp)
	}
	return resp, err
}

func stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	span := sdk.Current(ss.Context())
	if !span.IsRecording() {
		return handle(srv, ss)
	}
	return recorded(span, func() error { return handle(srv, ss) })
}

// recorded notes how a handler ends. The status is otelgrpc's, which knows which
// codes are the server's fault.
func recorded(span sdk.Span, handle func() error) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if value := recover(); value != nil {
			span.RecordPanic(value)
			panic(value) //nolint:forbidigo // the handler's own, which goes on
		}
	}()
	err = handle()
	returned = true
	span.RecordError(err)
	return err
}
