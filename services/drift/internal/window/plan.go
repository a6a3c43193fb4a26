package window

import (
	"math"
	"math/bits"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Extra is what is measured of a numeric feature besides what always is.
type Extra struct {
	// Deviations: the sums of |x − c| and its square, with the median of the
	// reference for c.
	Deviations bool
	// Sample is how many records make a sub-group, in the order of their event
	// time within a minute; the last of a minute may have fewer. 0: none are made.
	Sample int
}

// plan is how the values of a row become cells.
type plan struct {
	numbers    []number // in the order of Numbers
	categories []category
	features   []place      // in the order of the profile
	cells      int          // of all features together
	empty      []cell       // as many, of which nothing is counted
	sampled    bool         // some feature wants sub-groups
	outcome    *outcomePlan // nil without one
	groups     []groupPlan
}

// place is where the cells of a feature are among those of all.
type place struct {
	first, cells int
	number       int // position among the numbers, −1 for a category
}

type number struct {
	Extra
	first, bins int
	edges       []uint64 // ordered
	guide       *guide   // to the same, nil without one
	low, high   float64  // of the reference; NaN where that is not known
	center      float64
	sampled     int // position among those with sub-groups, −1 if it has none
}

type category struct {
	first, bins int
	cells       map[string]int
}

func newPlan(p *profile.Profile, extras []Extra) *plan {
	made := &plan{outcome: newOutcomePlan(p), groups: newGroupPlans(p)}
	sampled := 0
	for i := range p.Features {
		f := &p.Features[i]
		at := place{first: made.cells, cells: f.Cells(), number: -1}
		made.cells += at.cells
		if f.Kind == profile.Numeric {
			n := number{first: at.first, bins: len(f.Bins), sampled: -1}
			for _, e := range f.Edges() {
				n.edges = append(n.edges, ordered(e))
			}
			n.guide = newGuide(f.Edges())
			n.low, n.high = reach(f)
			if i < len(extras) {
				n.Extra = extras[i]
			}
			if n.Deviations {
				n.center = f.Baseline.Median
			}
			if n.Sample > 0 {
				n.sampled, sampled, made.sampled = sampled, sampled+1, true
			}
			at.number = len(made.numbers)
			made.numbers = append(made.numbers, n)
		} else {
			c := category{first: at.first, bins: len(f.Bins), cells: make(map[string]int, len(f.Bins))}
			for cell, text := range f.Categories() {
				c.cells[text] = cell
			}
			made.categories = append(made.categories, c)
		}
		made.features = append(made.features, at)
	}
	made.empty = make([]cell, made.cells)
	for i := range made.empty {
		made.empty[i].keys = [MaxExemplars]uint64{noKey, noKey, noKey, noKey}
	}
	return made
}

// reach is the range of the reference, NaN where a profile does not tell it:
// both are 0 then, beside edges that are not.
func reach(f *profile.Feature) (low, high float64) {
	low, high = f.Baseline.Min, f.Baseline.Max
	if edges := f.Edges(); low == 0 && high == 0 && len(edges) > 0 && (edges[0] != 0 || edges[len(edges)-1] != 0) {
		return math.NaN(), math.NaN()
	}
	return low, high
}

// ordered is a number whose order among others is that of the floats: −0 and 0
// are the same. NaN has none.
func ordered(v float64) uint64 {
	b := math.Float64bits(v + 0)
	return b ^ (uint64(int64(b)>>63) | 1<<63) //nolint:gosec // the sign, as often as there are bits
}

// bin is how many edges are below a finite value. It has no branch that goes by the
// value, which nothing could foretell.
func (n *number) bin(v float64) int {
	if n.guide != nil {
		return n.guide.bin(v)
	}
	if len(n.edges) == 0 {
		return 0
	}
	x, base, left := ordered(v), 0, len(n.edges)
	for left > 1 {
		half := left / 2
		_, below := bits.Sub64(n.edges[base+half-1], x, 0)
		base += half & -int(below)
		left -= half
	}
	_, below := bits.Sub64(n.edges[base], x, 0)
	return base + int(below)
}

// cell is the cell of a value of a state, among those of the feature.
func (n *number) cell(v float64, state uint8) int {
	switch {
	case state != 0:
		return n.bins + int(state) - 1
	case v-v == 0: // finite
		return n.bin(v)
	case v > 0:
		return n.bins + int(profile.PosInf)
	case v < 0:
		return n.bins + int(profile.NegInf)
	}
	return n.bins + int(profile.NaN)
}
