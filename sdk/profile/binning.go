package profile

import (
	"slices"
	"strconv"
)

// MaxBins is the largest number of regular bins of a feature. It bounds what a
// rule may ask for (with a tiny quartile range some ask for billions) and what
// a category column may hold.
const MaxBins = 1000

// Rule names a way to choose bins for a numeric feature.
type Rule string

// The rules. Quantile puts edges at evenly spaced quantiles of the reference;
// all others cut its range into bins of equal width and differ in how they
// choose their number (B) from the number of values n.
const (
	// Quantile: Hyndman-Fan type 7 quantiles (R's default), B given.
	Quantile Rule = "Quantile"
	// Manual: B given.
	Manual Rule = "Manual"
	// SquareRoot: ⌈√n⌉.
	SquareRoot Rule = "SquareRoot"
	// Sturges: ⌈log2 n⌉ + 1 (Sturges 1926).
	Sturges Rule = "Sturges"
	// Rice: ⌈2·n^(1/3)⌉.
	Rice Rule = "Rice"
	// Doane: round(1 + log2 n + log2(1 + |g1|/σ)) (Doane 1976).
	Doane Rule = "Doane"
	// Scott: ⌈range / (3.49·s·n^(-1/3))⌉ with population s (Scott 1979).
	Scott Rule = "Scott"
	// TerrellScott: round((2n)^(1/3)) (Terrell & Scott 1985).
	TerrellScott Rule = "TerrellScott"
	// FreedmanDiaconis: ⌈range / (2·IQR·n^(-1/3))⌉, quartiles without
	// interpolation (Freedman & Diaconis 1981).
	FreedmanDiaconis Rule = "FreedmanDiaconis"
)

// DefaultBins is the number of quantile bins when none is given.
const DefaultBins = 10

// Binning is a rule and, for Quantile and Manual, a number of bins. The zero
// value means deciles: Quantile with [DefaultBins].
type Binning struct {
	Rule Rule
	Bins int
}

func (b Binning) withDefaults() Binning {
	if b.Rule == "" {
		b.Rule = Quantile
	}
	if b.Rule == Quantile && b.Bins == 0 {
		b.Bins = DefaultBins
	}
	return b
}

// Validate reports an unknown rule or a number of bins outside 2 to [MaxBins].
func (b Binning) Validate() error {
	b = b.withDefaults()
	switch b.Rule {
	case Quantile, Manual:
		return checkBins(b.Rule, float64(b.Bins))
	case SquareRoot, Sturges, Rice, Doane, Scott, TerrellScott, FreedmanDiaconis:
		if b.Bins != 0 {
			return &Error{Rule: "BIN_COUNT", Detail: "rule " + string(b.Rule) + " chooses the number of bins itself"}
		}
		return nil
	}
	return &Error{Rule: "BINNING_RULE", Detail: "unknown binning rule " + strconv.Quote(string(b.Rule))}
}

// Edges returns the inner edges that the rule chooses for sorted, finite
// values. The edges ascend, and may repeat where values do. An *Error without
// column says why the rule cannot bin these values.
func (b Binning) Edges(sorted []float64) ([]float64, error) {
	b = b.withDefaults()
	if err := b.Validate(); err != nil {
		return nil, err
	}
	if len(sorted) == 0 {
		return nil, &Error{Rule: "EMPTY_COLUMN", Detail: "there is no finite value to bin"}
	}
	if b.Rule == Quantile {
		return quantileEdges(sorted, b.Bins), nil
	}
	count, err := b.width(sorted)
	if err != nil {
		return nil, err
	}
	return widthEdges(sorted[0], sorted[len(sorted)-1], count), nil
}

// quantileEdges implements Hyndman & Fan (1996) type 7. Edge i of B lies at
// (N-1)·i/B places behind the first value: whole places in integers, so that an
// edge that falls on a value is that value to the last digit, v ≤ edge included.
func quantileEdges(sorted []float64, bins int) []float64 {
	edges := make([]float64, bins-1)
	for i := range edges {
		at := (len(sorted) - 1) * (i + 1)
		place, rest := at/bins, at%bins
		edges[i] = sorted[place]
		if rest > 0 {
			edges[i] = between(sorted[place], sorted[place+1], rest, bins)
		}
	}
	// Two edges between the same neighbours can swap by one digit of rounding.
	slices.Sort(edges)
	return edges
}

// between is the value part/parts of the way from low to high, and never leaves
// low to high. The conversions to float64 forbid fused multiply-add, which would
// give other digits on other processors.
func between(low, high float64, part, parts int) float64 {
	if low == high {
		return low
	}
	v := (float64(low*float64(parts-part)) + float64(high*float64(part))) / float64(parts)
	if !finite(v) { // the sum is beyond a float, its parts are not
		v = float64(low/float64(parts)*float64(parts-part)) + float64(high/float64(parts)*float64(part))
	}
	return min(max(v, low), high)
}

func widthEdges(low, high float64, bins int) []float64 {
	// Halves keep the width finite where high - low would overflow.
	width := (high/2 - low/2) / float64(bins) * 2
	edges := make([]float64, bins-1)
	for i := range edges {
		edges[i] = low + float64(width*float64(i+1))
	}
	return edges
}

func checkBins(rule Rule, count float64) error {
	if count >= 2 && count <= MaxBins {
		return nil
	}
	return &Error{Rule: "BIN_COUNT", Detail: "rule " + string(rule) + " gives " +
		strconv.FormatFloat(count, 'g', -1, 64) + " bins; 2 to " + strconv.Itoa(MaxBins) + " are allowed"}
}
