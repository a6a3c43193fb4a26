// Package instrument is what package broker and its Runner share to trace and to
// count: what a broker was instrumented with, and the names of attributes.
package instrument

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Instruments are where the telemetry of one broker goes.
type Instruments struct {
	Tracer trace.Tracer
	Stats  prometheus.Registerer // nil is nowhere
	System string                // the broker's name in telemetry
}

// Instrumented is a broker that was instrumented.
type Instrumented interface{ Instruments() Instruments }

// Of are the instruments of a broker; of one that has none, instruments that go
// nowhere.
func Of(b any, system string) Instruments {
	if i, ok := b.(Instrumented); ok {
		return i.Instruments()
	}
	return New(nil, nil).Named(system)
}

// New makes instruments; both arguments may be nil.
func New(tp trace.TracerProvider, stats prometheus.Registerer) Instruments {
	if tp == nil {
		tp = noop.NewTracerProvider()
	}
	return Instruments{Tracer: tp.Tracer("github.com/driftmesh/driftmesh/internal/broker"), Stats: stats}
}

// Named are the same instruments for a broker of that name.
func (i Instruments) Named(system string) Instruments {
	i.System = system
	return i
}

// Attributes are those every messaging span has.
func (i Instruments) Attributes(operation, kind, topic string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String(attrSystem, i.System),
		attribute.String(attrOperation, operation),
		attribute.String(attrOperationType, kind),
		attribute.String(attrDestination, topic),
	}
}

// LatencyBuckets are those of histograms of what takes moments, in seconds.
var LatencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Counter makes a counter of the broker layer and registers it.
func (i Instruments) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	return Register(i.Stats, prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels))
}

// Gauge makes a gauge of the broker layer and registers it.
func (i Instruments) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return Register(i.Stats, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, labels))
}

// Histogram makes a histogram of the broker layer and registers it.
func (i Instruments) Histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return Register(i.Stats, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, labels))
}

const prefix = "driftmesh_broker_"

// Register registers c, or returns the equal collector that is registered: all
// brokers and runners of a process share them. reg may be nil.
func Register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if are, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if have, ok := are.ExistingCollector.(C); ok {
			return have
		}
	}
	return c
}
