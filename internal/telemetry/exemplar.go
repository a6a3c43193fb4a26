package telemetry

import (
	"context"
	"encoding/hex"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// mended is a bridge from Prometheus whose exemplars have ids as OTLP wants them. The
// bridge gives them as Prometheus has them, in hex digits, and for that a receiver that
// looks (Prometheus, a Collector) refuses all that is pushed.
type mended struct{ sdkmetric.Producer }

// Produce implements sdkmetric.Producer.
func (m mended) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	all, err := m.Producer.Produce(ctx)
	for _, scope := range all {
		for _, metric := range scope.Metrics {
			switch data := metric.Data.(type) {
			case metricdata.Sum[float64]:
				for _, p := range data.DataPoints {
					mendExemplars(p.Exemplars)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					mendExemplars(p.Exemplars)
				}
			}
		}
	}
	return all, err
}

func mendExemplars(list []metricdata.Exemplar[float64]) {
	for i := range list {
		list[i].TraceID, list[i].SpanID = rawID(list[i].TraceID, 16), rawID(list[i].SpanID, 8)
	}
}

// rawID is an id of so many bytes that is given in hex digits; nil when it is none.
func rawID(digits []byte, size int) []byte {
	raw := make([]byte, hex.DecodedLen(len(digits)))
	if n, err := hex.Decode(raw, digits); err != nil || n != size {
		return nil
	}
	return raw
}
