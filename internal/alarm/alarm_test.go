package alarm_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/alarm"
)

func TestBandRates(t *testing.T) {
	t.Parallel()
	for chunks, want := range map[int]float64{6: 5.2, 10: 2.39, 20: 1.02, 50: .50} {
		require.InDelta(t, want, 100*alarm.BandRate(3, chunks), .05, "%d chunks", chunks)
	}
	require.InDelta(t, 4.53, alarm.BandWidth(.0027, 10), .005)
	require.InDelta(t, 3.62, alarm.BandWidth(.0027, 20), .005)
	require.InDelta(t, .0027, alarm.BandRate(alarm.BandWidth(.0027, 13), 13), 1e-12)
}

// TestBandsAlarmAtTheirRate draws chunks and one more, many times.
func TestBandsAlarmAtTheirRate(t *testing.T) {
	t.Parallel()
	const trials = 40_000
	r := rand.New(rand.NewPCG(1, 1))
	outside := 0
	chunks := make([]float64, 10)
	for range trials {
		for i := range chunks {
			chunks[i] = 5 + 2*r.NormFloat64()
		}
		b, err := alarm.NewBand(chunks, 3)
		require.NoError(t, err)
		if b.Outside(5 + 2*r.NormFloat64()) {
			outside++
		}
	}
	rate := float64(outside) / trials
	require.InDelta(t, .0239, rate, 4*math.Sqrt(.0239/trials), "at 3 sd of 10 chunks")
}

func TestBand(t *testing.T) {
	t.Parallel()
	b, err := alarm.NewBand([]float64{1, 2, 3, 4, 5, 1, 2, 3, 4, 5, math.NaN()}, 3)
	require.NoError(t, err)
	require.InDelta(t, 3, b.Mean, 1e-15)
	require.InDelta(t, 3+3*math.Sqrt2, b.Upper, 1e-14)
	require.InDelta(t, 3-3*math.Sqrt2, b.Lower, 1e-14)
	require.Equal(t, 10, b.Chunks)
	require.False(t, b.Outside(b.Upper))
	require.True(t, b.Outside(-1.3))
	_, err = alarm.NewBand(make([]float64, 9), 3)
	require.ErrorIs(t, err, alarm.ErrFewChunks)
	b, err = alarm.NewBand(make([]float64, 10), 3)
	require.NoError(t, err)
	require.False(t, b.Outside(0))
	huge, tiny := make([]float64, 10), make([]float64, 10)
	for i := range huge {
		huge[i], tiny[i] = math.Copysign(1e308, float64(i%2)-.5), float64(i)*5e-324
	}
	b, err = alarm.NewBand(huge, 3)
	require.NoError(t, err)
	require.False(t, math.IsNaN(b.Mean) || math.IsInf(b.Upper, 0))
	b, err = alarm.NewBand(tiny, 3)
	require.NoError(t, err)
	require.True(t, b.Outside(1))
}

func TestPersistence(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		k, of       int
		level, want float64
	}{
		{2, 2, .05, .25}, {2, 3, .05, .725}, {3, 5, .05, .116}, {3, 3, .05, .0125},
		{2, 2, .01, .01}, {2, 3, .01, .0298}, {3, 5, .01, .00099},
	} {
		p := alarm.Persistence{K: test.k, Of: test.of}
		require.InEpsilon(t, test.want, 100*p.Rate(test.level), .005, "%d of %d", test.k, test.of)
		for _, rate := range []float64{1e-12, 1e-6, test.want / 100, .5, .999} {
			require.InEpsilon(t, rate, p.Rate(p.Level(rate)), 1e-9)
		}
	}
	p := alarm.Persistence{K: 2, Of: 3}
	require.True(t, p.Met([]bool{true, true, false}))
	require.False(t, p.Met([]bool{true, false, false, true}))
	require.True(t, p.Met([]bool{true, true}))
	require.False(t, alarm.Persistence{K: 3, Of: 2}.Met([]bool{true, true, true}))
	require.Zero(t, p.Level(0))
}

func TestBudget(t *testing.T) {
	t.Parallel()
	require.InDelta(t, .00139, alarm.Budget{Pages: 1, Evaluations: 720}.Level(), 5e-6)
	require.InDelta(t, 2.3e-5, alarm.Budget{Pages: 1, Evaluations: 43200}.Level(), 2e-7)
	require.InDelta(t, 1, alarm.Budget{Pages: 1}.Level(), 0)
	for times, want := range map[float64]float64{.5: 1, 1: 1, 4: 1, 5: .62, 20: .3, 60: .1, 1000: .02} {
		require.InDelta(t, want, alarm.Overlap(times), 0, "%g", times)
	}
	require.Equal(t, 999, alarm.Draws(.05))
	require.Equal(t, 20000, alarm.Draws(.001))
}
