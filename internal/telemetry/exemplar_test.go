package telemetry

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Ids of exemplars are pushed as bytes, and those that are none not at all.
func TestExemplarsArePushedWithTheirTraces(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "a_total"})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "b_seconds", Buckets: []float64{1, 2}})
	registry.MustRegister(counter, histogram)
	counter.(prometheus.ExemplarAdder).AddWithExemplar(1, prometheus.Labels{"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}) //nolint:forcetypeassert // it is one
	of := histogram.(prometheus.ExemplarObserver)                                                                                                           //nolint:forcetypeassert // it is one
	of.ObserveWithExemplar(0.5, prometheus.Labels{"trace_id": "0af7651916cd43dd8448eb211c80319c"})
	of.ObserveWithExemplar(1.5, prometheus.Labels{"trace_id": "none"})

	all, err := mended{bridge.NewMetricProducer(bridge.WithGatherer(registry))}.Produce(t.Context())
	require.NoError(t, err)
	ids := map[string][][]byte{}
	for _, m := range all[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[float64]:
			ids[m.Name] = [][]byte{data.DataPoints[0].Exemplars[0].TraceID, data.DataPoints[0].Exemplars[0].SpanID}
		case metricdata.Histogram[float64]:
			for _, e := range data.DataPoints[0].Exemplars {
				ids[m.Name] = append(ids[m.Name], e.TraceID, e.SpanID)
			}
		}
	}
	trace := []byte("\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c")
	require.Equal(t, map[string][][]byte{
		"a_total": {trace, []byte("\xb7\xad\x6b\x71\x69\x20\x33\x31")}, "b_seconds": {trace, nil, nil, nil},
	}, ids)
}
