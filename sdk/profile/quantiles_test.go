package profile

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"
)

// The golden quantiles were computed with 40 digits by testdata/quantiles.py.
func TestQuantilesMatchArbitraryPrecision(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/quantiles.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 273 {
		t.Fatalf("%d golden rows, want 273", len(rows))
	}
	worst := 0.0
	for _, row := range rows[1:] {
		df, _ := strconv.Atoi(row[0])
		alpha, _ := strconv.ParseFloat(row[1], 64)
		want, _ := strconv.ParseFloat(row[2], 64)
		got := normalUpper(alpha)
		if df > 0 {
			got = chiSquareUpper(alpha, df)
		}
		miss := math.Abs(got - want)
		if want != 0 {
			miss /= math.Abs(want)
		}
		worst = max(worst, miss)
		if !(miss <= 1e-12) {
			t.Errorf("df %d alpha %s: got %.17g, want %s (relative error %.2g)", df, row[1], got, row[2], miss)
		}
	}
	t.Logf("largest relative error %.2g", worst)
}

func TestQuantilesAtTheEnds(t *testing.T) {
	t.Parallel()
	for _, df := range []int{1, 9, 999} {
		if got := chiSquareUpper(0, df); !math.IsInf(got, 1) {
			t.Errorf("df %d alpha 0: %v", df, got)
		}
		if got := chiSquareUpper(1, df); got != 0 {
			t.Errorf("df %d alpha 1: %v", df, got)
		}
	}
	if got := chiSquareUpper(0.05, 0); got != 0 {
		t.Errorf("df 0: %v", got)
	}
	if !math.IsInf(normalUpper(0), 1) || !math.IsInf(normalUpper(1), -1) {
		t.Error("normal quantile at 0 and 1 is not infinite")
	}
}

func BenchmarkChiSquareUpper(b *testing.B) {
	for b.Loop() {
		chiSquareUpper(0.05, 9)
	}
}
