package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"
)

// TracingConfig says how much of its own work a process traces.
type TracingConfig struct {
	Roots   float64 `help:"Traces of its own that a process may begin per second. Work that arrives with a sampled trace context is always traced." default:"10"`
	Disable bool    `help:"Trace nothing of the mesh's own work."`
}

// Sink takes an OTLP ExportTraceServiceRequest in protobuf with this many
// spans, and returns nil when it is in safe hands.
type Sink func(ctx context.Context, request []byte, spans int) error

// Propagator reads and writes W3C trace context and baggage.
func Propagator() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
}

// Tracing makes tracer providers for the services of one process. It is safe
// for concurrent use.
type Tracing struct {
	cfg       TracingConfig
	exporters []sdktrace.SpanExporter
	sampler   sdktrace.Sampler

	mu        sync.Mutex
	providers []*sdktrace.TracerProvider
}

// NewTracing makes the tracing of a process. Spans go to sink, and also to the
// OTLP endpoint that the OTEL_* variables in vars name, if any.
func NewTracing(ctx context.Context, cfg TracingConfig, vars map[string]string, sink Sink) (*Tracing, error) {
	t := &Tracing{cfg: cfg, sampler: sdktrace.ParentBased(newRateSampler(cfg.Roots))}
	if cfg.Disable || off(vars) {
		t.sampler = sdktrace.NeverSample()
		return t, nil
	}
	if sink != nil {
		own, err := otlptrace.New(ctx, sinkClient{sink})
		if err != nil {
			return nil, fmt.Errorf("make span exporter: %w", err)
		}
		t.exporters = append(t.exporters, own)
	}
	outside, err := outsideExporter(ctx, vars)
	if err != nil {
		return nil, err
	}
	if outside != nil {
		t.exporters = append(t.exporters, outside)
	}
	return t, nil
}

// outsideExporter follows the OTLP exporter specification: no endpoint, no
// exporter. The libraries read the remaining OTEL_* variables themselves.
func outsideExporter(ctx context.Context, vars map[string]string) (sdktrace.SpanExporter, error) {
	if endpoint(vars, "TRACES") == "" {
		return nil, nil
	}
	overGRPC, err := grpcProtocol(vars, "TRACES")
	if err != nil {
		return nil, err
	}
	if overGRPC {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

func off(vars map[string]string) bool { return strings.EqualFold(vars["OTEL_SDK_DISABLED"], "true") }

// Service gives the tracer provider of one service.
func (t *Tracing) Service(name, instance string) trace.TracerProvider {
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithSampler(t.sampler),
		sdktrace.WithSpanProcessor(tenantTagger{}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "driftmesh."+name),
			attribute.String("service.namespace", "driftmesh"),
			attribute.String("service.instance.id", instance),
		)),
	}
	for _, e := range t.exporters {
		options = append(options, sdktrace.WithSpanProcessor(sdktrace.NewBatchSpanProcessor(shared{e},
			sdktrace.WithBatchTimeout(time.Second), sdktrace.WithMaxQueueSize(4096), sdktrace.WithMaxExportBatchSize(512))))
	}
	p := sdktrace.NewTracerProvider(options...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.providers = append(t.providers, p)
	return p
}

// Shutdown sends what is left and ends all providers.
func (t *Tracing) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	providers := t.providers
	t.providers = nil
	t.mu.Unlock()
	var errs []error
	for _, p := range providers {
		errs = append(errs, p.Shutdown(ctx))
	}
	for _, e := range t.exporters {
		errs = append(errs, e.Shutdown(ctx))
	}
	t.exporters = nil
	return errors.Join(errs...)
}

// shared keeps one provider's shutdown from ending the exporter of the others.
type shared struct{ sdktrace.SpanExporter }

func (shared) Shutdown(context.Context) error { return nil }

// sinkClient is an OTLP client whose network is a Sink.
type sinkClient struct{ sink Sink }

func (sinkClient) Start(context.Context) error { return nil }
func (sinkClient) Stop(context.Context) error  { return nil }

func (c sinkClient) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	count := 0
	for _, rs := range spans {
		for _, ss := range rs.GetScopeSpans() {
			count += len(ss.GetSpans())
		}
	}
	request, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode own spans: %w", err)
	}
	return c.sink(ctx, request, count)
}

// rateSampler lets a steady number of traces begin per second: enough to see
// every call on a laptop, and a bounded cost under load.
type rateSampler struct{ *rate.Limiter }

func newRateSampler(perSecond float64) rateSampler {
	burst := 0 // nothing at all
	if perSecond > 0 {
		burst = int(math.Ceil(perSecond))
	}
	return rateSampler{rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// ShouldSample takes one of the limit per root.
func (s rateSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := sdktrace.SamplingResult{Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	if s.Allow() {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

// Description names the sampler.
func (s rateSampler) Description() string { return fmt.Sprintf("RateLimited{%g/s}", s.Limit()) }

// ErrorHandler logs what the OpenTelemetry SDK cannot return to anybody.
func ErrorHandler(log *slog.Logger) func(error) {
	return func(err error) { log.Warn("own telemetry was not sent", Err(err)) }
}
