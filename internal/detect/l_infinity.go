package detect

import (
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// lInfinity is the greatest change of a share, max|p−q|: what one category
// gained or lost, in a number that needs no explanation. In large samples each
// difference is normal with variance π(1−π)(1/N+1/M), and the p-value is the
// union bound over the cells; below 1,000 rows, or with rare cells, it is drawn.
var lInfinity = countDetector("l_infinity", "greatest change of one share", &divergence{
	cell:  func(t *table, r, c uint64) float64 { return math.Abs(t.gap(r, c)) },
	total: slices.Max[[]float64],
	draws: fewRows,
	tail:  unionBound,
	critical: func(t *table, alpha float64) float64 {
		if t.cells() == 2 {
			return t.deviation(0) * stat.NormalQuantile(alpha/2)
		}
		return stat.Invert(alpha, func(d float64) float64 { return unionBound(t, d) }, 1)
	},
})

// unionBound is the sum of the cells' own p-values, at most 1.
func unionBound(t *table, d float64) float64 {
	if t.cells() == 2 { // the two differences are one
		return 2 * stat.Normal(d/t.deviation(0))
	}
	p := 0.0
	for i := range t.r {
		p += 2 * stat.Normal(d/t.deviation(i))
	}
	return min(p, 1)
}

// deviation is the standard deviation of p−q in cell i under no drift.
func (t *table) deviation(i int) float64 {
	pi := t.pooled(i)
	return math.Sqrt(pi * (1 - pi) * t.s())
}

// fewRows says that normal approximations of single cells are not good enough.
func fewRows(t *table) bool { return min(t.n, t.m) < 1000 || below(enough)(t) }
