package detect_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
)

// sides makes an input of ordered cells of equal width.
func sides(kind detect.Kind, r, c []uint64) *detect.Input {
	in := &detect.Input{Kind: kind, Reference: detect.Side{Counts: r}, Current: detect.Side{Counts: c}, Seed: 3}
	if kind.Ordered() {
		in.Bounds = ascending(len(r) + 1)
	}
	return in
}

func times(v []uint64, by uint64) []uint64 {
	out := slices.Clone(v)
	for i := range out {
		out[i] *= by
	}
	return out
}

func TestEqualSharesAreNoDrift(t *testing.T) {
	t.Parallel()
	for _, d := range ofCells() {
		for _, kind := range []detect.Kind{detect.Categories, detect.Values, detect.Quantiles} {
			if d.Needs&detect.Order != 0 && !kind.Ordered() {
				continue
			}
			for _, by := range []uint64{1, 7, 1_000_000} {
				r := []uint64{40, 3, 0, 200, 17}
				got := d.Judge(sides(kind, r, times(r, by)))
				if d.Name != "psi_scouter" { // 1/3 and 7/21 differ in the last bit there
					require.Zero(t, got.Statistic, d.Name)
					require.Zero(t, got.Judged, d.Name)
				}
				require.InDelta(t, 0, got.Statistic, 1e-15)
				if d.HasP {
					require.InDelta(t, 1, got.P, 0, d.Name)
				}
				require.False(t, got.Alarm, d.Name)
			}
		}
	}
}

func TestOrderOfCategoriesDoesNotMatter(t *testing.T) {
	t.Parallel()
	source := rand.New(rand.NewPCG(1, 2))
	for _, d := range ofCells() {
		if d.Needs&detect.Order != 0 || d.Name == "proportion" { // that one names its cell
			continue
		}
		for _, scale := range []uint64{1, 50} {
			r := times([]uint64{50, 40, 30, 9, 9, 4, 1, 0, 12}, scale)
			c := times([]uint64{30, 55, 21, 8, 11, 0, 2, 3, 14}, scale)
			want := d.Judge(sides(detect.Categories, r, c))
			for range 4 {
				source.Shuffle(len(r), func(i, j int) { r[i], r[j], c[i], c[j] = r[j], r[i], c[j], c[i] })
				got := d.Judge(sides(detect.Categories, r, c))
				require.InEpsilon(t, want.Statistic, got.Statistic, 1e-14, d.Name)
				if !d.HasP {
					continue
				}
				if want.Method == detect.MonteCarlo { // other draws of the same distribution
					require.InDelta(t, want.P, got.P, 0.07, d.Name)
					continue
				}
				require.InEpsilon(t, want.P, got.P, 1e-10, d.Name) // a far tail magnifies the last bit of a sum
				require.InEpsilon(t, want.Threshold, got.Threshold, 1e-12, d.Name)
			}
		}
	}
}

// A cell that no row is in does not exist, and a cell whose rows are split in the
// same proportion on both sides says nothing new: the distances do not change.
func TestSplittingACellEqually(t *testing.T) {
	t.Parallel()
	for _, d := range ofCells() {
		switch d.Name {
		case "psi", "psi_scouter": // smoothing is per cell
			continue
		case "proportion", "l_infinity", "wasserstein", "cramer_von_mises", "anderson_darling": // of the cell itself, or of its place
			continue
		}
		r, c := []uint64{400, 600, 1000}, []uint64{500, 500, 1000}
		split := [][]uint64{{200, 200, 0, 600, 500, 500}, {250, 250, 0, 500, 500, 500}}
		want, got := d.Judge(sides(detect.Values, r, c)), d.Judge(sides(detect.Values, split[0], split[1]))
		require.InEpsilon(t, want.Statistic, got.Statistic, 1e-12, d.Name)
		if d.Name != "ks" {
			require.Greater(t, got.P, want.P, "%s: the same distance on more degrees of freedom is less", d.Name)
		}
	}
}

