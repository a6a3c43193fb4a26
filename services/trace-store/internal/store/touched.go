package store

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Touch says in which minutes spans of a service that are new began.
type Touch struct {
	Tenant, Service string
	Minutes         []int64 // since 1970, ascending, each once
}

// minute is one minute of a service, by indexes into the dictionaries.
type minute struct {
	tenant, service uint32
	at              int64
}

// maxMinute is the last that a window can be.
const maxMinute = math.MaxUint32 / 60

// noteMinute remembers when the last span began. Most begin in the same minute as
// the one before. Absurd times touch nothing.
func (c *Columns) noteMinute(start uint64) {
	i := c.rows - 1
	m := minute{c.tenant.rows[i], c.service.rows[i], int64(start / uint64(time.Minute))} //nolint:gosec // far smaller
	if m != c.lastMinute && m.at <= maxMinute {
		c.lastMinute = m
		c.minutes[m] = struct{}{}
	}
}

// Touched lists the services with spans in the block and when these began.
func (c *Columns) Touched() []Touch {
	type service struct{ tenant, service uint32 }
	found := map[service][]int64{}
	for m := range c.minutes {
		k := service{m.tenant, m.service}
		found[k] = append(found[k], m.at)
	}
	all := make([]Touch, 0, len(found))
	for _, k := range slices.SortedFunc(maps.Keys(found), func(a, b service) int {
		return int(int64(a.tenant)<<32|int64(a.service)) - int(int64(b.tenant)<<32|int64(b.service))
	}) {
		slices.Sort(found[k])
		all = append(all, Touch{Tenant: string(c.tenant.word(k.tenant)), Service: string(c.service.word(k.service)), Minutes: found[k]})
	}
	return all
}
