package profile

import (
	"math"
	"slices"
	"sort"
)

// fewValues is the largest number of distinct values that have a bin each under
// the default binning: counts, ratings, flags.
const fewValues = 20

func (b *Builder) fillNumbers(f *Feature, c *Column) error {
	values := b.finite(f, c)
	f.Baseline.Subgroups, f.Baseline.Scouter = subgroups(values), scouterLimitsOf(c.Type, values)
	b.spare = slices.Grow(b.spare[:0], len(values))[:len(values)]
	values = sortFloats(values, b.spare)
	edges, err := b.profile.Binning.cells(values)
	if err != nil {
		return inColumn(err, c.Name)
	}
	f.Baseline.Min, f.Baseline.Max = values[0], values[len(values)-1]
	f.Baseline.Mean, f.Baseline.StdDev = moments(values)
	f.Baseline.measure(values)
	f.Bins = make([]Bin, len(edges)+1)
	lower, below := math.Inf(-1), 0
	for i := range f.Bins {
		upper, upTo := math.Inf(1), len(values)
		if i < len(edges) {
			upper = edges[i]
			upTo = valuesUpTo(values, upper)
		}
		f.Bins[i] = Bin{ID: i + 1, Lower: lower, Upper: upper, Count: uint64(upTo - below)}
		lower, below = upper, upTo
	}
	f.setProportions(uint64(len(values)))
	return nil
}

// measure keeps the median and the exact sums of sorted values.
func (b *Baseline) measure(sorted []float64) {
	n := len(sorted)
	low, high := sorted[(n-1)/2], sorted[n/2]
	b.Median = low + (high-low)/2
	if !finite(b.Median) {
		b.Median = low/2 + high/2
	}
	var values, distances sums
	for _, x := range sorted {
		values.add(x)
		distances.add(min(math.Abs(x-b.Median), math.MaxFloat64))
	}
	b.Moments, b.Deviations = values.bytes(), distances.bytes()
}

// finite gathers the values that lie in regular bins and counts the others. The
// slice is the builder's, and sorting it may swap it with the spare one.
func (b *Builder) finite(f *Feature, c *Column) []float64 {
	b.values = slices.Grow(b.values[:0], len(c.Numbers))
	for row, v := range c.Numbers {
		switch {
		case c.missing(row):
			f.Baseline.Special[Missing]++
		case finite(v):
			b.values = append(b.values, v+0) // -0 becomes 0: they compare equal
		case math.IsNaN(v):
			f.Baseline.Special[NaN]++
		case v > 0:
			f.Baseline.Special[PosInf]++
		default:
			f.Baseline.Special[NegInf]++
		}
	}
	return b.values
}

// cells returns the inner edges of the bins of sorted, finite values. Under the
// default binning no bin is empty, whatever values repeat: few distinct values
// have a bin each, and of many the edges stay that have values on both sides. A
// binning that was asked for is as [Binning.Edges] says.
func (b Binning) cells(sorted []float64) ([]float64, error) {
	if b != (Binning{}).withDefaults() {
		return b.Edges(sorted)
	}
	if edges, few := distinctEdges(sorted); few {
		return edges, nil
	}
	edges, err := b.Edges(sorted)
	below := 0
	return slices.DeleteFunc(edges, func(edge float64) bool {
		upTo := valuesUpTo(sorted, edge)
		empty := upTo == below || upTo == len(sorted)
		below = upTo
		return empty
	}), err
}

// distinctEdges are edges that give each distinct value a bin: every value but
// the largest is one. They are none when there are more than fewValues. A single
// value lies between bins for what is below it and above it, which the reference
// leaves empty: it would otherwise hold whatever comes.
func distinctEdges(sorted []float64) (edges []float64, few bool) {
	for at := 0; at < len(sorted); at = valuesUpTo(sorted, sorted[at]) {
		if len(edges) == fewValues {
			return nil, false
		}
		edges = append(edges, sorted[at])
	}
	switch {
	case len(edges) == 0:
		return nil, false
	case len(edges) > 1:
		return edges[:len(edges)-1], true
	}
	if below := math.Nextafter(edges[0], math.Inf(-1)); finite(below) {
		edges = slices.Insert(edges, 0, below)
	}
	return edges, true
}

// valuesUpTo is the number of sorted values that are at most v.
func valuesUpTo(sorted []float64, v float64) int {
	return sort.Search(len(sorted), func(k int) bool { return sorted[k] > v })
}
