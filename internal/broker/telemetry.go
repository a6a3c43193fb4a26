package broker

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker/internal/instrument"
)

// Telemetry is the tracing and the metrics of all brokers, publishers and
// runners of one process. Make it with NewTelemetry.
type Telemetry struct {
	with    instrument.Instruments
	metrics *metrics
	seal    Seal
}

// Seal proves who published messages.
type Seal interface {
	// Signs reports whether the messages of a topic are signed.
	Signs(topic string) bool
	// Sign gives a message its signature.
	Sign(m *Message)
	// Check gives fault.Denied for one that should have a good signature and has not.
	Check(m *Message) error
}

// Sealed lets brokers that are instrumented from now on sign what is published,
// and Runners and tails of them check what they get.
func (t *Telemetry) Sealed(seal Seal) { t.seal = seal }

// SealOf is that of a broker, nil for none.
func SealOf(b Broker) Seal {
	if sealed, ok := b.(*instrumented); ok {
		return sealed.telemetry.seal
	}
	return nil
}

// NewTelemetry makes the telemetry; both arguments may be nil. It may be called
// several times with one registerer.
func NewTelemetry(tp trace.TracerProvider, reg prometheus.Registerer) *Telemetry {
	with := instrument.New(tp, reg)
	return &Telemetry{with: with, metrics: newMetrics(with)}
}

// Lost counts messages that retention removed before a group read them.
// Drivers report to it.
func (t *Telemetry) Lost(topic, group string, n int64) {
	t.metrics.lost.WithLabelValues(topic, group).Add(float64(n))
}

// Instrument returns b with tracing and metrics on what it publishes; a Runner
// on it finds the telemetry by itself.
func (t *Telemetry) Instrument(b Broker) Broker {
	own := *t
	own.with = t.with.Named(b.Capabilities().System)
	return &instrumented{Broker: b, telemetry: &own}
}

type instrumented struct {
	Broker
	telemetry *Telemetry
	fates     fates
}

// Publisher implements Broker.
func (b *instrumented) Publisher() (Publisher, error) {
	p, err := b.Broker.Publisher()
	if err != nil {
		return nil, err
	}
	return &tracedPublisher{Publisher: p, telemetry: b.telemetry, fates: &b.fates}, nil
}

// Tail implements Broker.
func (b *instrumented) Tail(ctx context.Context, topic string) (Tail, error) {
	t, err := b.Broker.Tail(ctx, topic)
	if err != nil || b.telemetry.seal == nil {
		return t, err
	}
	return sealedTail{t, b.telemetry.seal}, nil
}

// sealedTail passes over what nobody of the mesh published: its consumer parks it.
type sealedTail struct {
	Tail
	seal Seal
}

// Next implements Tail.
func (t sealedTail) Next(ctx context.Context) (Delivery, error) {
	for {
		d, err := t.Tail.Next(ctx)
		if err != nil || t.seal.Check(&d.Message) == nil {
			return d, err
		}
	}
}

// Instruments implements instrument.Instrumented, for the Runner.
func (b *instrumented) Instruments() instrument.Instruments { return b.telemetry.with }