func TestMoreDriftIsMoreDrift(t *testing.T) {
	t.Parallel()
	for _, d := range ofCells() {
		for _, rows := range []uint64{180, 4000} {
			last := detect.Result{P: 2, Statistic: -1}
			for moved := uint64(0); moved <= rows/4; moved += rows / 20 {
				r := []uint64{rows / 4, rows / 4, rows / 4, rows / 4}
				c := []uint64{rows/4 - moved, rows/4 + moved, rows / 4, rows / 4}
				got := d.Judge(sides(detect.Values, r, c))
				require.Greater(t, got.Statistic, last.Statistic, d.Name)
				if d.HasP {
					require.LessOrEqual(t, got.P, last.P, d.Name)
				}
				require.True(t, !last.Alarm || got.Alarm, d.Name)
				last = got
			}
			require.True(t, last.Alarm, d.Name)
		}
	}
}

func TestAlarmAgreesWithThreshold(t *testing.T) {
	t.Parallel()
	source := rand.New(rand.NewPCG(4, 5))
	for _, d := range ofCells() {
		alarms := 0
		for range 30 {
			in := deciles(source, 1000, 400+source.Uint64N(200))
			in.Current.Counts[0] += source.Uint64N(40)
			in.Params = map[string]float64{detect.Alpha: 0.02}
			if got := d.Judge(in); got.HasThreshold && got.Method != detect.Exact {
				if got.Alarm {
					alarms++
				}
				require.Equal(t, got.Judged > got.Threshold, got.Alarm, "%s: %+v", d.Name, got)
			}
		}
		require.True(t, alarms > 2 && alarms < 30 || d.Name == "proportion" || d.Name == "psi_scouter" || d.Name == "ks", "%s: %d alarms", d.Name, alarms)
	}
}

// The threshold of drawn p-values is the draw that alpha falls on: at an alpha of
// the p-value itself the statistic is just above it, at less than that not.
func TestDrawnThresholdIsSharp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"psi", "chi_square", "total_variation", "l_infinity"} {
		d := detect.Find(name)
		in := sides(detect.Values, []uint64{200, 300, 250, 150, 100}, []uint64{10, 22, 31, 17, 9})
		p := d.Judge(in).P
		require.Greater(t, p, 0.05, name)
		for _, c := range []struct {
			alpha float64
			alarm bool
		}{{p, true}, {p - 0.0005, false}} {
			in.Params = map[string]float64{detect.Alpha: c.alpha}
			got := d.Judge(in)
			require.Equal(t, detect.MonteCarlo, got.Method)
			require.InDelta(t, p, got.P, 0, "the draws are the same")
			require.Equal(t, c.alarm, got.Alarm, name)
			require.Equal(t, c.alarm, got.Judged*(1-1e-12) > got.Threshold, "%s at %g: %+v", name, c.alpha, got)
		}
	}
}

func TestInputsThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	plain := func() *detect.Input {
		return sides(detect.Values, []uint64{100, 100}, []uint64{100, 100})
	}
	for name, spoil := range map[string]func(in *detect.Input){
		"lengths":          func(in *detect.Input) { in.Current.Counts = in.Current.Counts[:1] },
		"bounds":           func(in *detect.Input) { in.Bounds[1] = math.NaN() },
		"order of bounds":  func(in *detect.Input) { in.Bounds[0] = 5 },
		"number of bounds": func(in *detect.Input) { in.Bounds = in.Bounds[1:] },
		"sums":             func(in *detect.Input) { in.Current.Counts[0], in.Current.Counts[1] = math.MaxUint64, 2 },
		"unseen":           func(in *detect.Input) { in.Reference.Unseen = 1 },
		"alpha":            func(in *detect.Input) { in.Params = map[string]float64{detect.Alpha: 0} },
		"NaN":              func(in *detect.Input) { in.Params = map[string]float64{detect.Alpha: math.NaN()} },
		"parameter":        func(in *detect.Input) { in.Params = map[string]float64{"no such": 1} },
	} {
		for _, d := range ofCells() {
			in := plain()
			require.True(t, d.Judge(in).Sufficient, d.Name)
			spoil(in)
			got := d.Judge(in)
			require.Equal(t, detect.Malformed, got.Caveats, "%s %s", d.Name, name)
			require.False(t, got.Sufficient || got.HasP || got.Alarm)
		}
	}
	for _, d := range ofCells() {
		if d.Needs&detect.Order != 0 {
			require.Equal(t, detect.Unsuited, d.Judge(sides(detect.Categories, []uint64{900, 900}, []uint64{90, 90})).Caveats)
		}
		in := plain()
		in.Bounds = nil
		require.Equal(t, d.Needs&detect.Bounds != 0, d.Judge(in).Caveats&detect.Unsuited != 0, d.Name)
	}
}

