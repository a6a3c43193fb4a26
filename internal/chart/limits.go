package chart

import (
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/internal/stat"
)

const (
	// sigmas is how far Shewhart's limits are from the centre.
	sigmas = 3
	// d2 is the mean of the range of two standard normal values.
	d2 = 2 / math.SqrtPi
	// falseRate is the share of normal points beyond three sigmas, for limits
	// that are taken from an exact distribution.
	falseRate = 0.0026997960632601866
	// smallCount is below what expected count the normal limits are replaced.
	smallCount = 5
	// manyValues is from where on C4's series has 12 digits.
	manyValues = 1000
)

// C4 is the mean of the standard deviation of n standard normal values:
// √(2/(n−1))·Γ(n/2)/Γ((n−1)/2). It is 0 for fewer than two.
func C4(n int) float64 {
	if n < 2 {
		return 0
	}
	if n > manyValues { // the log-gammas would cancel
		x := 1 / float64(n)
		return 1 - x/4 - 7*x*x/32 - 19*x*x*x/128
	}
	a, _ := math.Lgamma(float64(n) / 2)
	b, _ := math.Lgamma(float64(n-1) / 2)
	return math.Sqrt(2/float64(n-1)) * math.Exp(a-b)
}

// B3 and B4 are the limits of a standard deviation, in mean ones.
func B3(n int) float64 { return max(0, 1-spread(n)) }

// B4 is the upper one.
func B4(n int) float64 { return 1 + spread(n) }

func spread(n int) float64 {
	c := C4(n)
	return sigmas * math.Sqrt(1-c*c) / c
}

// Limits are where a point of a chart should lie.
type Limits struct {
	Center float64 `json:"center"`
	Lower  float64 `json:"lower"`
	Upper  float64 `json:"upper"`
	// Sigma is the standard deviation of a point; 0 says that the reference is
	// constant, or that the limits are not of that kind.
	Sigma float64 `json:"sigma"`
}

// Beyond says whether x is outside: 1 above, −1 below, 0 not.
func (l Limits) Beyond(x float64) int {
	switch {
	case x > l.Upper:
		return 1
	case x < l.Lower:
		return -1
	}
	return 0
}

// farthest bounds Z, so that sums of it stay finite.
const farthest = 1e100

// Z is x in standard deviations from the centre; NaN where Sigma is 0 and x is
// not the centre.
func (l Limits) Z(x float64) float64 {
	if x == l.Center {
		return 0
	}
	if l.Sigma == 0 {
		return math.NaN()
	}
	z := (x - l.Center) / l.Sigma
	if d := x - l.Center; math.IsInf(d, 0) {
		z = (x/2 - l.Center/2) / (l.Sigma / 2)
	}
	return max(-farthest, min(farthest, z))
}

func around(center, sigma float64) Limits {
	return Limits{Center: center, Lower: center - sigmas*sigma, Upper: center + sigmas*sigma, Sigma: sigma}
}

// Subgroup is a window of several values.
type Subgroup struct {
	N        int
	Mean, SD float64
}

// XbarS is Shewhart's (1931) chart of means and standard deviations.
type XbarS struct {
	Center, Sigma float64
}

// NewXbarS takes centre and spread from a reference. The centre is the mean of
// all values, sigma the mean of s/c4(n), so that sub-groups may differ in size:
// with equal sizes this is x̄̄ and s̄/c4. Sub-groups of fewer than two are left
// out; without any, ok is false.
func NewXbarS(reference []Subgroup) (c XbarS, ok bool) {
	means, spreads := exact.NewMoments(1), exact.NewMoments(1)
	for _, g := range reference {
		if g.N >= 2 {
			means.AddTimes(g.Mean, uint64(g.N))
			spreads.Add(g.SD / C4(g.N))
		}
	}
	if spreads.N() == 0 {
		return c, false
	}
	return XbarS{Center: mean(means), Sigma: mean(spreads)}, true
}

// mean is exact, so that the mean of equal values is their value: with a spread
// of 0 anything else would be beyond the limits.
func mean(m *exact.Moments) float64 {
	x, _ := m.Mean() // of finite values, which there are
	return x
}

