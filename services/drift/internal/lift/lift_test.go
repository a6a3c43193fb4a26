package lift_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/drift/internal/lift"
)

// By hand: 60 of 100 records where 50 were expected in the second of two cells,
// so ten are in excess, one sixth of each of the 60.
func TestTheMeasure(t *testing.T) {
	t.Parallel()
	s := lift.New([]uint64{40, 60}, []float64{0.5, 0.5}, 0)
	require.InDelta(t, 0.1, s.Distance, 1e-12)
	found, tried := s.Rank([]lift.Slice{
		{Feature: 1, Value: 0, Counts: []uint64{0, 30}},
		{Feature: 1, Value: 1, Counts: []uint64{40, 30}},
		{Feature: 2, Value: 0, Counts: []uint64{1, 9}}, // too few to try
		{Feature: 3, Value: 0, Counts: []uint64{40, 60}},
	})
	require.Equal(t, 2, tried)
	require.Len(t, found, 1)
	f := found[0]
	require.EqualValues(t, 30, f.Records)
	require.EqualValues(t, 30, f.Moved)
	require.InDelta(t, 0.3, f.Share, 1e-12)
	require.InDelta(t, 0.5, f.ShiftShare, 1e-12)
	require.InDelta(t, 0.5/0.3, f.Lift, 1e-12)
	require.InDelta(t, 2*f.P, f.Adjusted, 1e-18, "of two that were tried")

	// A cell of which the reference knows nothing is all excess: new categories,
	// missing values.
	s = lift.New([]uint64{50, 50, 25}, []float64{0.5, 0.5, 0}, 1000)
	found, _ = s.Rank([]lift.Slice{{Counts: []uint64{0, 0, 25}}})
	require.Len(t, found, 1)
	require.InDelta(t, 1, found[0].ShiftShare, 1e-12)

	empty := lift.New([]uint64{0, 0}, []float64{0.5, 0.5}, 100)
	found, tried = empty.Rank([]lift.Slice{{Counts: []uint64{0, 0}}})
	require.Empty(t, found)
	require.Zero(t, tried)
}

// world draws records: a feature of ten equal cells, and others that have nothing
// to do with it, of as many values as given.
type world struct {
	*rand.Rand
	values []int
}

// draw counts records. Each has its value of every other feature; shift says
// which cell a record is in.
func (w world) draw(records int, shift func(values []int) int) (counts []uint64, among []lift.Slice) {
	counts = make([]uint64, 10)
	place := map[[2]int]int{}
	values := make([]int, len(w.values))
	for range records {
		for f, n := range w.values {
			values[f] = w.IntN(n)
		}
		cell := shift(values)
		counts[cell]++
		for f, v := range values {
			at, ok := place[[2]int{f, v}]
			if !ok {
				at = len(among)
				place[[2]int{f, v}] = at
				among = append(among, lift.Slice{Feature: f, Value: v, Counts: make([]uint64, 10)})
			}
			among[at].Counts[cell]++
		}
	}
	return counts, among
}

// reference draws shares of a reference without shift.
func (w world) reference(rows int) []float64 {
	shares := make([]float64, 10)
	for range rows {
		shares[w.IntN(10)] += 1 / float64(rows)
	}
	return shares
}

const simulations = 300

// A shift that only one slice has is found, and that slice ranks first, whatever
// its size; a shift that all have alike, and none at all, is nobody's.
func TestPlantedShiftsAndNoise(t *testing.T) {
	t.Parallel()
	w := world{rand.New(rand.NewPCG(1, 2)), []int{4, 10, 25, 3, 50, 10}}
	play := func(records, reference int, shift func(values []int) int) (first, told int) {
		for range simulations {
			counts, among := w.draw(records, shift)
			s := lift.New(counts, w.reference(reference), uint64(reference))
			found, tried := s.Rank(among)
			require.Greater(t, tried, 40)
			if len(found) > 0 {
				told++
				if found[0].Feature == 2 && found[0].Value == 7 || found[0].Feature == 1 && found[0].Value == 3 {
					first++
				}
			}
		}
		return first, told
	}
	upper := func(values []int) int { return 7 + w.IntN(3) }
	// One value of 25 (4 % of the records), moved wholly to the upper cells: each of
	// those gains one standard error where samples are small.
	few := func(v []int) int {
		if v[2] == 7 {
			return upper(v)
		}
		return w.IntN(10)
	}
	first, _ := play(3000, 2000, few)
	t.Logf("a slice of 4%%, 3,000 records against 2,000: first in %d of %d", first, simulations)
	require.GreaterOrEqual(t, first, simulations*75/100)
	first, _ = play(10000, 20000, few)
	t.Logf("a slice of 4%%, 10,000 records against 20,000: first in %d of %d", first, simulations)
	require.GreaterOrEqual(t, first, simulations*98/100)
	// One of ten, half of it moved.
	first, _ = play(3000, 2000, func(v []int) int {
		if v[1] == 3 && w.IntN(2) == 0 {
			return upper(v)
		}
		return w.IntN(10)
	})
	t.Logf("a slice of 10%%, half of it: first in %d of %d", first, simulations)
	require.GreaterOrEqual(t, first, simulations*85/100)
	// Everything moved alike.
	_, told := play(3000, 2000, func(v []int) int {
		if w.IntN(3) == 0 {
			return upper(v)
		}
		return w.IntN(10)
	})
	t.Logf("a shift of all: told of in %d of %d", told, simulations)
	require.LessOrEqual(t, told, simulations*3/100)
	_, told = play(3000, 2000, func([]int) int { return w.IntN(10) })
	t.Logf("noise: told of in %d of %d", told, simulations)
	require.LessOrEqual(t, told, simulations*3/100)
}
