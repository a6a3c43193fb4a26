package broker

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/internal/broker/internal/instrument"
)

// metrics are the collectors of one process; every publisher of it shares them.
// Those of what is consumed are the Runner's.
type metrics struct {
	published   *prometheus.CounterVec
	publishTime *prometheus.HistogramVec
	lost        *prometheus.CounterVec
	lag         *lagCollector
}

// newMetrics makes the collectors and registers them.
func newMetrics(with instrument.Instruments) *metrics {
	return &metrics{
		published:   with.Counter("published_total", "Messages published, by outcome: ok, refused (for good), failed (for now), unknown.", "topic", "outcome"),
		publishTime: with.Histogram("publish_seconds", "Time until the broker confirmed a publish call.", instrument.LatencyBuckets, "topic"),
		lost:        with.Counter("lost_messages_total", "Messages that retention removed before the group had read them.", "topic", "group"),
		lag:         instrument.Register(with.Stats, newLagCollector()),
	}
}

// How often a group's lag is asked for at most, and how long that may take.
const (
	lagEvery   = 5 * time.Second
	lagTimeout = 2 * time.Second
)

// lagCollector reports the lag of the groups that this process works or
// watches. It asks the broker when it is scraped, at a bounded rate.
type lagCollector struct {
	messages, oldest *prometheus.Desc

	mu     sync.Mutex
	groups map[lagKey]*lagEntry
}

type lagKey struct{ topic, group string }

type lagEntry struct {
	users int
	ask   func(ctx context.Context, topic, group string) (Lag, error)

	mu   sync.Mutex
	at   time.Time
	last Lag
	ok   bool
}

func newLagCollector() *lagCollector {
	labels := []string{"topic", "group"}
	return &lagCollector{
		messages: prometheus.NewDesc("driftmesh_broker_lag_messages", "Messages the group has still to do: waiting and in flight.", labels, nil),
		oldest:   prometheus.NewDesc("driftmesh_broker_oldest_age_seconds", "Age of the oldest message the group has not acknowledged.", labels, nil),
		groups:   map[lagKey]*lagEntry{},
	}
}

// watch reports a group until the returned function is called.
func (c *lagCollector) watch(topic, group string, ask func(context.Context, string, string) (Lag, error)) (stop func()) {
	key := lagKey{topic, group}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.groups[key]
	if e == nil {
		e = &lagEntry{}
		c.groups[key] = e
	}
	e.ask = ask
	e.users++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.users--; e.users == 0 {
			delete(c.groups, key)
		}
	}
}

// Describe implements prometheus.Collector.
func (c *lagCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.messages
	ch <- c.oldest
}

// Collect implements prometheus.Collector.
func (c *lagCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	entries := make(map[lagKey]*lagEntry, len(c.groups))
	for k, e := range c.groups {
		entries[k] = e
	}
	c.mu.Unlock()
	// At once: with a broker that is away each question takes its whole time.
	var asks sync.WaitGroup
	defer asks.Wait()
	for k, e := range entries {
		asks.Go(func() {
			lag, ok := e.current(k)
			if !ok {
				return
			}
			ch <- prometheus.MustNewConstMetric(c.messages, prometheus.GaugeValue, float64(lag.Total()), k.topic, k.group)
			ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, lag.Oldest.Seconds(), k.topic, k.group)
		})
	}
}

// current asks at most every lagEvery; ok is false when the lag is not known.
func (e *lagEntry) current(k lagKey) (Lag, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.at) >= lagEvery {
		ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
		defer cancel()
		lag, err := e.ask(ctx, k.topic, k.group)
		e.at, e.last, e.ok = time.Now(), lag, err == nil && lag.Known
	}
	return e.last, e.ok
}
