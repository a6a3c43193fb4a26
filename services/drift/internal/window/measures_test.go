package window_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// nasty are values that floats are added up badly from.
var nasty = []float64{
	0, math.Copysign(0, -1), 5e-324, -5e-324, math.SmallestNonzeroFloat64 * 3, 1e308, -1e308, math.MaxFloat64, -math.MaxFloat64,
	math.NaN(), math.Inf(1), math.Inf(-1), 1e16, 1, -1e16, 0.1, 1e9 + 4, 1e9 + 7, 2.5, 7,
}

// measurable is a profile of two numbers and a category.
func measurable(t *testing.T) *profile.Profile {
	t.Helper()
	p, err := profile.New([]profile.Column{
		{Name: "x", Type: profile.Float, Numbers: []float64{-3, 1, 2, 4, 7, 11}},
		{Name: "c", Type: profile.String, Texts: []string{"a", "b", "a", "b", "a", "b"}},
		{Name: "y", Type: profile.Float, Numbers: []float64{1, 1, 1, 1, 1, 1}},
	}, profile.Options{Space: "s", Name: "n"})
	require.NoError(t, err)
	return p
}

// measuredRecords are n records of three minutes with times in them, every fifth
// said twice.
func measuredRecords(n int) (records []record) {
	random := rand.New(rand.NewPCG(3, 1))
	for i := range n {
		r := record{
			ID: "r" + strconv.Itoa(i), Minute: day + int64(random.IntN(3)), Hash: random.Uint64(), Nano: 1 + random.Int64N(50),
			Numbers: []float64{nasty[random.IntN(len(nasty))], random.NormFloat64()}, Categories: []string{"a"}, Missing: []bool{i%7 == 0, false},
		}
		records = append(records, r)
		if i%5 == 0 {
			r.Minute, r.Hash, r.Numbers = day+int64(random.IntN(3)), random.Uint64(), []float64{random.Float64(), 3}
			records = append(records, r)
		}
	}
	return records
}

// winners are the rows that are records.
func winners(records []record) []record {
	best := map[string]record{}
	for _, r := range records {
		if w, ok := best[r.ID]; !ok || r.Hash > w.Hash {
			best[r.ID] = r
		}
	}
	all := make([]record, 0, len(best))
	for _, r := range best {
		all = append(all, r)
	}
	return all
}

func bytesOf(t *testing.T, m *exact.Moments) string {
	t.Helper()
	raw, err := m.MarshalBinary()
	require.NoError(t, err)
	return fmt.Sprintf("%x", raw)
}

