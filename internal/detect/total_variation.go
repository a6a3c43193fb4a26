package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// totalVariation is ½Σ|p−q|, the share of rows that would have to move. In large
// samples it is a sum of absolute values of correlated normal differences, whose
// mean and variance are known; a gamma distribution with those gives the
// p-value. Below 1,000 rows, or with rare cells, it is drawn.
var totalVariation = countDetector("total_variation", "share of rows that would have to move", &divergence{
	cell:  func(t *table, r, c uint64) float64 { return math.Abs(t.gap(r, c)) / 2 },
	draws: fewRows,
	tail: func(t *table, d float64) float64 {
		if t.cells() == 2 {
			return 2 * stat.Normal(d/t.deviation(0))
		}
		mean, variance := variationMoments(t)
		return stat.Gamma(d*mean/variance, mean*mean/variance)
	},
	critical: func(t *table, alpha float64) float64 {
		if t.cells() == 2 {
			return t.deviation(0) * stat.NormalQuantile(alpha/2)
		}
		mean, variance := variationMoments(t)
		return variance / mean * stat.GammaQuantile(alpha, mean*mean/variance)
	},
})

// manyCells is where the variance's double sum becomes its leading term.
const manyCells = 400

// variationMoments are the mean and variance of ½Σ|X| for normal X with the
// covariance of differences of shares.
func variationMoments(t *table) (mean, variance float64) {
	sigma, spread := 0.0, 0.0
	first, third := 0.0, 0.0 // Σπ^1.5/√(1−π) and Σπ³/(1−π)
	for i := range t.r {
		d, pi := t.deviation(i), t.pooled(i)
		sigma += d
		spread += d * d * foldedCovariance(1)
		first += math.Sqrt(pi*pi*pi) / math.Sqrt(1-pi)
		third += pi * pi * pi / (1 - pi)
		if t.cells() > manyCells {
			continue
		}
		for j := range i {
			pj := t.pooled(j)
			rho := -math.Sqrt(pi / (1 - pi) * pj / (1 - pj))
			spread += 2 * d * t.deviation(j) * foldedCovariance(rho)
		}
	}
	if t.cells() > manyCells { // correlations are small: foldedCovariance(ρ) is ρ²/π
		spread += t.s() / math.Pi * (first*first - third)
	}
	return math.Sqrt(2/math.Pi) / 2 * sigma, spread / 4
}

// foldedCovariance is the covariance of |X| and |Y| for standard normal X and Y
// with correlation ρ.
func foldedCovariance(rho float64) float64 {
	rho = min(max(rho, -1), 1)
	return 2 / math.Pi * (math.Sqrt(1-rho*rho) + rho*math.Asin(rho) - 1)
}
