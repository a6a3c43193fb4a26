package otlpdoor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
)

// TestOpenTelemetrySDK sends what the Go SDK sends, over its own exporters.
func TestOpenTelemetrySDK(t *testing.T) {
	t.Parallel()
	for name, exporter := range map[string]func(*bench) (sdktrace.SpanExporter, error){
		"grpc": func(b *bench) (sdktrace.SpanExporter, error) {
			return otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(b.grpcAddr), otlptracegrpc.WithInsecure(),
				otlptracegrpc.WithHeaders(map[string]string{"authorization": "Bearer acme-token"}))
		},
		"grpc gzip": func(b *bench) (sdktrace.SpanExporter, error) {
			return otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(b.grpcAddr), otlptracegrpc.WithInsecure(),
				otlptracegrpc.WithCompressor("gzip"))
		},
		"http": func(b *bench) (sdktrace.SpanExporter, error) {
			return otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(b.url+"/v1/traces"))
		},
		"http gzip": func(b *bench) (sdktrace.SpanExporter, error) {
			return otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(b.url+"/v1/traces"),
				otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, otlpdoor.Config{})
			e, err := exporter(b)
			require.NoError(t, err)
			provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(e))
			tracer := provider.Tracer("sdk", trace.WithInstrumentationVersion("1"))
			ctx, parent := tracer.Start(context.Background(), "parent", trace.WithSpanKind(trace.SpanKindServer))
			_, child := tracer.Start(ctx, "child", trace.WithLinks(trace.Link{SpanContext: parent.SpanContext()},
				trace.Link{Attributes: []attribute.KeyValue{attribute.String("why", "an empty link that OpenTelemetry allows")}}),
				trace.WithAttributes(attribute.StringSlice("list", []string{"a", "b"}), attribute.Float64("f", 1.5)))
			child.AddEvent("event", trace.WithTimestamp(time.Now()))
			child.SetStatus(codes.Error, "broken")
			child.End()
			parent.End()
			require.NoError(t, provider.Shutdown(t.Context()))

			stored := b.published.spans(t)
			require.Len(t, stored, 2)
			got := stored["child"]
			require.Equal(t, stored["parent"].SpanId, got.ParentSpanId)
			require.Len(t, got.Events, 1)
			require.NotEmpty(t, got.Links)
			require.Equal(t, tracepb.Status_STATUS_CODE_ERROR, got.Status.Code)
			require.Len(t, got.Attributes, 2)
		})
	}
}
