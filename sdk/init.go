package sdk

import (
	"context"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// current is the client that Init made last, and what OpenTelemetry had before it.
var current struct {
	sync.Mutex
	client      atomic.Pointer[Client]
	provider    trace.TracerProvider
	propagators propagation.TextMapPropagator
}

// Init makes a client from the options and, for what they leave open, from the
// environment, and makes it the one of the process: its provider of tracers and its
// propagators are registered with OpenTelemetry, and Default gives it. Without
// either it sends to a mesh on this machine (driftmesh up). It does not wait for the
// mesh. The client must be shut down, which takes back what was registered.
//
// docs/sdk-environment.md lists the variables.
func Init(ctx context.Context, options ...Option) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg := defaults()
	cfg.fromEnvironment()
	for _, o := range options {
		o(&cfg)
	}
	c, err := newClient(cfg) //nolint:contextcheck // the client lives until it is shut down
	if err != nil {
		return nil, err
	}
	c.enter()
	return c, nil
}

// Default is the client that Init made last; nil when there is none, or it was shut
// down.
func Default() *Client { return current.client.Load() }

// enter makes c the client of the process.
func (c *Client) enter() {
	current.Lock()
	defer current.Unlock()
	if current.client.Load() == nil {
		current.provider, current.propagators = otel.GetTracerProvider(), otel.GetTextMapPropagator()
	}
	current.client.Store(c)
	if c.traces != nil {
		otel.SetTracerProvider(c.traces)
	}
	otel.SetTextMapPropagator(c.cfg.propagator())
}

// leave takes back what enter did, unless another client has come since.
func (c *Client) leave() {
	current.Lock()
	defer current.Unlock()
	if current.client.Load() != c {
		return
	}
	current.client.Store(nil)
	otel.SetTextMapPropagator(current.propagators)
	if otel.GetTracerProvider() == trace.TracerProvider(c.traces) {
		otel.SetTracerProvider(noTraces)
	}
}
