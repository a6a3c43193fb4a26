package profile

import (
	"math"
	"sort"
)

// Special names a bin that follows the regular ones.
type Special int

// The special bins in their order after the regular bins.
const (
	// Missing counts records without a value for the feature.
	Missing Special = iota
	// NaN counts values that are not a number.
	NaN
	// PosInf counts values of plus infinity.
	PosInf
	// NegInf counts values of minus infinity.
	NegInf
	// Other counts categories that the reference does not have.
	Other
	// WrongType counts values of another type than the feature's, where a monitor
	// judges how many there are; else such records are refused.
	WrongType
	// Specials is the number of special bins.
	Specials int = iota
)

// String returns the name of the bin as it appears in JSON and on screen.
func (s Special) String() string {
	switch s {
	case Missing:
		return "missing"
	case NaN:
		return "nan"
	case PosInf:
		return "+inf"
	case NegInf:
		return "-inf"
	case WrongType:
		return WrongTypeDetector
	default:
		return "other"
	}
}

// Bin is one regular bin of a feature with the share of the reference in it.
type Bin struct {
	// ID is the bin's number: from 1 for numbers, from 0 for categories.
	ID int
	// Lower and Upper limit a numeric bin: lower < v ≤ upper. The first lower
	// limit is -Inf and the last upper one +Inf.
	Lower, Upper float64
	// Category is the value of a category bin.
	Category string
	// Count is the number of reference values in the bin; 0 throughout when a
	// profile was imported that has only proportions.
	Count uint64
	// Proportion is the bin's share of the values in regular bins, 0 to 1.
	Proportion float64
}

// Baseline summarises the reference values of a feature. The moments cover
// finite numbers only and are zero for categories.
type Baseline struct {
	// Rows is the number of reference rows, whatever they hold.
	Rows uint64 `json:"rows"`
	// Special counts rows in the special bins, in their order.
	Special [Specials]uint64 `json:"special"`
	// Min, Max, Mean and StdDev (population) describe the finite values.
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"std_dev"`
	// Median is the middle of the finite values.
	Median float64 `json:"median,omitempty"`
	// Moments are the count, the sum and the sum of squares of the finite values
	// without rounding, and Deviations those of their distances to Median, each in
	// the compact form of the server (package exact). Empty in profiles from before
	// they were kept, like all that follows, and for categories.
	Moments    []byte `json:"moments,omitempty"`
	Deviations []byte `json:"deviations,omitempty"`
	// Subgroups and Scouter are what control charts go by. They depend on the order
	// of the rows, and are nil where there are too few.
	Subgroups *Subgroups     `json:"subgroups,omitempty"`
	Scouter   *ScouterLimits `json:"scouter_limits,omitempty"`
}

// Feature is one compared column: its type, its bins and its reference.
type Feature struct {
	// Name is unique within the profile.
	Name string
	// Kind says whether Bins are intervals or categories.
	Kind Kind
	// Type is the type of value that records must carry for the feature. An
	// Int feature of kind Category has the decimal text of each number as its
	// categories.
	Type ValueType
	// Bins are the regular bins in order of their ID.
	Bins []Bin
	// Baseline summarises the reference.
	Baseline Baseline
}

// Cells returns the length of the feature's count arrays: its regular bins and
// then the special ones.
func (f *Feature) Cells() int { return len(f.Bins) + Specials }

// SpecialCell returns the index of a special bin in the feature's count arrays.
func (f *Feature) SpecialCell(s Special) int { return len(f.Bins) + int(s) }

// Edges returns the inner edges of a numeric feature in ascending order, one
// fewer than it has bins; nil for a category feature.
func (f *Feature) Edges() []float64 {
	if f.Kind != Numeric || len(f.Bins) == 0 {
		return nil
	}
	edges := make([]float64, len(f.Bins)-1)
	for i := range edges {
		edges[i] = f.Bins[i].Upper
	}
	return edges
}

// Categories returns the categories in the order of their bins; nil for a
// numeric feature.
func (f *Feature) Categories() []string {
	if f.Kind != Category {
		return nil
	}
	texts := make([]string, len(f.Bins))
	for i := range texts {
		texts[i] = f.Bins[i].Category
	}
	return texts
}

// NumberCell returns the index in the count arrays for a number: the bin with
// lower < v ≤ upper, or a special bin.
func (f *Feature) NumberCell(v float64) int {
	switch {
	case math.IsNaN(v):
		return f.SpecialCell(NaN)
	case math.IsInf(v, 1):
		return f.SpecialCell(PosInf)
	case math.IsInf(v, -1):
		return f.SpecialCell(NegInf)
	}
	// The first bin whose upper limit is not below v; with repeated edges this
	// is the only one of them that can hold a value.
	return sort.Search(len(f.Bins)-1, func(i int) bool { return f.Bins[i].Upper >= v })
}

// CategoryCell returns the index in the count arrays for a category: its bin,
// or that of [Other].
func (f *Feature) CategoryCell(text string) int {
	i := sort.Search(len(f.Bins), func(i int) bool { return f.Bins[i].Category >= text })
	if i < len(f.Bins) && f.Bins[i].Category == text {
		return i
	}
	return f.SpecialCell(Other)
}

// Proportions returns the reference share of each regular bin.
func (f *Feature) Proportions() []float64 {
	shares := make([]float64, len(f.Bins))
	for i := range shares {
		shares[i] = f.Bins[i].Proportion
	}
	return shares
}

// Share returns count/total, and 0 of nothing.
func Share(count, total uint64) float64 {
	if total == 0 {
		return 0
	}
	return float64(count) / float64(total)
}
