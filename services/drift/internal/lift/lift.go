// Package lift says which slices of some records carry the shift of a feature: a
// slice is the records with one value, or one bin, of another feature. It is pure.
//
// # The measure
//
// Of a cell of the feature with the share p in the reference and q in the sample,
// every record is in excess by w = max(0, 1 − p/q): that part of the cell's records
// is more than the reference says. Added up over all records this is the total
// variation distance times their number: how many would have to be elsewhere. The
// weights divide it among records, so any slice has its share of the shift, and
//
//	lift = (share of the slice in the excess) / (share of the slice in the records)
//
// is 1 where the slice has as much of it as its size says. This is the lift of
// association rules (Brin, Motwani, Ullman and Tsur 1997), with "in excess" for the
// consequent, and what MacroBase and DIFF rank explanations by as a risk ratio
// (Bailis and others 2017, Abuzaid and others 2018): the rate in the slice by the
// rate of all, where theirs is by the rate of the others.
//
// Cells whose excess may be chance (less than two standard errors of both samples)
// have no part in it, unless all are like that: then the greatest has.
//
// # Significance
//
// Which cells are in excess follows from all records together. Given that, and the
// size of the slice, the number of its records in those cells is hypergeometric if
// the slice has nothing to do with the shift; p is its upper tail, exact, and is
// corrected for all slices that were tried by Holm's method. A slice is told of
// when the corrected p is at most Alpha, so where no slice has to do with the shift
// the chance that any is told of is at most that.
//
// A slice that is told of is where the shift is, not why: a value that goes along
// with the feature in the reference as well goes along with its shift.
package lift

import (
	"cmp"
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/internal/stat"
)

const (
	// Alpha is the chance that anything is told of where there is nothing.
	Alpha = 0.01
	// MinRecords is the least slice that is tried, and the least remainder.
	MinRecords = 20
	// surely is how many standard errors an excess must be to have a part.
	surely = 2
)

// Shift is where a feature is and was, by cell.
type Shift struct {
	// Expected and Observed are the shares of the reference and of the sample.
	Expected, Observed []float64
	// Distance is the total variation distance: half the sum of their differences.
	Distance float64

	counts  []uint64
	total   uint64
	weights []float64 // of a record in each cell, 0 where it is not in excess
	excess  float64   // of all records
	moved   uint64    // records in cells in excess
}

// New describes a shift: counts of the sample by cell, the shares of the reference
// by cell, and of how many values those are, 0 when they are taken as exact.
func New(counts []uint64, expected []float64, reference uint64) *Shift {
	s := &Shift{Expected: expected, Observed: make([]float64, len(counts)), counts: counts, weights: make([]float64, len(counts))}
	for _, n := range counts {
		s.total += n
	}
	if s.total == 0 {
		return s
	}
	spread := 1 / float64(s.total)
	if reference > 0 {
		spread += 1 / float64(reference)
	}
	most, sure := 0, false
	for i, n := range counts {
		s.Observed[i] = float64(n) / float64(s.total)
		more := s.Observed[i] - expected[i]
		s.Distance += math.Abs(more) / 2
		if more > s.Observed[most]-expected[most] {
			most = i
		}
		// Pooled, as in a test of two proportions.
		pooled := s.Observed[i]
		if reference > 0 {
			pooled = (float64(n) + expected[i]*float64(reference)) / float64(s.total+reference)
		}
		if more > surely*math.Sqrt(pooled*(1-pooled)*spread) {
			s.take(i)
			sure = true
		}
	}
	if !sure && s.Observed[most] > expected[most] {
		s.take(most)
	}
	return s
}

func (s *Shift) take(cell int) {
	s.weights[cell] = 1 - s.Expected[cell]/s.Observed[cell]
	s.excess += s.weights[cell] * float64(s.counts[cell])
	s.moved += s.counts[cell]
}

// Slice is the records with one value of another feature, by the cell of the
// feature that moved.
type Slice struct {
	// Feature and Value say which, as the caller counts them.
	Feature, Value int
	Counts         []uint64
}

// Found is a slice with what was found of it.
type Found struct {
	Slice
	// Records is its size, Moved how many of them are in cells in excess.
	Records, Moved uint64
	// Share is its share of the records, ShiftShare of the shift, Lift the second
	// by the first.
	Share, ShiftShare, Lift float64
	P, Adjusted             float64
}

// Rank says which of the slices carry more of the shift than their size says, the
// highest lift first, and how many were tried.
func (s *Shift) Rank(among []Slice) (found []Found, tried int) {
	var all []Found
	var ps []float64
	for _, c := range among {
		f := Found{Slice: c}
		excess := 0.0
		for cell, n := range c.Counts {
			f.Records += n
			excess += s.weights[cell] * float64(n)
			if s.weights[cell] > 0 {
				f.Moved += n
			}
		}
		if f.Records < MinRecords || f.Records > s.total || s.total-f.Records < MinRecords || s.excess <= 0 {
			continue
		}
		f.Share, f.ShiftShare = float64(f.Records)/float64(s.total), excess/s.excess
		f.Lift = f.ShiftShare / f.Share
		f.P = stat.Hypergeometric(f.Moved, f.Records, s.moved, s.total)
		all, ps = append(all, f), append(ps, f.P)
	}
	for i, adjusted := range stat.Holm(ps) {
		if all[i].Adjusted = adjusted; adjusted <= Alpha && all[i].Lift > 1 {
			found = append(found, all[i])
		}
	}
	slices.SortStableFunc(found, func(a, b Found) int { return cmp.Or(cmp.Compare(b.Lift, a.Lift), cmp.Compare(a.P, b.P)) })
	return found, len(all)
}
