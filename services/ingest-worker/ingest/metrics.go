package ingest

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// metrics are the collectors of this service. Those of the topic, its lag,
// dwell, redeliveries and dead letters, belong to the broker layer.
type metrics struct {
	records    *prometheus.CounterVec
	rejected   *prometheus.CounterVec
	insertTime prometheus.Histogram
	batchRows  prometheus.Histogram

	inboxItems  *prometheus.CounterVec
	inboxParked *prometheus.CounterVec
}

func newMetrics(stats prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_ingest_records_total",
			Help: "Records settled, repeats included: features, metrics, context, rejected or dead_lettered.",
		}, []string{"outcome"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_ingest_rejected_total", Help: "Records rejected, by the rule they broke.",
		}, []string{"reason"}),
		insertTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "driftmesh_ingest_insert_seconds", Help: "Time to store one block, all its tables.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		batchRows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "driftmesh_ingest_batch_records", Help: "Records stored by one batch of messages.",
			Buckets: []float64{1, 10, 100, 1000, 10_000, 100_000, 1_000_000},
		}),
		inboxItems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_ingest_inbox_items_total",
			Help: "Spans and records that came by the topic inbox, repeats included: forwarded, or the reason why not.",
		}, []string{"signal", "outcome"}),
		inboxParked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_ingest_inbox_parked_total", Help: "Messages of the topic inbox that could not be taken, by reason.",
		}, []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.records, m.rejected, m.insertTime, m.batchRows, m.inboxItems, m.inboxParked} {
		if err := stats.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	for _, reason := range normalize.Reasons() {
		m.rejected.WithLabelValues(string(reason))
	}
	return m, nil
}

// wrote counts what is stored of one batch.
func (m *metrics) wrote(b *store.Block) {
	rows := b.Rows()
	m.records.WithLabelValues("features").Add(float64(rows.Observations))
	m.records.WithLabelValues("metrics").Add(float64(rows.Metrics))
	m.records.WithLabelValues("context").Add(float64(rows.Contexts))
	m.records.WithLabelValues("labels").Add(float64(rows.Labels))
	m.batchRows.Observe(float64(rows.Observations + rows.Metrics + rows.Contexts + rows.Labels))
	for reason, n := range b.Rejected() {
		m.rejected.WithLabelValues(string(reason)).Add(float64(n))
		m.records.WithLabelValues("rejected").Add(float64(n))
	}
}

// admitted counts what came by the inbox; reasons come from closed sets.
func (m *metrics) admitted(signal string, accepted int, rejected map[string]int) {
	for reason, n := range rejected {
		m.inboxItems.WithLabelValues(signal, reason).Add(float64(n))
		accepted -= n
	}
	m.inboxItems.WithLabelValues(signal, "forwarded").Add(float64(accepted))
}
