package receipt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// Work is what Run needs. Every field is required.
type Work struct {
	Broker broker.Broker
	Member string        // of the book's group
	Drain  time.Duration // how long an insert may run on after the stop
	Log    *slog.Logger
	Stats  prometheus.Registerer
}

// A receipt is small, and many come together. They wait as long as what they speak
// of, or each block of messages would cost two or three inserts of receipts.
const (
	maxReceipts = 8000
	linger      = 500 * time.Millisecond
)

// checkEvery is how often it is looked whether anything is missing: a statement
// over the ledger of two days.
const checkEvery = time.Minute

// Run keeps the books, and a gauge of what is missing, until ctx ends. It
// returns nil after a clean stop.
func (b *Book) Run(ctx context.Context, w Work) error {
	receipts, err := runner.New(runner.Config{
		Broker: w.Broker,
		Consumer: broker.ConsumerConfig{
			Topic: b.cfg.Source, Group: b.cfg.Group, Member: w.Member,
			MaxMessages: maxReceipts, Linger: linger, MaxInFlight: 1,
		},
		Handler: b.Handle, Drain: w.Drain, Log: w.Log,
	})
	if err != nil {
		return err
	}
	m := newMissing(b.cfg.Signal)
	if err := w.Stats.Register(m); err != nil {
		return fmt.Errorf("register ledger metrics: %w", err)
	}
	defer w.Stats.Unregister(m)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return receipts.Run(ctx) })
	group.Go(func() error {
		b.check(ctx, m, w.Log)
		return nil
	})
	return group.Wait()
}

// check looks for losses now and then, until ctx ends.
func (b *Book) check(ctx context.Context, m *missing, log *slog.Logger) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		n, err := b.Missing(ctx)
		switch err {
		case nil:
			if n > 0 && m.set(int64(n)) {
				log.Error("acknowledged messages are lost", slog.String("topic", b.cfg.Topic), slog.Uint64("messages", n))
			} else if n == 0 {
				m.set(0)
			}
		default:
			m.set(unknown)
			if ctx.Err() == nil && !errors.Is(err, ErrPendingUnknown) {
				log.Debug("the ledger cannot be checked now", telemetry.Err(err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// missing is a gauge that is absent while the number is not known.
type missing struct {
	desc *prometheus.Desc
	n    atomic.Int64
}

const unknown = -1

func newMissing(signal string) *missing {
	m := &missing{desc: prometheus.NewDesc("driftmesh_ledger_missing_messages",
		"Messages that a door acknowledged since yesterday and that neither the store nor the broker has: must be 0.",
		nil, prometheus.Labels{"signal": signal})}
	m.n.Store(unknown)
	return m
}

// set sets the gauge and reports whether that changed it.
func (m *missing) set(n int64) (changed bool) { return m.n.Swap(n) != n }

// Describe implements prometheus.Collector.
func (m *missing) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m *missing) Collect(ch chan<- prometheus.Metric) {
	if n := m.n.Load(); n != unknown {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(n))
	}
}
