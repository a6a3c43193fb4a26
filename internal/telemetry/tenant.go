package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// AttrTenant names the tenant on whose behalf a span's work was done. The
// mesh's own spans belong to a tenant of its own; by this attribute a tenant
// finds those about its own traces, and no others.
const AttrTenant = "driftmesh.tenant"

type tenantKey struct{}

// WithTenant returns a context whose spans, from now on, are about the tenant;
// also the one that is open.
func WithTenant(ctx context.Context, tenant string) context.Context {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String(AttrTenant, tenant))
	}
	return context.WithValue(ctx, tenantKey{}, tenant)
}

// tenantTagger puts the context's tenant on every span that begins.
type tenantTagger struct{}

func (tenantTagger) OnStart(ctx context.Context, span sdktrace.ReadWriteSpan) {
	if tenant, ok := ctx.Value(tenantKey{}).(string); ok {
		span.SetAttributes(attribute.String(AttrTenant, tenant))
	}
}

func (tenantTagger) OnEnd(sdktrace.ReadOnlySpan)      {}
func (tenantTagger) Shutdown(context.Context) error   { return nil }
func (tenantTagger) ForceFlush(context.Context) error { return nil }
