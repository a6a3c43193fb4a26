package query

import (
	"cmp"
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// cell is the spans that count at the same points, from since to before till.
type cell struct {
	since, till   int64
	calls, errors uint64
	durations     []uint64
}

// seriesSet collects cells by service and operation.
type seriesSet struct {
	points int
	times  uint64 // how often each span counts
	series map[[2]string]*seriesSums
}

type seriesSums struct {
	Series
	cells []cell // with their durations
}

func (b *seriesSet) add(service, operation string, c cell) error {
	c.calls *= b.times
	c.errors *= b.times
	key := [2]string{service, operation}
	s := b.series[key]
	if s == nil {
		if (len(b.series)+1)*b.points > maxAnswer {
			return fault.Invalid.New("more than %d points in all: ask for a longer step, a shorter time or fewer services", maxAnswer)
		}
		s = &seriesSums{Series: Series{
			Service: service, Operation: operation,
			Calls: make([]uint64, b.points+1), Errors: make([]uint64, b.points+1),
		}}
		b.series[key] = s
	}
	// For now each point has what it differs by from the one before; numbers
	// below zero wrap around, and back again.
	s.Calls[c.since] += c.calls
	s.Calls[c.till] -= c.calls
	s.Errors[c.since] += c.errors
	s.Errors[c.till] -= c.errors
	if len(c.durations) > 0 {
		s.cells = append(s.cells, c)
	}
	return nil
}

// finish gives the series, sorted.
func (b *seriesSet) finish(quantile *float64) []Series {
	out := make([]Series, 0, len(b.series))
	for _, s := range b.series {
		for i := 1; i < b.points; i++ {
			s.Calls[i] += s.Calls[i-1]
			s.Errors[i] += s.Errors[i-1]
		}
		s.Calls, s.Errors = s.Calls[:b.points], s.Errors[:b.points]
		if quantile != nil {
			s.Durations, s.Duration = quantiles(s.cells, b.points, *quantile)
		}
		out = append(out, s.Series)
	}
	slices.SortFunc(out, func(a, b Series) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Operation, b.Operation))
	})
	return out
}

// quantiles gives at every point the q-th quantile of the durations that count
// there: of n, sorted, that at (n-1)*q, interpolated; and that of all. Windows overlap,
// so it goes from point to point, and takes in and lets go what comes and leaves.
func quantiles(cells []cell, points int, q float64) (each []float64, all float64) {
	type span struct {
		duration uint64
		cell     int
	}
	var spans []span // by duration: the index is the rank
	come, leave := make([][]int, points+1), make([][]int, points+1)
	for i, c := range cells {
		for _, d := range c.durations {
			spans = append(spans, span{d, i})
		}
		come[c.since] = append(come[c.since], i)
		leave[c.till] = append(leave[c.till], i)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.duration, b.duration) })
	ranks := make([][]int32, len(cells))
	for rank, s := range spans {
		ranks[s.cell] = append(ranks[s.cell], int32(rank))
	}
	present := newRanks(len(spans))
	nth := func(count int, at func(n int) int) float64 {
		below, part := math.Modf(q * float64(count-1))
		d := float64(spans[at(int(below))].duration)
		if part > 0 {
			d += part * (float64(spans[at(int(below)+1)].duration) - d)
		}
		return d
	}
	each = make([]float64, points)
	for k := range each {
		for _, i := range come[k] {
			present.add(ranks[i], 1)
		}
		for _, i := range leave[k] {
			present.add(ranks[i], -1)
		}
		if present.count == 0 {
			each[k] = math.NaN()
			continue
		}
		each[k] = nth(present.count, present.at)
	}
	return each, nth(len(spans), func(n int) int { return n })
}

// rankSet is a set of ranks that finds its n-th smallest: a Fenwick tree.
type rankSet struct {
	tree  []int32 // tree[i] is how many of the ranks (i-lowest bit of i) to i-1 are in
	count int
}

func newRanks(n int) *rankSet { return &rankSet{tree: make([]int32, n+1)} }

// add puts ranks in (1) or takes them out (-1).
func (s *rankSet) add(ranks []int32, by int32) {
	for _, rank := range ranks {
		for i := int(rank) + 1; i < len(s.tree); i += i & -i {
			s.tree[i] += by
		}
	}
	s.count += len(ranks) * int(by)
}

// at is the rank that has n smaller ones in the set.
func (s *rankSet) at(n int) int {
	at, size := 0, 1
	for size*2 < len(s.tree) {
		size *= 2
	}
	for ; size > 0; size /= 2 {
		if next := at + size; next < len(s.tree) && int(s.tree[next]) <= n {
			at = next
			n -= int(s.tree[next])
		}
	}
	return at
}
