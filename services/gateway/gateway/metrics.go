package gateway

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/tail"
)

// doorMetrics reports the door's counts of all tenants together: tenants are
// callers' names, and no label.
type doorMetrics struct {
	counters *door.Counters
	items    *prometheus.Desc
}

var _ prometheus.Collector = (*doorMetrics)(nil)

// Describe implements prometheus.Collector.
func (m *doorMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.items }

// Collect implements prometheus.Collector.
func (m *doorMetrics) Collect(ch chan<- prometheus.Metric) {
	type key struct{ signal, outcome string }
	sums := map[key]uint64{
		{event.SignalSpans, "accepted"}: 0, {event.SignalRecords, "accepted"}: 0,
	}
	for _, c := range m.counters.Snapshot() {
		sums[key{c.Signal, "accepted"}] += c.Accepted
		for reason, n := range c.Rejected {
			sums[key{c.Signal, reason}] += n
		}
	}
	for k, n := range sums {
		ch <- prometheus.MustNewConstMetric(m.items, prometheus.CounterValue, float64(n), k.signal, k.outcome)
	}
}

// register adds the collectors of the service to stats.
func register(stats prometheus.Registerer, counters *door.Counters, budget *door.Budget, hub *tail.Hub) error {
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "driftmesh_gateway_" + name, Help: help}, read)
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		&doorMetrics{counters, prometheus.NewDesc("driftmesh_gateway_items_total",
			"Spans and records that arrived at the door: accepted, or the reason why not.", []string{"signal", "outcome"}, nil)},
		gauge("in_flight_bytes", "Bytes of requests held in memory.", func() float64 { return float64(budget.Used()) }),
		gauge("in_flight_limit_bytes", "Most bytes of requests that may be held in memory.", func() float64 { return float64(budget.Limit()) }),
		gauge("tails", "Live tails that are open.", func() float64 { return float64(hub.Watchers()) }),
	} {
		errs = append(errs, stats.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("register gateway metrics: %w", err)
	}
	return nil
}
