package profile_test

import (
	"math"
	"testing"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// The index of pairs of shares, straight from Contribution.
func index(pairs ...[2]float64) (sum float64) {
	for _, p := range pairs {
		sum += profile.Contribution(p[0], p[1])
	}
	return sum
}

func repeat(pair [2]float64, n int) [][2]float64 {
	pairs := make([][2]float64, n)
	for i := range pairs {
		pairs[i] = pair
	}
	return pairs
}

func TestPSIVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		pairs [][2]float64
		want  float64
	}{
		{"three bins", [][2]float64{{.3, .2}, {.4, .4}, {.3, .4}}, 0.069314718},
		{"ten bins", append(repeat([2]float64{.1, .05}, 5), repeat([2]float64{.1, .15}, 5)...), 0.274653072},
		{"equal", repeat([2]float64{.1, .1}, 10), 0},
		{"one of two empty", [][2]float64{{.5, 0}, {.5, 1}}, 11.512925465},
		{"one of ten empty", append(append([][2]float64{{.1, 0}}, repeat([2]float64{.1, .1}, 8)...), [2]float64{.1, .2}), 2.141641302},
	} {
		if got := index(c.pairs...); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %.12f, want %.9f", c.name, got, c.want)
		}
	}
	if got := index(repeat([2]float64{.1, .1}, 10)...); got != 0 {
		t.Errorf("equal shares give %g, want exactly 0", got)
	}
}

func TestPSIOfCounts(t *testing.T) {
	t.Parallel()
	got, parts, sample, err := profile.PSI([]float64{.3, .4, .3}, []uint64{2, 4, 4})
	if err != nil || sample != 10 || math.Abs(got-0.069314718) > 1e-9 {
		t.Fatalf("PSI %v of %d, %v", got, sample, err)
	}
	if sum := parts[0] + parts[1] + parts[2]; sum != got || parts[1] != 0 {
		t.Errorf("contributions %v add up to %v, want %v", parts, sum, got)
	}
	if _, _, _, err := profile.PSI([]float64{1}, []uint64{1, 2}); err == nil {
		t.Error("different lengths are accepted")
	}
	got, _, sample, err = profile.PSI([]float64{.5, .5}, []uint64{0, 0})
	if err != nil || sample != 0 || math.IsNaN(got) || math.IsInf(got, 0) {
		t.Errorf("empty sample gives %v of %d, %v", got, sample, err)
	}
}

func TestIndexThresholdVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reference, sample uint64
		bins              int
		want              float64
	}{
		{0, 100, 10, 0.169189776}, {0, 200, 10, 0.084594888}, {0, 400, 10, 0.042297444},
		{0, 1000, 10, 0.016918978}, {0, 1000, 20, 0.030143527}, {0, 500, 3, 0.011982929},
		{1000, 1000, 10, 2 * 0.016918978}, {100, 400, 10, 0.169189776 + 0.042297444},
	} {
		got := profile.IndexThreshold(0.05, c.reference, c.sample, c.bins)
		if math.Abs(got-c.want) > 1.2e-9 {
			t.Errorf("%d against %d in %d: %.12f, want %.9f", c.sample, c.reference, c.bins, got, c.want)
		}
		if p := profile.IndexSignificance(got, c.reference, c.sample, c.bins); math.Abs(p-0.05) > 1e-14 {
			t.Errorf("%d against %d in %d: the threshold at 0.05 has significance %v", c.sample, c.reference, c.bins, p)
		}
	}
	if got := profile.IndexThreshold(0.01, 0, 100, 10); math.Abs(got-0.216659943) > 6e-10 {
		t.Errorf("at 0.01: %.12f", got)
	}
}

func TestIndexEdges(t *testing.T) {
	t.Parallel()
	if got := profile.IndexThreshold(0, 10, 100, 10); !math.IsInf(got, 1) {
		t.Errorf("alpha 0: %v, want +Inf", got)
	}
	if got := profile.IndexThreshold(0.05, 10, 0, 10); !math.IsInf(got, 1) {
		t.Errorf("no sample: %v, want +Inf", got)
	}
	if got := profile.IndexThreshold(0.05, 10, 100, 1); got != 0 {
		t.Errorf("one bin: %v, want 0", got)
	}
	for _, p := range []float64{
		profile.IndexSignificance(0, 10, 100, 10), profile.IndexSignificance(1, 10, 0, 10), profile.IndexSignificance(1, 10, 100, 1),
		profile.IndexSignificance(math.NaN(), 10, 100, 10),
	} {
		if p != 1 {
			t.Errorf("nothing to go by: %v, want 1", p)
		}
	}
	if p := profile.IndexSignificance(20, 1000, 1000, 10); p != 0 && !(p < 1e-300) {
		t.Errorf("a huge index has significance %v", p)
	}
}
