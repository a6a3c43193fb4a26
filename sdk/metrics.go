package sdk

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// WithMeterProvider counts what is queued, sent and lost as metrics of OpenTelemetry
// too, under the names of package sdkmetrics, which has the same for Prometheus.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(c *config) { c.meters = p }
}

// Flow is what goes to one place, counted.
type Flow struct {
	Signal string // "spans" or "records"
	Place  string // "mesh", or the name of another exporter
	Counts
}

// Losses is how many were lost, by reason, with zeros: the reasons of Counts.Dropped
// and "rejected", for what the mesh refused one by one.
func (c Counts) Losses() map[string]uint64 {
	out := map[string]uint64{lossRejected: c.Rejected}
	for _, r := range []string{DroppedFailed, DroppedFull, DroppedRefused, DroppedShutdown, DroppedTooLarge} {
		out[r] = c.Dropped[r]
	}
	return out
}

// Flows is Stats as a list, records first.
func (s Stats) Flows() []Flow {
	out := []Flow{{"records", placeMesh, s.Records}, {"spans", placeMesh, s.Spans}}
	for _, name := range slices.Sorted(maps.Keys(s.Exporters)) {
		out = append(out, Flow{"spans", name, s.Exporters[name]})
	}
	return out
}

// openMetrics registers the metrics, if they are asked for.
func (c *Client) openMetrics() error {
	if c.cfg.meters == nil {
		return nil
	}
	m := c.cfg.meters.Meter(scope)
	queued, err1 := m.Int64ObservableUpDownCounter("driftmesh.sdk.queued", metric.WithUnit("{item}"), metric.WithDescription("What waits, or is on its way without an answer."))
	sent, err2 := m.Int64ObservableCounter("driftmesh.sdk.sent", metric.WithUnit("{item}"), metric.WithDescription("What is durable."))
	lost, err3 := m.Int64ObservableCounter("driftmesh.sdk.lost", metric.WithUnit("{item}"), metric.WithDescription("What did not arrive, by reason."))
	retries, err4 := m.Int64ObservableCounter("driftmesh.sdk.retries", metric.WithUnit("{batch}"), metric.WithDescription("Batches sent again."))
	if err := only([]error{err1, err2, err3, err4}); err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	registration, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		for _, f := range c.Stats().Flows() {
			of := attribute.NewSet(attribute.String("signal", f.Signal), attribute.String("place", f.Place))
			to.ObserveInt64(queued, int64(f.Queued), metric.WithAttributeSet(of))
			to.ObserveInt64(sent, int64(f.Accepted), metric.WithAttributeSet(of))
			to.ObserveInt64(retries, int64(f.Retries), metric.WithAttributeSet(of))
			for reason, n := range f.Losses() {
				to.ObserveInt64(lost, int64(n), metric.WithAttributes(
					attribute.String("signal", f.Signal), attribute.String("place", f.Place), attribute.String("reason", reason)))
			}
		}
		return nil
	}, queued, sent, lost, retries)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	c.closes = append(c.closes, func(context.Context) error { return registration.Unregister() })
	return nil
}
