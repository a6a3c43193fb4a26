package chart_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/chart"
)

// near holds digits as they are published, to the last of them.
func near(t *testing.T, want, got float64, what ...any) {
	t.Helper()
	require.InDelta(t, want, got, 1e-9*max(1, math.Abs(want)), what...)
}

func TestConstants(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][3]float64{
		4:  {0.921317731924, 0, 2.26604707885},
		5:  {0.939985602987, 0, 2.08899786863},
		25: {0.989640375586, 0.564785709485, 1.43521429052},
	} {
		near(t, want[0], chart.C4(n))
		near(t, want[1], chart.B3(n))
		near(t, want[2], chart.B4(n))
	}
	require.Zero(t, chart.C4(1))
	require.InEpsilon(t, chart.C4(1000), chart.C4(1001), 1e-6)
	near(t, 0.9997497811015, chart.C4(1000))
	near(t, 0.9999974999781, chart.C4(100000))
}

func TestXbarS(t *testing.T) {
	t.Parallel()
	c, ok := chart.NewXbarS([]chart.Subgroup{{5, 10, 2}, {5, 12, 3}, {5, 11, 1}, {1, 99, 0}, {0, 0, 0}})
	require.True(t, ok)
	near(t, 11, c.Center)
	mean, sd := c.Mean(5), c.SD(5)
	near(t, 11+1.42729929292*2, mean.Upper)
	near(t, 11-1.42729929292*2, mean.Lower)
	near(t, 2.08899786863*2, sd.Upper)
	near(t, 0, sd.Lower)
	near(t, 2, sd.Center)
	near(t, 0.564785709485*c.Sigma*chart.C4(25), c.SD(25).Lower, "limits go by a window's own size")
	require.Equal(t, 1, mean.Beyond(14))
	require.Equal(t, -1, mean.Beyond(8))
	require.Equal(t, 0, mean.Beyond(mean.Upper), "on the line is not beyond")
	_, ok = chart.NewXbarS([]chart.Subgroup{{1, 1, 0}})
	require.False(t, ok)
}

func TestIndividuals(t *testing.T) {
	t.Parallel()
	c, ok := chart.NewIndividuals([]float64{10, 12, math.NaN(), 11, 14})
	require.True(t, ok)
	near(t, 2, c.Range.Center) // |12−10|, |11−12|, |14−11|
	near(t, 11.75+2.65868077636*2, c.Value.Upper)
	near(t, 11.75-2.65868077636*2, c.Value.Lower)
	near(t, 3.26653191929*2, c.Range.Upper)
	near(t, 0, c.Range.Lower)
	_, ok = chart.NewIndividuals([]float64{1, math.NaN()})
	require.False(t, ok)
}

func TestShareAndCount(t *testing.T) {
	t.Parallel()
	near(t, 0.118172158289, chart.Share(.06, 150).Upper)
	near(t, 0.001827841711, chart.Share(.06, 150).Lower)
	p, ok := chart.MeanShare([]chart.Counted{{3, 100}, {9, 100}})
	require.True(t, ok)
	near(t, .06, p)
	_, ok = chart.MeanShare(nil)
	require.False(t, ok)
	near(t, 22, chart.Count(10).Upper+(22-10-3*math.Sqrt(10)))
	near(t, 10-3*math.Sqrt(10), chart.Count(10).Lower)
	require.Equal(t, chart.Limits{Lower: 0, Upper: 0}, chart.Share(0, 100))
	require.Equal(t, chart.Limits{Center: 1, Lower: 1, Upper: 1}, chart.Share(1, 100))
	require.Equal(t, chart.Limits{}, chart.Count(0))
}

