package broker_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
)

// nowhere is a broker whose publisher does nothing.
type nowhere struct{ broker.Broker }

func (nowhere) Publisher() (broker.Publisher, error) { return nowherePublisher{}, nil }

type nowherePublisher struct{}

func (nowherePublisher) Publish(context.Context, []broker.Message) error { return nil }
func (nowherePublisher) Close(context.Context) error                     { return nil }

// BenchmarkInstrument is what tracing and metrics add to one publish: of a
// caller whose trace is not sampled, and of one without a trace where the
// sampler says no.
func BenchmarkInstrument(b *testing.B) {
	tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	inner := nowhere{memory.NewServer().Open(memory.Options{})}
	p, err := broker.NewTelemetry(tp, prometheus.NewRegistry()).Instrument(inner).Publisher()
	require.NoError(b, err)
	unsampled, span := tp.Tracer("").Start(b.Context(), "request")
	defer span.End()
	for name, ctx := range map[string]context.Context{"unsampled": unsampled, "root": b.Context()} {
		b.Run(name, func(b *testing.B) {
			headers := make([]broker.Header, 5, 8)
			msgs := []broker.Message{{Topic: "spans", Value: make([]byte, 64), Headers: headers}}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Publish(ctx, msgs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
