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
	row    [profile.MaxTogether]float64 // of a group
}

// Tally returns an empty tally of the profile.
func (s *Statements) Tally() *Tally { return &Tally{of: s, panes: map[int64]*pane{}} }

// pane is what is counted of one window.
type pane struct {
	minute  int64
	records uint64
	last    int64 // the latest event time, in nanoseconds
	// version has two words, the least first.
	version  [2]uint64
	cells    []cell
	numbers  []measure
	sequence *sequence
	outcome  *outcome // nil without one
	groups   []*profile.Products
	counted  map[int]bool // features of which some values came counted
}

// cell is what is counted of one cell: how many values, and the least keys of their
// records, ascending, of which there are as many as values, up to their number; fewer
// where values came counted, which have no records.
type cell struct {
	count uint64
	keys  [MaxExemplars]uint64
}

// noKey stands where there is no key yet, and no key comes after it.
const noKey = math.MaxUint64

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
			minute: minute, last: math.MinInt64, cells: slices.Clone(p.empty), numbers: make([]measure, len(p.numbers)),
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
		for i := range p.groups {
			w.groups = append(w.groups, p.groups[i].none.Like())
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
	most := max(tileValues/max(len(p.numbers), 1), 1)
	begun := run{}
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
		if feature := int(r.countedFeature[row]); feature > 0 {
			w.addCounted(p, feature-1, int(r.countedBin[row]), r.counted[row])
			continue
		}
		from, to := begin(r.numbers.Offsets, row), r.numbers.Offsets[row]
		v := values{numbers: r.numberValues[from:to], states: r.stateOfNumber[from:to]}
		if !begun.extend(w, row, from, to-from, most) {
			begun.count(p, r)
			begun = run{of: w, first: row, rows: 1, from: from, width: to - from}
		}
		w.addGroups(p, t.row[:], v.numbers, v.states)
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
	begun.count(p, r)
}

// tileValues is about how many numbers are counted a column at a time: they stay
// in the caches of the processor meanwhile, as does what is known of a column.
const tileValues = 1 << 15

// run is rows of one window that follow each other in a block, all with as many
// numbers, which begin at from.
type run struct {
	of          *pane
	first, rows int
	from, width uint64
}

// extend takes one more row into the run, if it goes on with that row.
func (b *run) extend(w *pane, row int, from, width uint64, most int) bool {
	if b.of != w || b.first+b.rows != row || b.width != width || b.from+uint64(b.rows)*width != from || b.rows >= most {
		return false
	}
	b.rows++
	return true
}

// count counts the numbers of the run, column by column.
func (b *run) count(p *plan, r *Rows) {
	if b.rows == 0 {
		return
	}
	keys := r.key[b.first : b.first+b.rows]
	to := b.from + uint64(b.rows)*b.width //nolint:gosec // positive
	values, states := r.numberValues[b.from:to], r.stateOfNumber[b.from:to]
	for i := range min(len(p.numbers), int(b.width)) { //nolint:gosec // a profile bounds them
		b.of.addColumn(&p.numbers[i], &b.of.numbers[i], column{values[i:], states[i:], int(b.width)}, keys) //nolint:gosec // as above
	}
}

// column is the values of one number: every step-th of what there is.
type column struct {
	values []float64
	states []uint8
	step   int
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

// addCounted counts what came counted. Nothing else is known of those values, so that
// the measures of the feature are not either.
func (w *pane) addCounted(p *plan, feature, bin int, n uint64) {
	if feature >= len(p.features) || bin >= p.features[feature].cells-profile.Specials {
		return // of a profile that this is not
	}
	w.cells[p.features[feature].first+bin].count += n
	if w.counted == nil {
		w.counted = map[int]bool{}
	}
	w.counted[feature] = true
}

// hit counts a value.
func (c *cell) hit(key uint64) {
	c.count++
	if key < c.keys[MaxExemplars-1] {
		c.keep(key)
	}
}

// keep puts a key in its place, and lets go of the greatest.
func (c *cell) keep(key uint64) {
	n := MaxExemplars - 1
	for ; n > 0 && c.keys[n-1] > key; n-- {
		c.keys[n] = c.keys[n-1]
	}
	c.keys[n] = key
}

// addColumn counts values of one number, one for each key.
func (w *pane) addColumn(n *number, m *measure, c column, keys []uint64) {
	at, least, greatest := 0, m.least, m.greatest
	cells := w.cells[n.first:]
	for _, key := range keys {
		v := c.values[at]
		cell := n.cell(v, c.states[at])
		at += c.step
		cells[cell].hit(key)
		if cell >= n.bins {
			continue
		}
		if v < n.low {
			m.below++
		} else if v > n.high {
			m.above++
		}
		least, greatest = min(least, v), max(greatest, v)
		m.sums.Add(v)
		if n.Deviations {
			m.deviations.Add(distance(v, n.center))
		}
	}
	m.least, m.greatest = least, greatest
}

// distance is |v − c|, cut off at what a float64 holds.
func distance(v, c float64) float64 { return min(math.Abs(v-c), math.MaxFloat64) }

func (t *Tally) addCategories(w *pane, r *Rows, codes []uint32, states []uint8, key uint64) {
	words := r.categories.words.Rows()
	for i := range min(len(t.of.plan.categories), len(codes), len(states)) {
		c := &t.of.plan.categories[i]
		if states[i] != 0 {
			w.cells[c.first+c.bins+int(states[i])-1].hit(key)
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
		w.cells[c.first+int(*known)-1].hit(key)
	}
}
