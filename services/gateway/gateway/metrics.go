package gateway

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
	"github.com/driftmesh/driftmesh/services/gateway/internal/tail"
)

// items counts what arrived at the door, of all tenants together: tenants are
// callers' names, and no label.
type items struct{ *prometheus.CounterVec }

func newItems() items {
	i := items{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_gateway_items_total", Help: "Spans and records that arrived at the door: accepted, or the reason why not.",
	}, []string{"signal", "outcome"})}
	for _, signal := range []string{event.SignalSpans, event.SignalRecords} {
		i.of(signal)("accepted", 0)
	}
	return i
}

// of counts those of one signal; outcomes come from closed sets.
func (i items) of(signal string) func(outcome string, n int) {
	return func(outcome string, n int) { i.WithLabelValues(signal, outcome).Add(float64(n)) }
}

// register adds the collectors of the service to stats.
func register(stats prometheus.Registerer, items items, budget *door.Budget, hub *tail.Hub) error {
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "driftmesh_gateway_" + name, Help: help}, read)
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		items,
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
