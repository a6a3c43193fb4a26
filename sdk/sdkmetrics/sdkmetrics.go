// Package sdkmetrics counts for Prometheus what a client of the SDK has queued, sent
// and lost:
//
//	driftmesh_sdk_queued{signal,place}             waiting, or on their way without an answer
//	driftmesh_sdk_sent_total{signal,place}         durable
//	driftmesh_sdk_lost_total{signal,place,reason}  did not arrive
//	driftmesh_sdk_retries_total{signal,place}      batches sent again
//
// The signal is spans or records, the place mesh or the name of another exporter.
// [sdk.WithMeterProvider] has the same for OpenTelemetry.
package sdkmetrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/sdk"
)

// Collector collects the metrics of a client. Register it, for one client a registry.
type Collector struct {
	client                      *sdk.Client
	queued, sent, lost, retries *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// New makes the collector of a client.
func New(client *sdk.Client) *Collector {
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc("driftmesh_sdk_"+name, help, append([]string{"signal", "place"}, more...), nil)
	}
	return &Collector{
		client:  client,
		queued:  desc("queued", "Spans and records that wait, or are on their way without an answer."),
		sent:    desc("sent_total", "Spans and records that are durable."),
		lost:    desc("lost_total", "Spans and records that did not arrive, by reason.", "reason"),
		retries: desc("retries_total", "Batches sent again."),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.queued, c.sent, c.lost, c.retries} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for _, f := range c.client.Stats().Flows() {
		to <- prometheus.MustNewConstMetric(c.queued, prometheus.GaugeValue, float64(f.Queued), f.Signal, f.Place)
		count(c.sent, f.Accepted, f.Signal, f.Place)
		count(c.retries, f.Retries, f.Signal, f.Place)
		for reason, n := range f.Losses() {
			count(c.lost, n, f.Signal, f.Place, reason)
		}
	}
}
