package sdk

import (
	"context"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Headers of the header map, which clients of Scouter send and read.
const (
	headerTraceID = "trace_id"
	headerSpanID  = "span_id"
	headerSampled = "is_sampled"
)

// HeaderMap carries a trace over to another process by the headers trace_id, span_id
// and is_sampled ("true" or "false"), beside those of W3C, which win where both come.
type HeaderMap struct{}

var _ propagation.TextMapPropagator = HeaderMap{}

// Inject writes the three headers.
func (HeaderMap) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return
	}
	carrier.Set(headerTraceID, sc.TraceID().String())
	carrier.Set(headerSpanID, sc.SpanID().String())
	carrier.Set(headerSampled, strconv.FormatBool(sc.IsSampled()))
}

// Extract reads them, unless ctx has a span from elsewhere already. Without
// is_sampled, or with one that is neither, the trace is sampled.
func (HeaderMap) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && sc.IsRemote() {
		return ctx
	}
	traceID, err := trace.TraceIDFromHex(strings.ToLower(carrier.Get(headerTraceID)))
	if err != nil {
		return ctx
	}
	spanID, err := trace.SpanIDFromHex(strings.ToLower(carrier.Get(headerSpanID)))
	if err != nil {
		return ctx
	}
	flags := trace.FlagsSampled
	if sampled, err := strconv.ParseBool(strings.ToLower(carrier.Get(headerSampled))); err == nil && !sampled {
		flags = 0
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: flags}))
}

// Fields are the headers' names.
func (HeaderMap) Fields() []string { return []string{headerTraceID, headerSpanID, headerSampled} }

// Propagator carries traces over to other processes, and reads what they carry over:
// W3C Trace Context and Baggage, and the header map. [Init] registers it.
func Propagator() propagation.TextMapPropagator {
	// The later wins: what W3C says is more.
	return propagation.NewCompositeTextMapPropagator(HeaderMap{}, propagation.TraceContext{}, propagation.Baggage{})
}

// Headers are what is to go along with a call, for transports without an
// instrumentation: trace_id, span_id, is_sampled, traceparent, and tracestate and
// baggage where there are any. They are empty outside a trace.
func Headers(ctx context.Context) map[string]string {
	carrier := propagation.MapCarrier{}
	Propagator().Inject(ctx, carrier)
	return carrier
}

// FromHeaders is the other side of Headers: a context in which spans go on with the
// trace of a caller. The case of the names does not matter.
func FromHeaders(ctx context.Context, headers map[string]string) context.Context {
	carrier := make(propagation.MapCarrier, len(headers))
	for name, value := range headers {
		carrier[strings.ToLower(name)] = value
	}
	return Propagator().Extract(ctx, carrier)
}

// TraceTags gives spans the tags that [TraceTag] sent along. The client's provider
// has it; give it to another by sdktrace.WithSpanProcessor.
func TraceTags() sdktrace.SpanProcessor { return traceTags{} }

type traceTags struct{}

// OnStart implements the processor.
func (traceTags) OnStart(ctx context.Context, span sdktrace.ReadWriteSpan) {
	all := baggage.FromContext(ctx)
	if all.Len() == 0 {
		return
	}
	for _, member := range all.Members() {
		if strings.HasPrefix(member.Key(), AttrTag) {
			span.SetAttributes(attribute.String(member.Key(), member.Value()))
		}
	}
}

// OnEnd implements the processor.
func (traceTags) OnEnd(sdktrace.ReadOnlySpan) {}

// Shutdown implements the processor.
func (traceTags) Shutdown(context.Context) error { return nil }

// ForceFlush implements the processor.
func (traceTags) ForceFlush(context.Context) error { return nil }
