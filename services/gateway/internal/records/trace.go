package records

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/record"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// maxLinks bounds the links of one span.
const maxLinks = 64

// spanName is what the door's work on one batch is called.
const spanName = "accept records"

// begin starts the span of the door's work on a batch. A call that came without
// a trace of its own continues the trace of the first record that has one, so
// that a single record sent with a traceparent gives one trace of every hop;
// the other records' traces are linked. Nothing the mesh says about itself is
// traced.
func (s *Service) begin(ctx context.Context, tenant string, good []*ingestv1.Record) (context.Context, trace.Span) {
	if tenant == identity.MeshTenant {
		return ctx, noop.Span{}
	}
	contexts := sampled(good)
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindInternal),
		trace.WithAttributes(attribute.Int("driftmesh.records", len(good)), attribute.String("driftmesh.tenant", tenant)),
	}
	if len(contexts) > 0 && !hasParent(ctx) {
		if own := trace.SpanContextFromContext(ctx); own.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: own}))
		}
		ctx = trace.ContextWithRemoteSpanContext(ctx, contexts[0])
		options = append(options, trace.WithSpanKind(trace.SpanKindServer))
		contexts = contexts[1:]
	}
	links := make([]trace.Link, 0, len(contexts))
	for _, sc := range contexts {
		links = append(links, trace.Link{SpanContext: sc})
	}
	return s.tracer.Start(ctx, spanName, append(options, trace.WithLinks(links...))...)
}

// sampled are the distinct traces of the records that are to be recorded.
func sampled(good []*ingestv1.Record) []trace.SpanContext {
	var list []trace.SpanContext
	seen := map[trace.TraceID]struct{}{}
	for _, r := range good {
		if r.GetTraceparent() == "" {
			continue
		}
		sc, ok := record.ParseParent(r.GetTraceparent())
		if _, twice := seen[sc.TraceID()]; !ok || twice || !sc.IsSampled() {
			continue
		}
		if ts, err := trace.ParseTraceState(r.GetTracestate()); err == nil {
			sc = sc.WithTraceState(ts)
		}
		seen[sc.TraceID()] = struct{}{}
		if list = append(list, sc); len(list) == maxLinks {
			break
		}
	}
	return list
}

// hasParent reports whether the call itself came with a trace context.
func hasParent(ctx context.Context) bool {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("traceparent")
	if len(values) == 0 {
		return false
	}
	_, ok := record.ParseParent(values[0])
	return ok
}
