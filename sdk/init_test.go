package sdk

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestInitIsTheProcesss registers provider and propagators, describes the process, and
// takes all back.
func TestInitIsTheProcesss(t *testing.T) {
	clean(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=not this")
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	before := otel.GetTextMapPropagator()
	memory := tracetest.NewInMemoryExporter()
	client, err := Init(t.Context(), WithTransport(nothing{}), WithExporter("memory", 1, memory), WithResource(attribute.String("zone", "z1")))
	require.NoError(t, err)
	require.Same(t, client, Default())
	require.ElementsMatch(t, []string{"trace_id", "span_id", "is_sampled", "traceparent", "tracestate", "baggage"}, otel.GetTextMapPropagator().Fields())
	_, span := otel.Tracer("a library").Start(t.Context(), "op")
	span.End()
	require.NoError(t, client.Flush(t.Context()))
	got := memory.GetSpans()
	require.Len(t, got, 1)
	attrs := map[attribute.Key]string{}
	for _, kv := range got[0].Resource.Attributes() {
		attrs[kv.Key] = kv.Value.String()
	}
	for key, want := range map[attribute.Key]string{
		"service.name": "shop", "deployment.environment.name": "test", "zone": "z1", "telemetry.distro.name": "driftmesh", "process.runtime.name": "go",
	} {
		require.Equal(t, want, attrs[key])
	}
	for _, key := range []attribute.Key{"host.name", "process.pid", "service.instance.id", "process.executable.name"} {
		require.NotEmpty(t, attrs[key], key)
	}
	for _, secret := range []attribute.Key{"process.command_args", "process.owner"} {
		require.NotContains(t, attrs, secret)
	}
	require.NoError(t, client.Shutdown(t.Context()))
	require.Nil(t, Default())
	require.Equal(t, before, otel.GetTextMapPropagator())
	_, span = otel.Tracer("a library").Start(t.Context(), "too late")
	require.False(t, span.IsRecording())
}

func TestASecondInitTakesThePlaceOfTheFirst(t *testing.T) {
	clean(t)
	first, err := Init(t.Context(), WithTransport(nothing{}))
	require.NoError(t, err)
	second, err := Init(t.Context(), WithTransport(nothing{}))
	require.NoError(t, err)
	require.NoError(t, first.Shutdown(t.Context()))
	require.Same(t, second, Default(), "the first takes nothing of the second's")
	_, span := otel.Tracer("a library").Start(t.Context(), "op")
	require.True(t, span.IsRecording())
	span.End()
	require.NoError(t, second.Shutdown(t.Context()))
	require.Equal(t, uint64(1), second.Stats().Spans.Accepted)
}

func TestWithoutTracesRecordsGoOn(t *testing.T) {
	clean(t)
	t.Setenv("OTEL_SDK_DISABLED", "true")
	client, err := Init(t.Context(), WithTransport(nothing{}))
	require.NoError(t, err)
	_, span := client.TracerProvider().Tracer("x").Start(t.Context(), "op")
	require.False(t, span.IsRecording())
	require.NoError(t, client.Send(t.Context(), Metrics("a/b", map[string]float64{"m": 1})))
	require.NoError(t, client.Shutdown(t.Context()))
	require.Equal(t, uint64(1), client.Stats().Records.Accepted)
}

// Everything that is captured passes the client's redactions, then the span's, also
// where the work knows the span from its context alone; spans below have none of it.
func TestTheClientsRedactionsComeFirst(t *testing.T) {
	clean(t)
	memory := tracetest.NewInMemoryExporter()
	add := func(word string) Redaction { return func(c Capture) any { return fmt.Sprint(c.Value, word) } }
	client, err := Init(t.Context(), WithTransport(nothing{}), WithExporter("memory", 1, memory), WithRedaction(add(" a")), WithRedaction(add(" b")))
	require.NoError(t, err)
	out, err := Do(t.Context(), "work", func(ctx context.Context) (string, error) {
		Current(ctx).Event("e", "payload")
		below, span := Start(ctx, "below")
		defer span.End()
		Current(below).SetInput("in")
		return "out", nil
	}, Input("in"), Redact(add(" c")))
	require.NoError(t, err)
	require.Equal(t, "out", out)
	require.NoError(t, client.Flush(t.Context()))
	got := memory.GetSpans()
	require.Len(t, got, 2)
	require.Equal(t, []attribute.KeyValue{attribute.String(AttrInput, `"in a b"`)}, got[0].Attributes)
	require.ElementsMatch(t, []attribute.KeyValue{attribute.String(AttrInput, `"in a b c"`), attribute.String(AttrOutput, `"out a b c"`)}, got[1].Attributes)
	require.Equal(t, []attribute.KeyValue{attribute.String(AttrPayload, `"payload a b c"`)}, got[1].Events[0].Attributes)
	require.NoError(t, client.Shutdown(t.Context()))
}

// nothing is a transport that loses nothing and keeps nothing.
type nothing struct{}

func (nothing) MaxBytes() int                               { return 1 << 20 }
func (nothing) Close(context.Context) error                 { return nil }
func (nothing) Send(context.Context, Batch) (Answer, error) { return Answer{}, nil }
