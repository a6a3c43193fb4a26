package sdk

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// noTraces is the provider where tracing is off.
var noTraces trace.TracerProvider = noop.NewTracerProvider()

// openTraces makes the provider and the queues of its spans.
func (c *Client) openTraces(ctx context.Context) error {
	if c.cfg.noSpans {
		return nil
	}
	s := c.cfg.sampling
	meshRatio, most := s.meshRatio, s.meshRatio
	for _, e := range c.cfg.exporters {
		most = max(most, e.ratio)
	}
	if s.set {
		most, meshRatio = s.ratio, 1
	}
	c.spans = newSpanQueue(placeMesh, c.cfg.spans, c.cfg.inFlight, c.newPace())
	c.spans.keep = relative(meshRatio, most)
	c.spans.carry = func(ctx context.Context, f *flight) { c.toMesh(ctx, c.spans, f) }
	c.fly(ctx, c.spans.lane)
	processors := []sdktrace.SpanProcessor{TraceTags(), c.spans}
	for _, e := range c.cfg.exporters {
		opened, err := e.open(ctx)
		if err != nil {
			return fmt.Errorf("exporter %s: %w", e.name, err)
		}
		batch := c.cfg.spans
		if e.delay != nil {
			batch.delay = *e.delay
		}
		q := newSpanQueue(e.name, batch, 1, c.newPace())
		if !s.set {
			q.keep = relative(e.ratio, most)
		}
		q.carry = func(ctx context.Context, f *flight) { toExporter(ctx, q, opened, f) }
		c.closes = append(c.closes, opened.Shutdown)
		c.others = append(c.others, q)
		c.fly(ctx, q.lane)
		processors = append(processors, q)
	}
	described, err := c.cfg.resource(ctx)
	if err != nil {
		return err
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(described), sdktrace.WithSampler(newSampler(most, !s.always))}
	for _, p := range processors {
		options = append(options, sdktrace.WithSpanProcessor(p))
	}
	c.traces = sdktrace.NewTracerProvider(options...)
	c.tracer, c.parentDecides = c.traces.Tracer(scope), !s.always
	return nil
}

// relative is the keeper of a ratio among traces that were kept by another.
func relative(ratio, most float64) *keeper {
	if ratio >= most {
		return nil
	}
	return newKeeper(ratio)
}

// resource describes the process. Arguments and owner of the process are left out:
// command lines hold secrets.
func (c *config) resource(ctx context.Context) (*resource.Resource, error) {
	own := []attribute.KeyValue{semconv.TelemetryDistroName("driftmesh")}
	own = append(own, c.attributes...)
	if c.service != "" {
		own = append(own, semconv.ServiceName(c.service))
	}
	r, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithProcessExecutableName(), resource.WithProcessRuntimeName(), resource.WithProcessRuntimeVersion(),
		resource.WithService(), resource.WithFromEnv(), resource.WithAttributes(own...),
	)
	if errors.Is(err, resource.ErrPartialResource) || errors.Is(err, resource.ErrSchemaURLConflict) {
		err = nil // what could be found out is good enough
	}
	if err != nil {
		return nil, fmt.Errorf("describe the process: %w", err)
	}
	return r, nil
}
