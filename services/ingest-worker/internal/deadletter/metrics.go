package deadletter

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/internal/event"
)

// metrics are the collectors of this package.
type metrics struct{ letters *prometheus.CounterVec }

// Outcomes of a letter.
const (
	outcomeStored   = "stored"
	outcomeRedriven = "redriven"
)

func newMetrics(stats prometheus.Registerer) (*metrics, error) {
	m := &metrics{letters: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_ingest_dead_letters_total",
		Help: "Dead letters by the topic they came from: stored (repeats included) or redriven.",
	}, []string{"topic", "outcome"})}
	if err := stats.Register(m.letters); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	for _, topic := range event.Topics() {
		m.letters.WithLabelValues(topic, outcomeStored)
		m.letters.WithLabelValues(topic, outcomeRedriven)
	}
	return m, nil
}

func (m *metrics) stored(letters []Letter) {
	for i := range letters {
		m.letters.WithLabelValues(letters[i].Topic, outcomeStored).Inc()
	}
}

func (m *metrics) redriven(l *Letter) { m.letters.WithLabelValues(l.Topic, outcomeRedriven).Inc() }