// Sums, ranges and sub-groups are those that Go gets by hand, to the last bit,
// whatever the order, the repetition and the number of times of the work.
func TestMeasuresAreExact(t *testing.T) {
	p := measurable(t)
	records := measuredRecords(700)
	wants := []score.Want{{Measures: true, Deviations: true, Windows: true, Sample: 7, Bins: len(p.Features[0].Bins)}, {}, {Measures: true, Bins: len(p.Features[2].Bins)}}
	x, away, y := exact.NewMoments(2), exact.NewMoments(2), exact.NewMoments(2)
	var reach score.Reach
	minutes := map[int64]*exact.Moments{}
	for _, r := range winners(records) {
		y.Add(r.Numbers[1])
		if v := r.Numbers[0]; !r.Missing[0] && x.Add(v) {
			away.Add(min(math.Abs(v-p.Features[0].Baseline.Median), math.MaxFloat64))
			if minutes[r.Minute] == nil {
				minutes[r.Minute] = exact.NewMoments(2)
			}
			minutes[r.Minute].Add(v)
			if v < -3 {
				reach.Below++
			} else if v > 11 {
				reach.Above++
			}
		}
	}
	var first *store.Summed
	random := rand.New(rand.NewPCG(8, 8))
	for round := range 3 {
		db := tables(t)
		s := window.New(tenant, uid.String(), p, []window.Extra{{Deviations: true, Sample: 7}, {}, {}})
		shuffled := append(slices.Clone(records), records[:300]...)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for part := range slices.Chunk(shuffled, 90+100*round) {
			require.NoError(t, work(t.Context(), db, s, part))
		}
		sum, err := store.NewCells(db).Sum(t.Context(), store.Range{Tenant: tenant, Profile: uid.String(), Start: day, End: day + 3}, 3, wants)
		require.NoError(t, err)
		require.True(t, sum.Measured)
		m := sum.Measures[0]
		require.Equal(t, bytesOf(t, x), bytesOf(t, m.Moments))
		require.Equal(t, bytesOf(t, away), bytesOf(t, m.Deviations))
		require.Equal(t, bytesOf(t, y), bytesOf(t, sum.Measures[2].Moments))
		require.Equal(t, reach, *m.Reach)
		require.Len(t, m.Windows, 3)
		for _, w := range m.Windows {
			require.Equal(t, bytesOf(t, minutes[w.Minute]), bytesOf(t, w.Moments))
			n := uint64(0)
			for _, g := range w.Groups {
				n += g.N
			}
			require.Equal(t, w.Moments.N(), n)
			require.Len(t, w.Groups, (int(w.Counts[0]+total(w.Counts[1:]))+6)/7)
		}
		if first == nil {
			first = sum
			continue
		}
		for i := range m.Windows {
			require.Equal(t, groups(first.Measures[0].Windows[i]), groups(m.Windows[i]), "round %d", round)
		}
		require.Equal(t, first.Last, sum.Last)
	}
}

func total(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

func groups(w score.Window) []detect.Point { return w.Groups }

// A sub-group is of records that follow each other in time.
func TestGroupsGoByEventTime(t *testing.T) {
	db, p := tables(t), measurable(t)
	s := window.New(tenant, uid.String(), p, []window.Extra{{Sample: 2}, {}, {}})
	var records []record
	for i := range 5 {
		records = append(records, record{ID: fmt.Sprint("z", 9-i), Minute: day, Hash: 1, Nano: int64(100 * (i + 1)), Numbers: []float64{float64(i), 0}, Categories: []string{"a"}})
	}
	slices.Reverse(records)
	require.NoError(t, work(t.Context(), db, s, records))
	sum, err := store.NewCells(db).Sum(t.Context(), store.Range{Tenant: tenant, Profile: uid.String(), Start: day, End: day + 1}, 3,
		[]score.Want{{Measures: true, Windows: true, Sample: 2, Bins: len(p.Features[0].Bins)}, {}, {}})
	require.NoError(t, err)
	half := math.Sqrt(0.5)
	require.Equal(t, []detect.Point{{N: 2, Mean: 0.5, SD: half}, {N: 2, Mean: 2.5, SD: half}, {N: 1, Mean: 4}}, groups(sum.Measures[0].Windows[0]))
	require.Equal(t, day*60*1e9+500, sum.Last.UnixNano())
}

// The profile's own sums are those of package exact, byte by byte.
func TestProfileSumsAreExact(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	values := slices.Clone(nasty)
	for range 1000 {
		values = append(values, math.Float64frombits(random.Uint64()))
	}
	for _, of := range [][]float64{values, {5}, {math.Copysign(0, -1), 0}, {1e308, 1e308, 1e308}, {5e-324, -5e-324}, {1, 2, 3, 4, 5, 7}} {
		p, err := profile.New([]profile.Column{{Name: "x", Type: profile.Float, Numbers: of}}, profile.Options{Space: "s", Name: "n"})
		require.NoError(t, err)
		b := p.Features[0].Baseline
		want, away := exact.NewMoments(2), exact.NewMoments(2)
		for _, x := range of {
			if want.Add(x) {
				away.Add(min(math.Abs(x-b.Median), math.MaxFloat64))
			}
		}
		require.Equal(t, bytesOf(t, want), fmt.Sprintf("%x", b.Moments))
		require.Equal(t, bytesOf(t, away), fmt.Sprintf("%x", b.Deviations))
	}
}
