package telemetry_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/telemetry"
)

type sunk struct {
	mu      sync.Mutex
	names   []string
	tenants []string
	count   int
}

func (s *sunk) take(_ context.Context, request []byte, spans int) error {
	var r coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(request, &r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += spans
	for _, rs := range r.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, span := range ss.GetSpans() {
				s.names = append(s.names, span.GetName())
				for _, kv := range span.GetAttributes() {
					if kv.GetKey() == telemetry.AttrTenant {
						s.tenants = append(s.tenants, span.GetName()+" for "+kv.GetValue().GetStringValue())
					}
				}
			}
		}
	}
	return nil
}

func TestOwnSpansReachTheSink(t *testing.T) {
	ctx := context.Background()
	var out sunk
	tracing, err := telemetry.NewTracing(ctx, telemetry.TracingConfig{Roots: 100}, nil, out.take)
	require.NoError(t, err)
	for _, service := range []string{"gateway", "drift"} {
		_, span := tracing.Service(service, "1").Tracer("test").Start(ctx, "work of "+service)
		span.End()
	}
	require.NoError(t, tracing.Shutdown(ctx))
	require.ElementsMatch(t, []string{"work of gateway", "work of drift"}, out.names)
	require.Equal(t, 2, out.count)
}

func TestRootsAreLimitedAndArrivingTracesAreNot(t *testing.T) {
	ctx := context.Background()
	var out sunk
	tracing, err := telemetry.NewTracing(ctx, telemetry.TracingConfig{Roots: 3}, nil, out.take)
	require.NoError(t, err)
	tracer := tracing.Service("gateway", "1").Tracer("test")
	for range 50 {
		_, span := tracer.Start(ctx, "root")
		span.End()
	}
	caller := trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
	for range 50 {
		_, span := tracer.Start(caller, "continued")
		span.End()
	}
	require.NoError(t, tracing.Shutdown(ctx))
	roots := 0
	for _, name := range out.names {
		if name == "root" {
			roots++
		}
	}
	require.GreaterOrEqual(t, roots, 3)
	require.LessOrEqual(t, roots, 5)
	require.Equal(t, 50, len(out.names)-roots)
}

func TestDisabledTracingSendsNothing(t *testing.T) {
	ctx := context.Background()
	var out sunk
	tracing, err := telemetry.NewTracing(ctx, telemetry.TracingConfig{Roots: 3},
		map[string]string{"OTEL_SDK_DISABLED": "true"}, out.take)
	require.NoError(t, err)
	_, span := tracing.Service("gateway", "1").Tracer("test").Start(ctx, "root")
	span.End()
	require.NoError(t, tracing.Shutdown(ctx))
	require.Empty(t, out.names)
}

func TestSpansNameTheTenantTheyAreAbout(t *testing.T) {
	ctx := context.Background()
	var out sunk
	tracing, err := telemetry.NewTracing(ctx, telemetry.TracingConfig{Roots: 100}, nil, out.take)
	require.NoError(t, err)
	tracer := tracing.Service("gateway", "1").Tracer("test")
	ctx, call := tracer.Start(ctx, "call") // before anybody knows who calls
	_, other := tracer.Start(ctx, "before")
	other.End()
	ctx = telemetry.WithTenant(ctx, "red")
	_, child := tracer.Start(ctx, "child")
	child.End()
	call.End()
	require.NoError(t, tracing.Shutdown(context.Background()))
	require.ElementsMatch(t, []string{"call for red", "child for red"}, out.tenants)
}