func TestSampleBelowTheMinimumHasNoVerdict(t *testing.T) {
	t.Parallel()
	for _, d := range ofCells() {
		in := sides(detect.Values, []uint64{5000, 5000}, []uint64{199, 0})
		in.Params = map[string]float64{detect.Minimum: 200}
		got := d.Judge(in)
		require.False(t, got.Sufficient || got.Alarm, d.Name)
		in.Current.Counts[0]++
		got = d.Judge(in)
		require.True(t, got.Sufficient && got.Alarm, d.Name)
		require.Zero(t, got.Caveats&detect.SmallReference, d.Name)
		in.Current.Counts[0] = 2000
		require.NotZero(t, d.Judge(in).Caveats&detect.SmallReference, d.Name)
	}
}

// A sample of 30 that is all of new categories is drift, though no cell of it is
// large enough to stand alone.
func TestAllUnseen(t *testing.T) {
	t.Parallel()
	in := &detect.Input{Reference: detect.Side{Counts: make([]uint64, 60)}, Current: detect.Side{Counts: make([]uint64, 60), Unseen: 30}}
	for i := range in.Reference.Counts {
		in.Reference.Counts[i] = uint64(15 + i%4)
	}
	for _, name := range []string{"psi", "chi_square", "g", "jensen_shannon", "hellinger", "total_variation", "l_infinity"} {
		got := detect.Find(name).Judge(in)
		require.True(t, got.Alarm, "%s: %+v", name, got)
	}
	require.InDelta(t, 0.001, detect.Find("chi_square").Judge(in).P, 0, "999 draws, none beyond")
}

// However small alpha is, a drift of 30 rows can be found, and in time.
func TestTinyAlpha(t *testing.T) {
	t.Parallel()
	for _, alpha := range []float64{1e-3, 1e-4, 1e-9} {
		for _, d := range ofCells() {
			in := sides(detect.Values, []uint64{400, 300, 200, 100, 0}, []uint64{0, 0, 3, 5, 142})
			in.Params = map[string]float64{detect.Alpha: alpha}
			if d.Name == "proportion" {
				in.Params["cell"] = 4
			}
			require.True(t, d.Judge(in).Alarm, "%s at %g", d.Name, alpha)
			in.Current.Counts = []uint64{65, 41, 30, 14, 0}
			require.False(t, d.Judge(in).Alarm, "%s at %g", d.Name, alpha)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, uint8(0), 0.05)
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<53), uint8(9), 0.001)
	f.Fuzz(func(t *testing.T, data []byte, mode uint8, alpha float64) {
		if len(data) > 400 || !(alpha > 0.001 && alpha < 0.5) {
			return
		}
		shift := mode / 8 * 2 // up to 2^62 and beyond
		r, c := []uint64{}, []uint64{}
		for i := 0; i+1 < len(data); i += 2 {
			r, c = append(r, uint64(data[i])<<shift), append(c, uint64(data[i+1])<<shift)
		}
		in := sides(detect.Kind(mode%3), r, c)
		if mode&4 != 0 && len(data) > 3 {
			in.Current.Unseen = uint64(data[0])
			in.Current.States = detect.States{NegInf: uint64(data[1]), PosInf: uint64(data[2]), Missing: uint64(data[3])}
			in.Reference.States = in.Current.States
		}
		in.Params = map[string]float64{detect.Alpha: alpha}
		for _, d := range ofCells() {
			got := d.Judge(in)
			for _, v := range append([]float64{got.Statistic, got.Judged, got.Threshold, got.P, got.Unseen}, got.Cells...) {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%s: %+v", d.Name, got)
				}
			}
			if got.P < 0 || got.P > 1 || got.HasP && !d.HasP || got.Alarm && !got.Sufficient || len(got.Caveats.Names()) > 0 && got.Caveats == 0 {
				t.Fatalf("%s: %+v", d.Name, got)
			}
		}
	})
}
