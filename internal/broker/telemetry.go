package broker

import (
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Telemetry is the tracing and the metrics of all brokers, publishers and
// runners of one process. Make it with NewTelemetry.
type Telemetry struct {
	tracer  trace.Tracer
	metrics *metrics
	system  string
}

// NewTelemetry makes the telemetry; both arguments may be nil. It may be called
// several times with one registerer.
func NewTelemetry(tp trace.TracerProvider, reg prometheus.Registerer) *Telemetry {
	if tp == nil {
		tp = noop.NewTracerProvider()
	}
	return &Telemetry{
		tracer:  tp.Tracer("github.com/driftmesh/driftmesh/internal/broker"),
		metrics: newMetrics(reg),
	}
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
	own.system = b.Capabilities().System
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

// telemetryOf is the telemetry of an instrumented broker, else one that goes
// nowhere.
func telemetryOf(b Broker) *Telemetry {
	if i, ok := b.(*instrumented); ok {
		return i.telemetry
	}
	t := NewTelemetry(nil, nil)
	t.system = b.Capabilities().System
	return t
}
