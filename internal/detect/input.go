package detect

import (
	"math"
	"slices"
)

// Kind says what the cells of a feature are.
type Kind uint8

// The kinds. It matters for merging how the cells were chosen: see [Quantiles].
const (
	// Categories have no order.
	Categories Kind = iota
	// Values are ordered cells that were not chosen by their shares: one for
	// each distinct value, or of equal width.
	Values
	// Quantiles are ordered cells cut at quantiles of the reference, whose
	// shares there are therefore no chance.
	Quantiles
)

// Ordered says whether cumulative shares mean something.
func (k Kind) Ordered() bool { return k != Categories }

// States counts rows that are in no cell, and some that are in the end cells.
type States struct {
	// Missing, NaN and WrongType rows are in no cell.
	Missing, NaN, WrongType uint64
	// NegInf and PosInf rows are in no cell either. Detectors of shares and of
	// ranks count them in the end cells of an ordered feature; those that
	// measure distances leave them out.
	NegInf, PosInf uint64
	// Below and Above are those rows of the end cells that are out of the
	// reference's range.
	Below, Above uint64
}

// Side is what was counted on one side.
type Side struct {
	// Counts has a number for each cell.
	Counts []uint64
	// Unseen counts rows of categories that the reference has no cell for. The
	// reference has none.
	Unseen uint64
	States States
	Measures
}

// Total is the number of rows in cells, unseen ones included.
func (s *Side) Total() uint64 {
	total := s.Unseen
	for _, c := range s.Counts {
		total += c
	}
	return total
}

// Input is all that a detector may look at.
type Input struct {
	Kind Kind
	// Bounds of ordered cells, finite and ascending, one more than cells: the
	// end cells reach to the smallest and greatest value of either side.
	Bounds []float64
	// Reference and Current have the same cells.
	Reference, Current Side
	// Scouter is what Scouter's control chart goes by, nil for others.
	Scouter *Scouter
	// Components are those of the reference's rows, nil where they are not known.
	Components *Components
	// Params are the detector's parameters that are not at their default.
	Params map[string]float64
	// Seed of the draws of Monte Carlo: the same for a recomputation.
	Seed uint64
}

// maxTotal is the most rows of both sides together; so every sum of counts, and
// of two totals, fits.
const maxTotal = 1 << 62

// wellFormed says whether the cells of both sides match, the bounds ascend and
// no sum overflows.
func (in *Input) wellFormed() bool {
	if len(in.Reference.Counts) != len(in.Current.Counts) || in.Reference.Unseen != 0 {
		return false
	}
	room := uint64(maxTotal)
	for _, s := range []*Side{&in.Reference, &in.Current} {
		st := &s.States
		for _, c := range slices.Concat(s.Counts, []uint64{s.Unseen, st.Missing, st.NaN, st.WrongType, st.NegInf, st.PosInf}) {
			if c > room {
				return false
			}
			room -= c
		}
	}
	if in.Bounds == nil {
		return true
	}
	for i, b := range in.Bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b < in.Bounds[i-1] {
			return false
		}
	}
	return len(in.Bounds) == len(in.Reference.Counts)+1
}
