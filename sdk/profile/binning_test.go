package profile_test

import (
	"errors"
	"math"
	"sort"
	"testing"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// sequence returns 1, 2, …, n.
func sequence(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(i + 1)
	}
	return values
}

// skewed is column D of the test vectors: a long right tail.
var skewed = []float64{120, 1, 33, 71, 15, 59, 8, 62, 4, 21, 10, 2, 344, 437, 53, 39, 83, 6, 4.3, 2}

func sorted(values []float64) []float64 {
	s := append([]float64(nil), values...)
	sort.Float64s(s)
	return s
}

func close9(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }

func TestEdges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		binning profile.Binning
		values  []float64
		want    []float64
	}{
		{"quantile 1..8", profile.Binning{Rule: profile.Quantile, Bins: 4}, sequence(8), []float64{2.75, 4.5, 6.25}},
		{"deciles 1..10", profile.Binning{}, sequence(10), []float64{1.9, 2.8, 3.7, 4.6, 5.5, 6.4, 7.3, 8.2, 9.1}},
		{"constant", profile.Binning{Rule: profile.Quantile, Bins: 4}, []float64{5, 5, 5, 5, 5, 5}, []float64{5, 5, 5}},
		{"one value", profile.Binning{Rule: profile.Quantile, Bins: 3}, []float64{0.1}, []float64{0.1, 0.1}},
		{"skewed", profile.Binning{}, skewed, []float64{2, 4.24, 7.4, 13, 27, 44.6, 59.9, 73.4, 142.4}},
		{"manual 1..10", profile.Binning{Rule: profile.Manual, Bins: 5}, sequence(10), []float64{2.8, 4.6, 6.4, 8.2}},
		{"manual constant", profile.Binning{Rule: profile.Manual, Bins: 3}, []float64{7, 7}, []float64{7, 7}},
		{"manual widest", profile.Binning{Rule: profile.Manual, Bins: 2}, []float64{-math.MaxFloat64, math.MaxFloat64}, []float64{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.binning.Edges(sorted(c.values))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.want) {
				t.Fatalf("edges %v, want %v", got, c.want)
			}
			for i := range got {
				if !close9(got[i], c.want[i]) {
					t.Errorf("edge %d is %.17g, want %v", i+1, got[i], c.want[i])
				}
			}
		})
	}
}

func TestBinCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule   profile.Rule
		values []float64
		want   int
	}{
		{profile.SquareRoot, sequence(9), 3}, {profile.SquareRoot, sequence(10), 4}, {profile.SquareRoot, sequence(50), 8},
		{profile.SquareRoot, sequence(64), 8}, {profile.SquareRoot, sequence(100), 10}, {profile.SquareRoot, sequence(3), 2},
		{profile.Sturges, sequence(16), 5}, {profile.Sturges, sequence(32), 6}, {profile.Sturges, sequence(128), 8}, {profile.Sturges, sequence(3), 3},
		{profile.TerrellScott, sequence(8), 3}, {profile.TerrellScott, sequence(125), 6},
		{profile.Rice, sequence(3), 3}, {profile.Rice, sequence(8), 4}, {profile.Rice, sequence(27), 6}, {profile.Rice, sequence(64), 8},
		{profile.Rice, sequence(125), 10}, {profile.Rice, sequence(1000), 20},
		{profile.Doane, skewed, 8}, {profile.Scott, skewed, 4}, {profile.FreedmanDiaconis, skewed, 11},
		{profile.Doane, sequence(100), 8}, {profile.Scott, sequence(100), 5}, {profile.FreedmanDiaconis, sequence(100), 5},
	} {
		edges, err := profile.Binning{Rule: c.rule}.Edges(sorted(c.values))
		if err != nil {
			t.Errorf("%s of %d values: %v", c.rule, len(c.values), err)
			continue
		}
		if got := len(edges) + 1; got != c.want {
			t.Errorf("%s of %d values gives %d bins, want %d", c.rule, len(c.values), got, c.want)
		}
	}
}

func TestBinningRefuses(t *testing.T) {
	t.Parallel()
	constant := []float64{3, 3, 3, 3, 3, 3, 3, 3}
	outlier := append(sorted(constant), 1e9)
	tinyQuartiles := append(sequence(1000), 1e18)
	for _, c := range []struct {
		name    string
		binning profile.Binning
		values  []float64
		rule    string
	}{
		{"Doane without spread", profile.Binning{Rule: profile.Doane}, constant, "NO_SPREAD"},
		{"Scott without spread", profile.Binning{Rule: profile.Scott}, constant, "NO_SPREAD"},
		{"Freedman-Diaconis without quartile range", profile.Binning{Rule: profile.FreedmanDiaconis}, outlier, "NO_SPREAD"},
		{"Freedman-Diaconis beyond all bounds", profile.Binning{Rule: profile.FreedmanDiaconis}, tinyQuartiles, "BIN_COUNT"},
		{"Doane of two", profile.Binning{Rule: profile.Doane}, []float64{1, 2}, "BIN_COUNT"},
		{"square root of one", profile.Binning{Rule: profile.SquareRoot}, []float64{1}, "BIN_COUNT"},
		{"one quantile", profile.Binning{Rule: profile.Quantile, Bins: 1}, constant, "BIN_COUNT"},
		{"too many quantiles", profile.Binning{Rule: profile.Quantile, Bins: profile.MaxBins + 1}, constant, "BIN_COUNT"},
		{"a number for Rice", profile.Binning{Rule: profile.Rice, Bins: 3}, constant, "BIN_COUNT"},
		{"unknown", profile.Binning{Rule: "Knuth"}, constant, "BINNING_RULE"},
		{"nothing", profile.Binning{}, nil, "EMPTY_COLUMN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.binning.Edges(c.values)
			var broken *profile.Error
			if !errors.As(err, &broken) || broken.Rule != c.rule {
				t.Errorf("error %v, want rule %s", err, c.rule)
			}
		})
	}
}
