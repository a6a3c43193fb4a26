package score

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

func TestBandRates(t *testing.T) {
	t.Parallel()
	for chunks, want := range map[int]float64{6: 5.2, 10: 2.39, 20: 1.02, 50: .50} {
		require.InDelta(t, want, 100*bandRate(3, chunks), .05, "%d chunks", chunks)
	}
	// Chunks and one more, many times.
	const trials = 40_000
	r := rand.New(rand.NewPCG(1, 1))
	outside := 0
	chunks := make([]float64, 10)
	for range trials {
		for i := range chunks {
			chunks[i] = 5 + 2*r.NormFloat64()
		}
		c := profile.ChunksOf(chunks)
		if math.Abs(5+2*r.NormFloat64()-c.Mean) > 3*c.StdDev {
			outside++
		}
	}
	require.InDelta(t, bandRate(3, 10), float64(outside)/trials, 4*math.Sqrt(.0239/trials), "at 3 sd of 10 chunks")
}

func TestBudgetLevel(t *testing.T) {
	t.Parallel()
	require.InDelta(t, .00139, budgetLevel(1, 720), 5e-6)
	require.InDelta(t, 2.3e-5, budgetLevel(1, 43200), 2e-7)
	require.InDelta(t, 1, budgetLevel(1, 0), 0)
}
