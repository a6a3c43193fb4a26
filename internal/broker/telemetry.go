package broker

import (
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker/internal/instrument"
)

// Telemetry is the tracing and the metrics of all brokers, publishers and
// runners of one process. Make it with NewTelemetry.
type Telemetry struct {
	with    instrument.Instruments
	metrics *metrics
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

// Instruments implements instrument.Instrumented, for the Runner.
func (b *instrumented) Instruments() instrument.Instruments { return b.telemetry.with }
