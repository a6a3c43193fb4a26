package profile

import "strconv"

// Limit names a kind of [Threshold].
type Limit string

// The limits.
const (
	// Fixed is a value of the statistic.
	Fixed Limit = "fixed"
	// Significance is a false alarm rate per evaluation, kept over many features
	// and monitors by the profile's [Correction].
	Significance Limit = "significance"
	// Budget is a number of false pages in a time.
	Budget Limit = "budget"
	// Deviations is a distance from the mean of reference chunks.
	Deviations Limit = "deviations"
)

// DefaultAlpha is the significance when none is given.
const DefaultAlpha = 0.05

// Threshold is what a statistic is held against: a [Limit] with its numbers; the
// others are zero. Make it with [Above], [Significant], [AtMost] or [Beyond].
// The zero value means Significant(DefaultAlpha).
type Threshold struct {
	Limit Limit
	// Value is that of Fixed.
	Value float64
	// Alpha is that of Significance.
	Alpha float64
	// Pages in Days are those of Budget.
	Pages, Days float64
	// Sigmas is how many standard deviations from the mean are allowed by
	// Deviations, and Chunks what the statistic of each feature was like.
	Sigmas float64
	Chunks map[string]Chunks
}

// Above is drift when the statistic is above value.
func Above(value float64) Threshold { return Threshold{Limit: Fixed, Value: value} }

// Significant is drift when a statistic like this is less likely than alpha
// where nothing moved. At 0 nothing is drift.
func Significant(alpha float64) Threshold { return Threshold{Limit: Significance, Alpha: alpha} }

// AtMost is a significance such that, where nothing moved, no more than so many
// alerts are raised in so many days on average, given the schedule, the
// persistence and all features of the monitor.
func AtMost(pages, days float64) Threshold {
	return Threshold{Limit: Budget, Pages: pages, Days: days}
}

// Beyond is drift when the statistic of a feature is more than so many standard
// deviations away from its mean over reference chunks. Features without chunks
// are not judged.
func Beyond(sigmas float64, chunks map[string]Chunks) Threshold {
	return Threshold{Limit: Deviations, Sigmas: sigmas, Chunks: chunks}
}

func (t Threshold) withDefaults() Threshold {
	if t.Limit == "" {
		return Significant(DefaultAlpha)
	}
	return t
}

func (t Threshold) check() *Error {
	switch t.Limit {
	case Fixed:
		if t.Value >= 0 && finite(t.Value) {
			return nil
		}
		return &Error{Rule: "THRESHOLD_VALUE", Detail: "a fixed threshold of " + number(t.Value) + " is not at least 0"}
	case Significance:
		if t.Alpha >= 0 && t.Alpha < 1 {
			return nil
		}
		return &Error{Rule: "THRESHOLD_ALPHA", Detail: "significance " + number(t.Alpha) + " is not at least 0 and below 1"}
	case Budget:
		if t.Pages > 0 && finite(t.Pages) && t.Days > 0 && finite(t.Days) {
			return nil
		}
		return &Error{Rule: "THRESHOLD_BUDGET", Detail: number(t.Pages) + " false pages in " + number(t.Days) + " days are not two positive numbers"}
	case Deviations:
		return t.checkChunks()
	}
	return &Error{Rule: "THRESHOLD_LIMIT", Detail: "unknown threshold " + strconv.Quote(string(t.Limit))}
}

func (t Threshold) checkChunks() *Error {
	if !(t.Sigmas > 0) || !finite(t.Sigmas) || len(t.Chunks) == 0 {
		return &Error{Rule: "THRESHOLD_CHUNKS", Detail: number(t.Sigmas) + " standard deviations over the chunks of " +
			strconv.Itoa(len(t.Chunks)) + " features; a positive number and at least one feature are needed"}
	}
	for name, c := range t.Chunks {
		if c.Number < 2 || !finite(c.Mean) || !finite(c.StdDev) || c.StdDev < 0 {
			return &Error{Column: name, Rule: "THRESHOLD_CHUNKS", Detail: strconv.Itoa(c.Number) + " chunks with mean " + number(c.Mean) +
				" and standard deviation " + number(c.StdDev) + "; at least 2 chunks and finite numbers are needed"}
		}
	}
	return nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
