package rpc

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/requestid"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// begin starts the span of a call. It is ours and not otelgrpc's because that
// begins before anybody knows who calls: a sampled traceparent alone would make
// a stranger's every attempt a stored span.
func (e *edge) begin(ctx context.Context, method string) (context.Context, trace.Span) {
	md, _ := metadata.FromIncomingContext(ctx)
	ctx = e.allowance.Limit(telemetry.Propagator().Extract(ctx, carrier(md)))
	return e.tracer.Start(ctx, strings.TrimPrefix(method, "/"), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.method", strings.TrimPrefix(method, "/")),
		attribute.String(requestid.Attribute, requestid.From(ctx)),
	))
}

// end ends the span of a call that was answered so. Only what is the server's
// own failure is an error of the span, as OpenTelemetry has it for servers.
func end(span trace.Span, code codes.Code, message string) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("rpc.response.status_code", code.String()))
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		span.SetStatus(otelcodes.Error, message)
	default:
	}
	span.End()
}

// carrier reads the metadata of a call.
type carrier metadata.MD

var _ propagation.TextMapCarrier = carrier(nil)

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier. Nothing is written to what came in.
func (c carrier) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}
