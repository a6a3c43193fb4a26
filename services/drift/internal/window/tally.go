package window

import (
	"math"
	"math/bits"
	"slices"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Tally counts rows into the cells of their windows. What it makes depends on the
// rows alone and not on their order: counts and sums are integers, and of keys the
// least are kept. It is for one goroutine.
type Tally struct {
	of    *Statements
	panes map[int64]*pane // by minute
	last  *pane           // that a row was counted in
	// cellOf is the cell of each word of a block, for each category, less one; 0
	// is one that has not been looked up yet.
	cellOf []int32
}

// Tally returns an empty tally of the profile.
func (s *Statements) Tally() *Tally { return &Tally{of: s, panes: map[int64]*pane{}} }

// pane is what is counted of one window.
type pane struct {
	minute  int64
	records uint64
	last    int64 // the latest event time, in nanoseconds
	// version has two words, the least first.
	version [2]uint64
	counts  []uint64
	// keys has room for MaxExemplars of each cell, ascending, of which kept are
	// there.
	keys     []uint64
	kept     []uint8
	numbers  []measure
	sequence *sequence
	outcome  *outcome // nil without one
}

// measure is what is measured of a number's finite values.
type measure struct {
	below, above     uint64
	least, greatest  float64
	sums, deviations exact.Buckets
}

func (t *Tally) pane(minute int64) *pane {
	if t.last != nil && t.last.minute == minute {
		return t.last
	}
	w := t.panes[minute]
	if w == nil {
		p := t.of.plan
		w = &pane{
			minute: minute, last: math.MinInt64, counts: make([]uint64, p.cells), keys: make([]uint64, MaxExemplars*p.cells), kept: make([]uint8, p.cells),
			numbers: make([]measure, len(p.numbers)),
		}
		for i := range w.numbers {
			w.numbers[i].least, w.numbers[i].greatest = math.Inf(1), math.Inf(-1)
		}
		if p.sampled {
			w.sequence = newSequence(p)
		}
		if o := p.outcome; o != nil {
			w.outcome = &outcome{positives: make([]uint64, o.bins), negatives: make([]uint64, o.bins)}
		}
		t.panes[minute] = w
	}
	t.last = w
	return w
}

// Add counts a block of rows.
func (t *Tally) Add(r *Rows) {
	const secondsPerMinute = 60
	p := t.of.plan
	words := max(r.categories.words.Rows(), 1)
	t.cellOf = slices.Grow(t.cellOf[:0], words*len(p.categories))[:words*len(p.categories)]
	clear(t.cellOf)
	positive := -1
	if p.outcome != nil {
		positive = r.positive(p.outcome.positive)
	}
	for row, key := range r.key {
		w := t.pane(int64(r.minute.Data[row]) / secondsPerMinute)
		lost := uint64(r.lost[row])
		w.witness(r.hash[row], lost)
		if r.labelled {
			w.raise(r.label[row].Low, r.label[row].High)
		}
		if lost != 0 {
			continue
		}
		w.records++
		w.last = max(w.last, int64(r.time.Data[row]))
		from, to := begin(r.numbers.Offsets, row), r.numbers.Offsets[row]
		v := values{numbers: r.numberValues[from:to], states: r.stateOfNumber[from:to]}
		w.addNumbers(p, v.numbers, v.states, key)
		if w.sequence != nil {
			w.sequence.add(p, int64(r.time.Data[row]), key, v.numbers, v.states)
		}
		from, to = begin(r.categories.ends, row), r.categories.ends[row]
		if from < to {
			v.codes, v.codeStates = r.categories.of[from:to], r.stateOfText[from:to]
			t.addCategories(w, r, v.codes, v.codeStates, key)
		}
		if w.outcome != nil {
			w.outcome.add(p, v, positive)
		}
	}
}

// witness raises the version by a row: see the package comment.
func (w *pane) witness(hash, lost uint64) {
	low, carry := bits.Add64(hash<<1, 1+lost, 0)
	high, _ := bits.Add64(hash>>63, 0, carry)
	w.raise(low, high)
}

func (w *pane) raise(low, high uint64) {
	var carry uint64
	w.version[0], carry = bits.Add64(w.version[0], low, 0)
	w.version[1], _ = bits.Add64(w.version[1], high, carry)
}

// hit counts a value in a cell.
func (w *pane) hit(cell int, key uint64) {
	w.counts[cell]++
	keys := w.keys[cell*MaxExemplars : (cell+1)*MaxExemplars]
	n := int(w.kept[cell])
	if n == MaxExemplars {
		if key >= keys[n-1] {
			return
		}
		n--
	} else {
		w.kept[cell]++
	}
	for ; n > 0 && keys[n-1] > key; n-- {
		keys[n] = keys[n-1]
	}
	keys[n] = key
}

func (w *pane) addNumbers(p *plan, values []float64, states []uint8, key uint64) {
	for i := range min(len(p.numbers), len(values), len(states)) {
		n, m, v := &p.numbers[i], &w.numbers[i], values[i]
		cell := n.cell(v, states[i])
		w.hit(n.first+cell, key)
		if cell >= n.bins {
			continue
		}
		if v < n.low {
			m.below++
		} else if v > n.high {
			m.above++
		}
		m.least, m.greatest = min(m.least, v), max(m.greatest, v)
		m.sums.Add(v)
		if n.Deviations {
			m.deviations.Add(distance(v, n.center))
		}
	}
}

// distance is |v − c|, cut off at what a float64 holds.
func distance(v, c float64) float64 { return min(math.Abs(v-c), math.MaxFloat64) }

func (t *Tally) addCategories(w *pane, r *Rows, codes []uint32, states []uint8, key uint64) {
	words := r.categories.words.Rows()
	for i := range min(len(t.of.plan.categories), len(codes), len(states)) {
		c := &t.of.plan.categories[i]
		if states[i] != 0 {
			w.hit(c.first+c.bins+int(profile.Missing), key)
			continue
		}
		known := &t.cellOf[i*words+int(codes[i])]
		if *known == 0 {
			cell, ok := c.cells[r.categories.words.Row(int(codes[i]))]
			if !ok {
				cell = c.bins + int(profile.Other)
			}
			*known = int32(cell) + 1 //nolint:gosec // a profile bounds its bins
		}
		w.hit(c.first+int(*known)-1, key)
	}
}
