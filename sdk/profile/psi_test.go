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

func TestThresholdVectors(t *testing.T) {
	t.Parallel()
	chi := profile.Threshold{Limit: profile.ChiSquare, Alpha: 0.05}
	normal := profile.Threshold{Limit: profile.Normal, Alpha: 0.05}
	for _, c := range []struct {
		m          uint64
		bins       int
		chi, gauss float64
	}{
		{100, 10, 0.169189776, 0.159785229},
		{200, 10, 0.084594888, 0.079892615},
		{400, 10, 0.042297444, 0.039946307},
		{1000, 10, 0.016918978, 0.015978523},
		{1000, 20, 0.030143527, 0.029139559},
		{500, 3, 0.011982929, 0.010579415},
	} {
		if got := chi.At(c.m, c.bins); math.Abs(got-c.chi) > 6e-10 {
			t.Errorf("chi-square of %d in %d: %.12f, want %.9f", c.m, c.bins, got, c.chi)
		}
		if got := normal.At(c.m, c.bins); math.Abs(got-c.gauss) > 6e-10 {
			t.Errorf("normal of %d in %d: %.12f, want %.9f", c.m, c.bins, got, c.gauss)
		}
		if (profile.Threshold{}).At(c.m, c.bins) != chi.At(c.m, c.bins) {
			t.Errorf("the zero threshold is not chi-square at 0.05")
		}
	}
	if got := (profile.Threshold{Limit: profile.ChiSquare, Alpha: 0.01}).At(100, 10); math.Abs(got-0.216659943) > 6e-10 {
		t.Errorf("chi-square at 0.01: %.12f", got)
	}
}

func TestThresholdEdges(t *testing.T) {
	t.Parallel()
	if got := (profile.Threshold{Limit: profile.Fixed, Value: 0.25}).At(0, 1); got != 0.25 {
		t.Errorf("fixed: %v", got)
	}
	for _, limit := range []profile.Limit{profile.Normal, profile.ChiSquare} {
		if got := (profile.Threshold{Limit: limit}).At(100, 10); !math.IsInf(got, 1) {
			t.Errorf("%s at alpha 0: %v, want +Inf", limit, got)
		}
		if got := (profile.Threshold{Limit: limit, Alpha: 0.05}).At(100, 1); got != 0 {
			t.Errorf("%s of one bin: %v, want 0", limit, got)
		}
		if got := (profile.Threshold{Limit: limit, Alpha: 0.05}).At(0, 10); !math.IsInf(got, 1) {
			t.Errorf("%s of no sample: %v, want +Inf", limit, got)
		}
	}
	for _, bad := range []profile.Threshold{
		{Limit: profile.Fixed, Value: -1}, {Limit: profile.Fixed, Value: math.NaN()},
		{Limit: profile.Normal, Alpha: 1}, {Limit: profile.ChiSquare, Alpha: -0.1},
		{Limit: profile.ChiSquare, Alpha: math.NaN()}, {Limit: "Folklore"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
