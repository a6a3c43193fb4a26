package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the collectors of one process; every runner and publisher of it
// shares them.
type metrics struct {
	published   *prometheus.CounterVec
	publishTime *prometheus.HistogramVec
	consumed    *prometheus.CounterVec
	redelivered *prometheus.CounterVec
	retried     *prometheus.CounterVec
	renewed     *prometheus.CounterVec
	aside       *prometheus.CounterVec
	parked      *prometheus.CounterVec
	unparkable  *prometheus.CounterVec
	lost        *prometheus.CounterVec
	leasesLost  *prometheus.CounterVec
	inFlight    *prometheus.GaugeVec
	dwell       *prometheus.HistogramVec
	processTime *prometheus.HistogramVec
	lag         *lagCollector
}

var (
	latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	dwellBuckets   = []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200}
)

// newMetrics makes the collectors and registers them; those a former call
// registered with the same registerer are used again. reg may be nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "driftmesh_broker_" + name, Help: help}, labels))
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		opts := prometheus.HistogramOpts{Name: "driftmesh_broker_" + name, Help: help, Buckets: buckets}
		return register(reg, prometheus.NewHistogramVec(opts, labels))
	}
	return &metrics{
		published:   counter("published_total", "Messages published, by outcome: ok, refused (for good), failed (for now), unknown.", "topic", "outcome"),
		publishTime: histogram("publish_seconds", "Time until the broker confirmed a publish call.", latencyBuckets, "topic"),
		consumed:    counter("consumed_total", "Messages settled as done.", "topic", "group"),
		redelivered: counter("redelivered_total", "Messages received that had been delivered before.", "topic", "group"),
		retried:     counter("retried_total", "Messages given back to be delivered again.", "topic", "group"),
		renewed:     counter("renewed_total", "Messages given back by publishing them anew, so that the broker's count of their deliveries begins again.", "topic", "group"),
		aside:       counter("set_aside_total", "Messages put into the retry topic to wait for a neighbour; of the retry topic itself, put to its end.", "topic", "group"),
		parked:      counter("parked_total", "Messages put into the dead-letter topic.", "topic", "group", "reason"),
		unparkable:  counter("unparkable_total", "Messages given up because the broker refuses even a dead letter of their bare facts.", "topic", "group"),
		lost:        counter("lost_messages_total", "Messages that retention removed before the group had read them.", "topic", "group"),
		leasesLost:  counter("leases_lost_total", "Batches whose lease ran out before they were settled.", "topic", "group"),
		inFlight: register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "driftmesh_broker_in_flight_messages", Help: "Messages received and not settled.",
		}, []string{"topic", "group"})),
		dwell:       histogram("dwell_seconds", "Time from the door to the worker.", dwellBuckets, "topic", "group"),
		processTime: histogram("process_seconds", "Time from receiving a batch to settling it.", latencyBuckets, "topic", "group"),
		lag:         register(reg, newLagCollector()),
	}
}

// register registers c, or returns the equal collector that is registered.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if are, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if have, ok := are.ExistingCollector.(C); ok {
			return have
		}
	}
	return c
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
