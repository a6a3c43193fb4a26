package stat_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// The golden quantiles were computed with 40 digits by testdata/quantiles.py.
func TestQuantilesMatchArbitraryPrecision(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/quantiles.csv")
	require.NoError(t, err)
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.Len(t, rows, 273)
	worst := 0.0
	for _, row := range rows[1:] {
		df, err := strconv.ParseFloat(row[0], 64)
		require.NoError(t, err)
		alpha, err := strconv.ParseFloat(row[1], 64)
		require.NoError(t, err)
		want, err := strconv.ParseFloat(row[2], 64)
		require.NoError(t, err)
		got := stat.NormalQuantile(alpha)
		if df > 0 {
			got = stat.ChiSquareQuantile(alpha, df)
		}
		miss := math.Abs(got - want)
		if want != 0 {
			miss /= math.Abs(want)
		}
		worst = max(worst, miss)
		require.LessOrEqual(t, miss, 1e-12, "df %v alpha %s: got %.17g, want %s", df, row[1], got, row[2])
	}
	t.Logf("largest relative error %.2g", worst)
}

func TestQuantilesAtTheEnds(t *testing.T) {
	t.Parallel()
	for _, df := range []float64{1, 9, 999} {
		require.True(t, math.IsInf(stat.ChiSquareQuantile(0, df), 1))
		require.Zero(t, stat.ChiSquareQuantile(1, df))
	}
	require.Zero(t, stat.ChiSquareQuantile(0.05, 0))
	require.True(t, math.IsInf(stat.NormalQuantile(0), 1))
	require.True(t, math.IsInf(stat.NormalQuantile(1), -1))
}
