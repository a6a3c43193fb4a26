package otlpdoor_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	traceparent  = "00-" + callersTrace + "-b7ad6b7169203331-01"
	unsampled    = "00-" + callersTrace + "-b7ad6b7169203331-00"
)

// traced is a door whose sampler takes no roots, as telemetry's does when its
// rate is used up.
func traced(t *testing.T, tenant string) (*bench, *tracetest.SpanRecorder, *trace.SpanContext) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())), sdktrace.WithSpanProcessor(spans))
	b := start(t, otlpdoor.Config{}, func(d *otlpdoor.Deps) {
		d.Traces = provider
		d.Identify = func(context.Context, string, string) (identity.Identity, error) {
			return identity.Identity{Tenant: tenant, Subject: "s", Kind: identity.User, Grant: policy.As(policy.Admin)}, nil
		}
	})
	at := new(trace.SpanContext)
	b.published.before = func(ctx context.Context, _ []broker.Message) error {
		*at = trace.SpanContextFromContext(ctx)
		return nil
	}
	return b, spans, at
}

func TestCallInASampledTraceIsTraced(t *testing.T) {
	t.Parallel()
	b, spans, at := traced(t, "acme")
	req := sample(8)
	first := req.ResourceSpans[0].ScopeSpans[0].Spans[0]
	_, err := b.client.Export(metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent), req)
	require.NoError(t, err)
	resp, _ := b.post(t, typeProto, encode(t, req), "Traceparent", traceparent)
	require.Equal(t, http.StatusOK, resp.StatusCode)

	ended := spans.Ended()
	require.Len(t, ended, 2)
	require.Equal(t, "opentelemetry.proto.collector.trace.v1.TraceService/Export", ended[0].Name())
	require.Equal(t, "POST /v1/traces", ended[1].Name())
	for _, s := range ended {
		require.Equal(t, trace.SpanKindServer, s.SpanKind())
		require.Equal(t, callersTrace, s.SpanContext().TraceID().String())
		require.Equal(t, "b7ad6b7169203331", s.Parent().SpanID().String())
		require.Contains(t, s.Attributes(), attribute.Int("driftmesh.otlp.spans", 8))
		require.Contains(t, s.Attributes(), attribute.String("driftmesh.tenant", "acme"))
		require.Len(t, s.Links(), 1)
		require.Equal(t, [16]byte(first.TraceId), [16]byte(s.Links()[0].SpanContext.TraceID()))
	}
	require.Equal(t, ended[1].SpanContext().SpanID(), at.SpanID(), "the publish belongs to the call")
}

func TestCallsAreNotTracedUnlessAsked(t *testing.T) {
	t.Parallel()
	b, spans, at := traced(t, "acme")
	_, err := b.client.Export(t.Context(), sample(4))
	require.NoError(t, err)
	_, err = b.client.Export(metadata.AppendToOutgoingContext(t.Context(), "traceparent", unsampled), sample(4))
	require.NoError(t, err)
	require.False(t, at.IsSampled())
	_, err = b.client.Export(metadata.AppendToOutgoingContext(t.Context(), "traceparent", "nonsense"), sample(4))
	require.NoError(t, err)
	require.Empty(t, spans.Ended())
}

func TestTheMeshsOwnTenantIsNeverTraced(t *testing.T) {
	t.Parallel()
	b, spans, at := traced(t, identity.MeshTenant)
	_, err := b.client.Export(metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent), sample(4))
	require.NoError(t, err)
	require.Empty(t, spans.Ended())
	require.False(t, at.IsValid())
}
