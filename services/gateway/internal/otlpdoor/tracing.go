package otlpdoor

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/requestid"
)

// begin starts the span of a call when it is to be traced: never for the
// mesh's own tenant, in a sampled trace that comes with the call as long as there
// is an allowance for that, else as often as the sampler allows. Most calls come without a trace, and then
// this costs the sampler's question and no more.
func (d *Door) begin(ctx context.Context, r *request, name, parent, state string) context.Context {
	if r.tenant == event.Mesh {
		return ctx
	}
	if parent != "" {
		carrier := propagation.MapCarrier{"traceparent": parent}
		if len(state) <= event.MaxTraceState {
			carrier["tracestate"] = state
		}
		ctx = d.deps.Allowance.Limit(propagation.TraceContext{}.Extract(ctx, carrier))
	}
	ctx, span := d.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		r.span = span
		span.SetAttributes(attribute.String(requestid.Attribute, requestid.From(ctx)))
	}
	return ctx
}

// describe puts what a request holds on its span, with a link to the first of
// its spans: that is where somebody who follows a trace finds its way.
func (r *request) describe(rep *otlp.Report, size int) {
	if r.span == nil {
		return
	}
	r.span.SetAttributes(
		attribute.String("driftmesh.tenant", r.tenant),
		attribute.Int("driftmesh.otlp.spans", rep.Spans),
		attribute.Int("driftmesh.otlp.rejected_spans", rep.Rejected),
		attribute.Int("driftmesh.otlp.bytes", size),
	)
	first := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: rep.TraceID, SpanID: rep.SpanID, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	if first.IsValid() {
		r.span.AddLink(trace.Link{SpanContext: first})
	}
}

// end ends the span; code is what the caller was told.
func (r *request) end(system, code string, err error) {
	if r.span == nil {
		return
	}
	r.span.SetAttributes(
		attribute.String("rpc.system.name", system),
		attribute.String("rpc.response.status_code", code),
	)
	if err != nil {
		r.span.SetStatus(codes.Error, err.Error())
	}
	r.span.End()
}

// trace is what the request is recorded in, if it is.
func (r *request) trace() trace.SpanContext {
	if r.span == nil {
		return trace.SpanContext{}
	}
	return r.span.SpanContext()
}