// TestExactLimits holds the limits of rare events against the tails they are
// for, and says what the normal ones would have done.
func TestExactLimits(t *testing.T) {
	t.Parallel()
	const half = 0.00134989803163
	binomial := func(low, high, n int, p float64) (below, above float64) {
		for k := 0; k <= n; k++ {
			a, _ := math.Lgamma(float64(n + 1))
			b, _ := math.Lgamma(float64(k + 1))
			c, _ := math.Lgamma(float64(n - k + 1))
			mass := math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
			if k < low {
				below += mass
			}
			if k > high {
				above += mass
			}
		}
		return below, above
	}
	for _, p := range []float64{.001, .01, .02, .049} {
		l := chart.Share(p, 100)
		high := int(math.Round(l.Upper * 100))
		_, above := binomial(0, high, 100, p)
		require.LessOrEqual(t, above, half)
		_, more := binomial(0, high-1, 100, p)
		require.Greater(t, more, half, "the least such limit")
		mirror := chart.Share(1-p, 100)
		near(t, 1-l.Upper, mirror.Lower)
	}
	_, normal := binomial(0, int(100*(.01+3*math.Sqrt(.01*.99/100))), 100, .01)
	require.InDelta(t, 0.0184, normal, 0.0001, "what three sigmas would alarm on")
	poisson := func(high int, mean float64) (above float64) {
		for k := high + 1; k < 100; k++ {
			g, _ := math.Lgamma(float64(k + 1))
			above += math.Exp(float64(k)*math.Log(mean) - mean - g)
		}
		return above
	}
	for _, mean := range []float64{.1, 1, 4, 4.9} {
		high := int(chart.Count(mean).Upper)
		require.LessOrEqual(t, poisson(high, mean), half)
		require.Greater(t, poisson(high-1, mean), half)
	}
}

func TestZ(t *testing.T) {
	t.Parallel()
	l := chart.Limits{Center: 1, Sigma: 2}
	near(t, 1.5, l.Z(4))
	require.True(t, math.IsNaN(chart.Limits{Center: 1}.Z(2)))
	require.Zero(t, chart.Limits{Center: 1}.Z(1))
	near(t, 2, chart.Limits{Center: -1e308, Sigma: 1e308}.Z(1e308), "the difference overflows")
	require.LessOrEqual(t, chart.Limits{Sigma: 5e-324}.Z(1), 1e100)
	require.True(t, math.IsNaN(l.Z(math.NaN())))
}

func TestSequential(t *testing.T) {
	t.Parallel()
	x := []float64{1, -.5, math.NaN(), 2, 1.5, 3}
	e := chart.EWMA{Lambda: .2, L: 2.86}
	c, fir := chart.NewCUSUM(.5, 4, false), chart.NewCUSUM(.5, 4, true)
	h := chart.PageHinkley{Delta: .1, Limit: 2.9}
	want := []struct{ z, width, up, fir, rise, fall float64 }{
		{.2, 0.572, .5, 2.5, 0, 0},
		{.06, 0.732517412762, 0, 1.5, 0, .65},
		{.06, 0.732517412762, 0, 1.5, 0, .65},
		{.448, 0.818899460496, 1.5, 3, 1.06666666667, 0},
		{.6584, 0.869692847444, 2.5, 4, 1.46666666667, 0},
		{1.12672, 0.900698626230, 5, 6.5, 2.96666666667, 0},
	}
	for i, v := range x {
		ewma, cusum, head, page := e.Next(v), c.Next(v), fir.Next(v), h.Next(v)
		last := map[bool]int{true: 1}[i == len(x)-1]
		require.Equal(t, []int{last, last, last, last}, []int{ewma, cusum, head, page}, "point %d", i)
		near(t, want[i].z, e.Value)
		near(t, want[i].width, e.Width())
		near(t, want[i].up, c.Up)
		near(t, want[i].fir, fir.Up)
		near(t, want[i].rise, h.Up)
		near(t, want[i].fall, h.Down)
	}
}

func TestSequentialFindsAFall(t *testing.T) {
	t.Parallel()
	e, c, h := chart.EWMA{Lambda: .2, L: 2.86}, chart.NewCUSUM(.5, 4, false), chart.PageHinkley{Delta: .1, Limit: 3}
	for range 10 {
		h.Next(0)
	}
	var ewma, cusum, page int
	for range 10 {
		ewma, cusum, page = e.Next(-2), c.Next(-2), h.Next(-2)
	}
	require.Equal(t, []int{-1, -1, -1}, []int{ewma, cusum, page})
}
