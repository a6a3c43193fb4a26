package exact_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/exact"
)

func TestMatrix(t *testing.T) {
	t.Parallel()
	m := exact.NewMatrix(3)
	for _, row := range [][]float64{{1, 1e9 + 2, 7}, {2, 1e9 + 4, 7}, {3, 1e9 + 7, 7}, {4, 1e9 + 5, 7}} {
		require.True(t, m.Add(row))
	}
	require.False(t, m.Add([]float64{1, 2}))
	require.False(t, m.Add([]float64{1, 2, math.NaN()}))
	require.Equal(t, uint64(4), m.N())
	// dx −1.5,−.5,.5,1.5; dy −2.5,−.5,2.5,.5: Sxy 6, Sxx 5, Syy 13.
	require.InDelta(t, 6/math.Sqrt(65), m.Correlation(0, 1), 1e-15)
	require.InDelta(t, 6/math.Sqrt(65), m.Correlation(1, 0), 1e-15)
	require.InDelta(t, 1, m.Correlation(1, 1), 0)
	require.Zero(t, m.Correlation(0, 2), "a constant column")
	require.Zero(t, m.Correlation(2, 2))
	require.Zero(t, exact.NewMatrix(0).N())
}

func TestMatrixOfAnyScale(t *testing.T) {
	t.Parallel()
	m := exact.NewMatrix(2)
	for _, row := range [][]float64{{1e308, 5e-324}, {-1e308, -5e-324}, {0, 0}} {
		require.True(t, m.Add(row))
	}
	require.InDelta(t, 1, m.Correlation(0, 1), 1e-15)
}

func TestMatrixMergesAndTravels(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	whole, parts := exact.NewMatrix(4), [2]*exact.Matrix{exact.NewMatrix(4), exact.NewMatrix(4)}
	for range 100 {
		row := []float64{r.NormFloat64(), any64(r), r.ExpFloat64(), float64(r.IntN(5))}
		require.True(t, whole.Add(row))
		require.True(t, parts[r.IntN(2)].Add(row))
	}
	require.NoError(t, parts[1].Merge(parts[0]))
	want, err := whole.MarshalBinary()
	require.NoError(t, err)
	got, err := parts[1].MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, want, got)
	var back exact.Matrix
	require.NoError(t, back.UnmarshalBinary(got))
	require.InDelta(t, whole.Correlation(0, 2), back.Correlation(0, 2), 0)
	for cut := range got {
		require.ErrorIs(t, back.UnmarshalBinary(got[:cut]), exact.ErrMalformed)
	}
	require.ErrorIs(t, back.UnmarshalBinary(append(got, 0)), exact.ErrMalformed)
	require.ErrorIs(t, back.UnmarshalBinary([]byte{0xff, 0x1f, 0}), exact.ErrMalformed, "4095 columns in a byte")
	require.ErrorIs(t, whole.Merge(exact.NewMatrix(3)), exact.ErrOrder)
}
