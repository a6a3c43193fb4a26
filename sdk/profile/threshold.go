package profile

import (
	"math"
	"strconv"
)

// Limit names a way to compute the threshold of the index.
type Limit string

// The ways. Under no drift the index of M observations in B bins is about
// chi-square with B-1 degrees of freedom over M (Yurdakul 2018).
const (
	// Fixed is a number, whatever the sample.
	Fixed Limit = "Fixed"
	// Normal is (B-1)/M + z(1-α)·√(2(B-1))/M.
	Normal Limit = "Normal"
	// ChiSquare is the χ² quantile of 1-α with B-1 degrees of freedom, over M.
	ChiSquare Limit = "ChiSquare"
)

// DefaultAlpha is the false alarm rate per feature and evaluation when none is
// given.
const DefaultAlpha = 0.05

// Threshold is a [Limit] with its number. The zero value means ChiSquare with
// [DefaultAlpha].
type Threshold struct {
	Limit Limit
	// Value is the threshold of Fixed; at least 0.
	Value float64
	// Alpha is the false alarm rate of Normal and ChiSquare, in [0, 1). At 0
	// the threshold is infinite and nothing alerts.
	Alpha float64
}

func (t Threshold) withDefaults() Threshold {
	if t.Limit == "" {
		return Threshold{Limit: ChiSquare, Alpha: DefaultAlpha}
	}
	return t
}

// Validate reports an unknown limit or a number outside its range.
func (t Threshold) Validate() error {
	t = t.withDefaults()
	switch t.Limit {
	case Fixed:
		if t.Value >= 0 && finite(t.Value) {
			return nil
		}
		return &Error{Rule: "THRESHOLD_VALUE", Detail: "a fixed threshold of " + number(t.Value) + " is not at least 0"}
	case Normal, ChiSquare:
		if t.Alpha >= 0 && t.Alpha < 1 {
			return nil
		}
		return &Error{Rule: "THRESHOLD_ALPHA", Detail: "alpha " + number(t.Alpha) + " is not at least 0 and below 1"}
	}
	return &Error{Rule: "THRESHOLD_LIMIT", Detail: "unknown threshold " + strconv.Quote(string(t.Limit))}
}

// At returns the threshold for an index of sample observations in bins bins.
// Drift means an index strictly above it. It is +Inf for an empty sample, and
// for alpha 0. With a single bin ChiSquare is 0, which no index exceeds.
func (t Threshold) At(sample uint64, bins int) float64 {
	t = t.withDefaults()
	if t.Limit == Fixed {
		return t.Value
	}
	if sample == 0 || t.Alpha <= 0 {
		return math.Inf(1)
	}
	m, df := float64(sample), max(bins-1, 0)
	if t.Limit == Normal {
		return float64(df)/m + float64(normalUpper(t.Alpha)*math.Sqrt(2*float64(df)))/m
	}
	return chiSquareUpper(t.Alpha, df) / m
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
