package ingest

import (
	"fmt"
	"time"

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

	// Of sources: what is received, its dwell and its lag are among those of the broker
	// layer, under the name of the source; what becomes of it is among those of the inbox.
	sourceMessages *prometheus.CounterVec
	sourceParts    *prometheus.CounterVec
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
		sourceMessages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_ingest_source_messages_total", Help: "Messages of Scouter's clients taken from a broker of theirs, repeats included.",
		}, []string{"source"}),
		sourceParts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_ingest_source_parts_total", Help: "What they became, one part for each profile: forwarded to the topic inbox, or too_large for it and parked.",
		}, []string{"source", "outcome"}),
	}
	err := register(stats, m.records, m.rejected, m.insertTime, m.batchRows, m.inboxItems, m.inboxParked, m.sourceMessages, m.sourceParts)
	if err != nil {
		return nil, err
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

// took counts what came from a source and what became of it.
func (m *metrics) took(system string, messages, forwarded, huge int) {
	m.sourceMessages.WithLabelValues(system).Add(float64(messages))
	m.sourceParts.WithLabelValues(system, "forwarded").Add(float64(forwarded))
	m.sourceParts.WithLabelValues(system, "too_large").Add(float64(huge))
}

// gapMetrics are the collectors of when sources were not listened to.
type gapMetrics struct{ gaps, deaf *prometheus.CounterVec }

func newGapMetrics(stats prometheus.Registerer) (*gapMetrics, error) {
	m := &gapMetrics{
		gaps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_ingest_source_gaps_total", Help: "How often this process did not listen for a while to a source that keeps nothing; what was published meanwhile is lost, unless another listened.",
		}, []string{"source"}),
		deaf: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_ingest_source_gap_seconds_total", Help: "How long these gaps were.",
		}, []string{"source"}),
	}
	return m, register(stats, m.gaps, m.deaf)
}

func (m *gapMetrics) gap(system string, deaf time.Duration) {
	m.gaps.WithLabelValues(system).Inc()
	m.deaf.WithLabelValues(system).Add(deaf.Seconds())
}

func register(stats prometheus.Registerer, all ...prometheus.Collector) error {
	for _, c := range all {
		if err := stats.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
