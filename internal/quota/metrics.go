package quota

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxLabels is how many tenants metrics tell apart; the others are together.
const maxLabels = 50

// Other is the label of all tenants that are not told apart.
const Other = "other"

// collector shows what tenants use. A tenant has its name as a label from its
// first traffic until the process ends, if it was among the first to have any.
type collector struct {
	book                *Book
	used, limit, refuse *prometheus.Desc
	also                func(t *Tenant) map[Name]int64

	mu     sync.Mutex
	labels map[string]bool
}

// Register shows the book's tenants on stats: what is used of each limit, what the
// limit is, and what was refused for it. also adds uses that a Tenant does not
// know, and may be nil.
func (b *Book) Register(stats prometheus.Registerer, service string, also func(t *Tenant) map[Name]int64) error {
	name := func(what string) string { return "driftmesh_" + service + "_tenant_" + what }
	labels := []string{"tenant", "limit"}
	c := &collector{
		book: b, also: also, labels: map[string]bool{},
		used:   prometheus.NewDesc(name("used"), "What a tenant uses of a limit: bytes, numbers.", labels, nil),
		limit:  prometheus.NewDesc(name("limit"), "What a tenant may use, 0 for no limit: bytes, numbers, seconds.", labels, nil),
		refuse: prometheus.NewDesc(name("refused_total"), "Requests, batches, calls and messages of a tenant that were turned away for a limit.", labels, nil),
	}
	if err := stats.Register(c); err != nil {
		return fmt.Errorf("register tenants' metrics: %w", err)
	}
	return nil
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.used, c.limit, c.refuse} {
		to <- d
	}
}

// sums are what stands under one label.
type sums struct {
	used    map[Name]int64
	refused [names]int64
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	byLabel := map[string]*sums{}
	for name, t := range c.book.all() {
		label, shown := c.label(name, t)
		if !shown {
			continue
		}
		if label == name {
			for n, value := range t.Limits() {
				to <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(value), label, Name(n).String())
			}
		}
		s := byLabel[label]
		if s == nil {
			s = &sums{used: map[Name]int64{}}
			byLabel[label] = s
		}
		s.add(t, now, c.also)
	}
	for label, s := range byLabel {
		for n, value := range s.used {
			to <- prometheus.MustNewConstMetric(c.used, prometheus.GaugeValue, float64(value), label, n.String())
		}
		for n, value := range s.refused {
			to <- prometheus.MustNewConstMetric(c.refuse, prometheus.CounterValue, float64(value), label, Name(n).String())
		}
	}
}

// label is that of a tenant; shown is false before its first traffic.
func (c *collector) label(name string, t *Tenant) (label string, shown bool) {
	if c.labels[name] {
		return name, true
	}
	if !t.shown.Load() && !slices.ContainsFunc(Names(), func(n Name) bool { return t.refused[n].Load() > 0 }) {
		return "", false
	}
	if len(c.labels) >= maxLabels {
		return Other, true
	}
	c.labels[name] = true
	return name, true
}

func (s *sums) add(t *Tenant, now time.Time, also func(*Tenant) map[Name]int64) {
	l := t.Limits()
	uses := map[Name]int64{
		IngestRate: t.rate.Used(now, l[IngestRate]), IngestItems: t.items.Used(now, l[IngestItems]),
		InFlight: t.Memory.Used(), Tails: t.Tails.Used(), BacklogBytes: t.Backlog(), Retained: t.kept.Load(),
	}
	if also != nil {
		for n, value := range also(t) {
			uses[n] = value
		}
	}
	for n, value := range uses {
		s.used[n] += value
	}
	for n := range s.refused {
		s.refused[n] += t.refused[n].Load()
	}
}
