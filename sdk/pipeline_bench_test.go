package sdk

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// marshalling does of OpenTelemetry's exporter over gRPC all but the sending.
type marshalling struct{ uploaded }

func (*marshalling) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	_, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: spans})
	return err
}

// BenchmarkPipeline makes spans with eight attributes and turns them into the bytes of
// requests, in batches of 1024: by a client, and by OpenTelemetry's batch processor
// with its OTLP exporter. It flushes in between, so that neither drops any.
func BenchmarkPipeline(b *testing.B) {
	const between = 4000
	attrs := usual(1)[0].Attributes()
	run := func(b *testing.B, tracer trace.Tracer, flush func() error) {
		ctx := context.Background()
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			_, span := tracer.Start(ctx, "GET /api/v1/orders/{id}", trace.WithSpanKind(trace.SpanKindServer))
			span.SetAttributes(attrs...)
			span.End()
			if i%between == between-1 || i == b.N-1 {
				if err := flush(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("driftmesh", func(b *testing.B) {
		client, err := New("", WithTransport(nothing{}))
		if err != nil {
			b.Fatal(err)
		}
		run(b, client.TracerProvider().Tracer("bench"), func() error { return client.Flush(context.Background()) })
		if err := client.Shutdown(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("opentelemetry", func(b *testing.B) {
		processor := sdktrace.NewBatchSpanProcessor(otlptrace.NewUnstarted(new(marshalling)),
			sdktrace.WithMaxQueueSize(4096), sdktrace.WithMaxExportBatchSize(1024), sdktrace.WithBatchTimeout(time.Second))
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor), sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "bench"))))
		run(b, provider.Tracer("bench"), func() error { return provider.ForceFlush(context.Background()) })
		if err := provider.Shutdown(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
}
