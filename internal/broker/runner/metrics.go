package runner

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/internal/instrument"
)

// instruments are what a runner traces and counts with: its broker's.
type instruments struct {
	with    instrument.Instruments
	metrics *metrics
}

func instrumentsOf(b broker.Broker) *instruments {
	with := instrument.Of(b, b.Capabilities().System)
	return &instruments{with: with, metrics: newMetrics(with)}
}

// metrics are the collectors of one process; every runner of it shares them.
type metrics struct {
	consumed    *prometheus.CounterVec
	redelivered *prometheus.CounterVec
	retried     *prometheus.CounterVec
	renewed     *prometheus.CounterVec
	aside       *prometheus.CounterVec
	parked      *prometheus.CounterVec
	unparkable  *prometheus.CounterVec
	leasesLost  *prometheus.CounterVec
	inFlight    *prometheus.GaugeVec
	dwell       *prometheus.HistogramVec
	processTime *prometheus.HistogramVec
}

var dwellBuckets = []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200}

// newMetrics makes the collectors and registers them.
func newMetrics(with instrument.Instruments) *metrics {
	return &metrics{
		consumed:    with.Counter("consumed_total", "Messages settled as done.", "topic", "group"),
		redelivered: with.Counter("redelivered_total", "Messages received that had been delivered before.", "topic", "group"),
		retried:     with.Counter("retried_total", "Messages given back to be delivered again.", "topic", "group"),
		renewed:     with.Counter("renewed_total", "Messages given back by publishing them anew, so that the broker's count of their deliveries begins again.", "topic", "group"),
		aside:       with.Counter("set_aside_total", "Messages put into the retry topic to wait for a neighbour; of the retry topic itself, put to its end.", "topic", "group"),
		parked:      with.Counter("parked_total", "Messages put into the dead-letter topic.", "topic", "group", "reason"),
		unparkable:  with.Counter("unparkable_total", "Messages given up because the broker refuses even a dead letter of their bare facts.", "topic", "group"),
		leasesLost:  with.Counter("leases_lost_total", "Batches whose lease ran out before they were settled.", "topic", "group"),
		inFlight:    with.Gauge("in_flight_messages", "Messages received and not settled.", "topic", "group"),
		dwell:       with.Histogram("dwell_seconds", "Time from the door to the worker.", dwellBuckets, "topic", "group"),
		processTime: with.Histogram("process_seconds", "Time from receiving a batch to settling it.", instrument.LatencyBuckets, "topic", "group"),
	}
}
