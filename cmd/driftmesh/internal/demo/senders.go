package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exportEvery is how long spans wait for others to travel with.
const exportEvery = time.Second

// exporters are the tracer providers of the shop's services.
type exporters map[string]*sdktrace.TracerProvider

// newExporters makes a provider for each service, with a connection of its own
// to the OTLP door, as separate programs would have.
func newExporters(ctx context.Context, address, apiKey, version string) (exporters, error) {
	headers := map[string]string{}
	if apiKey != "" {
		headers["x-api-key"] = apiKey
	}
	all := exporters{}
	for _, name := range services {
		exporter, err := otlptrace.New(ctx, otlptracegrpc.NewClient(
			otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithInsecure(), otlptracegrpc.WithHeaders(headers)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make exporter of %s: %w", name, err), all.close(ctx))
		}
		all[name] = sdktrace.NewTracerProvider(
			sdktrace.WithResource(resource.NewSchemaless(
				attribute.String("service.name", name), attribute.String("service.namespace", "shop"),
				attribute.String("service.version", version), attribute.String("deployment.environment.name", "demo"))),
			sdktrace.WithSampler(sdktrace.AlwaysSample()),
			// History comes faster than it leaves; not a span of it may be dropped.
			sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(exportEvery), sdktrace.WithBlocking()),
		)
	}
	return all, nil
}

// flush sends what waits.
func (e exporters) flush(ctx context.Context) error {
	var errs []error
	for name, p := range e {
		if err := p.ForceFlush(ctx); err != nil {
			errs = append(errs, fmt.Errorf("send spans of %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// close sends what waits and lets go of the connections.
func (e exporters) close(ctx context.Context) error {
	var errs []error
	for name, p := range e {
		if err := p.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("send last spans of %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