// Mean is the limits of the mean of n values: x̄̄ ± A3·s̄.
func (c XbarS) Mean(n int) Limits { return around(c.Center, c.Sigma/math.Sqrt(float64(n))) }

// SD is the limits of the standard deviation of n values: B3·s̄ and B4·s̄.
func (c XbarS) SD(n int) Limits {
	center := C4(n) * c.Sigma
	return Limits{Center: center, Lower: B3(n) * center, Upper: B4(n) * center, Sigma: c.Sigma * math.Sqrt(1-C4(n)*C4(n))}
}

// Individuals is the chart of single values and of their moving ranges (I-MR).
// It assumes that they are independent and normal: where neighbours resemble
// each other it alarms far oftener.
type Individuals struct {
	Value, Range Limits
}

// NewIndividuals takes the limits from a reference, in order. ok is false with
// fewer than two values.
func NewIndividuals(reference []float64) (c Individuals, ok bool) {
	x := present(reference)
	if len(x) < 2 {
		return c, false
	}
	ranges := exact.NewMoments(1)
	for i := 1; i < len(x); i++ {
		ranges.Add(min(math.Abs(x[i]-x[i-1]), math.MaxFloat64))
	}
	moving := mean(ranges)
	c.Value = around(mean(exact.Of(1, x...)), moving/d2)
	rangeSD := math.Sqrt(2-d2*d2) / d2 * moving
	c.Range = Limits{Center: moving, Upper: moving + sigmas*rangeSD, Sigma: rangeSD}
	return c, true
}

// Counted is a window of n units of which some are marked.
type Counted struct {
	Marked, N uint64
}

// Share is the limits of a share (p chart) around p for a window of n:
// p ± 3√(p(1−p)/n), held in [0, 1]. Where fewer than five marked or unmarked are
// expected the normal limits alarm too often, so that those of the binomial distribution
// take their place, at the rate of three sigmas, half on each side.
func Share(p float64, n uint64) Limits {
	if n == 0 {
		return Limits{Center: p, Lower: 0, Upper: 1}
	}
	size := float64(n)
	l := around(p, math.Sqrt(p*(1-p)/size))
	l.Lower, l.Upper = max(l.Lower, 0), min(l.Upper, 1)
	// The rarer of marked and unmarked decides, and is counted.
	rare := min(p, 1-p)
	if size*rare >= smallCount {
		return l
	}
	low, high := exactLimits(size*rare, func(k uint64) float64 { return stat.Binomial(k, n, rare) })
	l.Lower, l.Upper = float64(low)/size, float64(high)/size
	if p > rare {
		l.Lower, l.Upper = 1-l.Upper, 1-l.Lower
	}
	return l
}

// MeanShare is Σd/Σn of a reference.
func MeanShare(reference []Counted) (p float64, ok bool) {
	var marked, n float64
	for _, c := range reference {
		marked, n = marked+float64(c.Marked), n+float64(c.N)
	}
	if n == 0 {
		return 0, false
	}
	return marked / n, true
}

// Count is the limits of a count (c chart) around its mean: c ± 3√c, and those
// of the Poisson distribution where the mean is below five.
func Count(mean float64) Limits {
	l := around(mean, math.Sqrt(mean))
	l.Lower = max(l.Lower, 0)
	if mean < smallCount {
		low, high := exactLimits(mean, func(k uint64) float64 { return stat.Poisson(k, mean) })
		l.Lower, l.Upper = float64(low), float64(high)
	}
	return l
}

// exactLimits are the greatest low with P(X < low) and the least high with
// P(X > high) of at most half the false rate each. tail is P(X ≥ k).
func exactLimits(mean float64, tail func(uint64) float64) (low, high uint64) {
	high = uint64(mean)
	for tail(high+1) > falseRate/2 {
		high++
	}
	for 1-tail(low+1) <= falseRate/2 && low < high {
		low++
	}
	return low, high
}

func present(x []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(x), math.IsNaN)
}
