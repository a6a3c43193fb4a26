package tracestore

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the collectors of this service.
type metrics struct {
	spans      *prometheus.CounterVec
	insertTime prometheus.Histogram
	insertRows prometheus.Histogram
	bytes      prometheus.Counter
	truncated  prometheus.Counter
}

func newMetrics(stats prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		spans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "driftmesh_trace_store_spans_total", Help: "Spans settled by outcome: stored (repeats included), rejected or dead_lettered.",
		}, []string{"outcome"}),
		insertTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "driftmesh_trace_store_insert_seconds", Help: "How long storing a block of spans took.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}),
		insertRows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "driftmesh_trace_store_insert_spans", Help: "Spans in one block.",
			Buckets: prometheus.ExponentialBuckets(10, 4, 8),
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "driftmesh_trace_store_insert_bytes_total", Help: "Bytes of column blocks sent to ClickHouse.",
		}),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "driftmesh_trace_store_truncated_traces_total", Help: "Traces answered without all of their spans.",
		}),
	}
	for _, outcome := range []string{"stored", "rejected", "dead_lettered"} {
		m.spans.WithLabelValues(outcome)
	}
	for _, c := range []prometheus.Collector{m.spans, m.insertTime, m.insertRows, m.bytes, m.truncated} {
		if err := stats.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// flushed implements store.WriterConfig.Flushed.
func (m *metrics) flushed(rows, bytes int, took time.Duration) {
	m.insertTime.Observe(took.Seconds())
	m.insertRows.Observe(float64(rows))
	m.bytes.Add(float64(bytes))
}

// settled counts the spans of a message.
func (m *metrics) settled(stored int, rejected map[string]int) {
	m.spans.WithLabelValues("stored").Add(float64(stored))
	for _, n := range rejected {
		m.spans.WithLabelValues("rejected").Add(float64(n))
	}
}

// parked counts the spans of a dead letter.
func (m *metrics) parked(n int) { m.spans.WithLabelValues("dead_lettered").Add(float64(n)) }
