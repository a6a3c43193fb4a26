package chart_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/chart"
)

var shifts = []float64{0, .25, .5, 1, 2}

// TestRunLengths holds the integral equations against R's spc, as published to
// two digits.
func TestRunLengths(t *testing.T) {
	t.Parallel()
	cusum := func(h float64, headStart bool) func(float64) float64 {
		return func(mean float64) float64 { return chart.CUSUMRunLength(.5, h, mean, headStart) }
	}
	ewma := func(lambda, l float64, fixed bool) func(float64) float64 {
		return func(mean float64) float64 { return chart.EWMARunLength(lambda, l, mean, fixed) }
	}
	unknown := math.NaN()
	for name, test := range map[string]struct {
		of   func(float64) float64
		want []float64
	}{
		"CUSUM 4":         {cusum(4, false), []float64{167.68, 74.22, 26.63, 8.38, 3.34}},
		"CUSUM 4 FIR":     {cusum(4, true), []float64{148.70, 62.70, 20.06, 5.29, 2.01}},
		"CUSUM 5":         {cusum(5, false), []float64{465.44, 139.49, 38.00, 10.38, 4.01}},
		"CUSUM 5 FIR":     {cusum(5, true), []float64{430.39, 121.69, 28.67, 6.35, 2.36}},
		"EWMA .1":         {ewma(.1, 2.703, true), []float64{371.89, 89.50, 28.27, 9.75, 4.18}},
		"EWMA .2":         {ewma(.2, 2.86, true), []float64{371.10, 121.22, 36.20, 9.80, 3.59}},
		"EWMA .2 growing": {ewma(.2, 2.86, false), []float64{365.9, unknown, unknown, 8.79, unknown}},
		"EWMA .25":        {ewma(.25, 2.998, true), []float64{499.8, unknown, unknown, 11.14, unknown}},
		"EWMA .3":         {ewma(.3, 3, true), []float64{465.6, unknown, unknown, 11.70, unknown}},
		"EWMA .4":         {ewma(.4, 3.054, true), []float64{499.95, unknown, unknown, 14.26, unknown}},
	} {
		for i, want := range test.want {
			if !math.IsNaN(want) {
				require.InDelta(t, want, test.of(shifts[i]), 0.0051+0.0002*want, "%s at %g", name, shifts[i])
			}
		}
	}
	near(t, 370.398347345, chart.EWMARunLength(1, 3, 0, true), "Shewhart's chart")
}

func TestLimitsForABudget(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ budget, h, l float64 }{
		{370.4, 4.7749, 2.8593}, {1000, 5.7574, 3.1866}, {4320, 7.2149, 3.6125}, {10000, 8.0530, 3.8344}, {43200, 9.5156, 4.1921},
	} {
		require.InDelta(t, test.h, chart.CUSUMLimit(.5, test.budget), 6e-5)
		require.InDelta(t, test.l, chart.EWMALimit(.2, test.budget), 6e-5)
	}
}

// TestRunLengthsOfCharts runs the charts themselves on normal points: what is
// computed must be what happens.
func TestRunLengthsOfCharts(t *testing.T) {
	t.Parallel()
	const runs = 4000
	r := rand.New(rand.NewPCG(1, 1))
	for name, test := range map[string]struct {
		start func() interface{ Next(z float64) int }
		mean  float64
		want  float64
	}{
		"CUSUM": {func() interface{ Next(z float64) int } { return chart.NewCUSUM(.5, 4, false) }, 0, chart.CUSUMRunLength(.5, 4, 0, false)},
		"FIR":   {func() interface{ Next(z float64) int } { return chart.NewCUSUM(.5, 4, true) }, 1, chart.CUSUMRunLength(.5, 4, 1, true)},
		"EWMA": {func() interface{ Next(z float64) int } { return &chart.EWMA{Lambda: .2, L: 2.5} }, 0,
			chart.EWMARunLength(.2, 2.5, 0, false)},
		"EWMA, fixed": {func() interface{ Next(z float64) int } { return &chart.EWMA{Lambda: .2, L: 2.5, Fixed: true} }, .5,
			chart.EWMARunLength(.2, 2.5, .5, true)},
	} {
		var sum, squares float64
		for range runs {
			c, n := test.start(), 1.0
			for c.Next(r.NormFloat64()+test.mean) == 0 {
				n++
			}
			sum, squares = sum+n, squares+n*n
		}
		mean := sum / runs
		se := math.Sqrt((squares/runs - mean*mean) / runs)
		require.InDelta(t, test.want, mean, 4*se, name)
	}
}

// TestRunLengthsOfRules runs the rules against the published run lengths
// (Champ and Woodall 1987) and those simulated for the reference.
func TestRunLengthsOfRules(t *testing.T) {
	t.Parallel()
	w, n := chart.WesternElectric(), chart.Nelson()
	r := rand.New(rand.NewPCG(2, 2))
	for name, test := range map[string]struct {
		rules []chart.Rule
		want  float64
	}{
		"1": {w[:1], 370.4}, "2 of 3": {w[1:2], 508}, "4 of 5": {w[2:3], 291}, "8 on one side": {w[3:], 255},
		"9 on one side": {n[1:2], 511}, "6": {n[2:3], 423}, "14": {n[3:4], 600}, "15": {n[6:7], 956},
		"1+2": {w[:2], 225.4}, "1+4": {[]chart.Rule{w[0], w[3]}, 152.7}, "1-3": {w[:3], 132.9}, "WECO": {w, 91.75}, "Nelson": {n, 72.4},
	} {
		const points = 800_000 // in as many whole runs as fit
		var sum, squares, runs float64
		for sum < points {
			length := run(r, test.rules)
			sum, squares, runs = sum+length, squares+length*length, runs+1
		}
		mean := sum / runs
		se := math.Sqrt((squares/runs - mean*mean) / runs)
		require.InDelta(t, test.want, mean, 4*se+0.005*test.want, name)
		t.Logf("%-14s %7.1f ± %.1f", name, mean, se)
	}
}

// run is the number of points to the first signal.
func run(r *rand.Rand, rules []chart.Rule) float64 {
	var z []float64
	for {
		z = append(z, r.NormFloat64())
		for _, rule := range rules {
			if rule.Completed(z) {
				return float64(len(z))
			}
		}
	}
}

// TestShareOfSignals is how many points of a long series a rule marks.
func TestShareOfSignals(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	z := make([]float64, 1_000_000)
	for i := range z {
		z[i] = r.NormFloat64()
	}
	marked := map[string]map[int]bool{}
	for _, s := range chart.Signals(z, append(chart.Nelson(), chart.WesternElectric()[3])) {
		if marked[s.Rule] == nil {
			marked[s.Rule] = map[int]bool{}
		}
		marked[s.Rule][s.Index] = true
	}
	for rule, want := range map[string]float64{
		"1 beyond 3σ": .270, "2 of 3 beyond 2σ": .204, "4 of 5 beyond 1σ": .447, "8 on one side": .790, "9 on one side": .390,
		"6 rising or falling": .278, "14 alternating": .462, "15 within 1σ": .327, "8 outside 1σ": .010,
	} {
		require.InDelta(t, want, float64(len(marked[rule]))*100/float64(len(z)), .03, rule)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for name, test := range map[string]struct {
		z    []float64
		want []chart.Signal
	}{
		"on the line":           {[]float64{3, -3}, nil},
		"beyond":                {[]float64{3.1, -3.1}, []chart.Signal{{0, "1 beyond 3σ"}, {1, "1 beyond 3σ"}}},
		"two of two":            {[]float64{2.1, 2.1}, []chart.Signal{{1, "2 of 3 beyond 2σ"}}},
		"two of three":          {[]float64{2.1, 0, 2.1, 0}, []chart.Signal{{2, "2 of 3 beyond 2σ"}}},
		"two sides":             {[]float64{2.1, -2.1}, nil},
		"the last must count":   {[]float64{2.1, 0, 1.9}, nil},
		"a gap does not break":  {[]float64{2.1, nan, nan, 2.1}, []chart.Signal{{3, "2 of 3 beyond 2σ"}}},
		"zero is on no side":    {[]float64{1, 1, 1, 1, 0, 1, 1, 1, 1}, nil},
		"eight":                 {[]float64{-.1, -.1, -.1, -.1, -.1, -.1, -.1, -.1}, []chart.Signal{{7, "8 on one side"}}},
		"nothing":               {nil, nil},
		"only what was missing": {[]float64{nan, nan}, nil},
	} {
		require.Equal(t, test.want, chart.Signals(test.z, chart.WesternElectric()), name)
	}
	names := func(z []float64) (rules []string) {
		for _, s := range chart.Signals(z, chart.Nelson()) {
			rules = append(rules, s.Rule)
		}
		return rules
	}
	require.Equal(t, []string{"6 rising or falling"}, names([]float64{-.3, -.2, -.1, .1, .2, .3}))
	require.Empty(t, names([]float64{-.3, -.2, -.1, -.1, .2, .3}))
	zigzag := []float64{}
	for i := range 14 {
		zigzag = append(zigzag, 1.1*float64(i%2)-.5)
	}
	require.Equal(t, []string{"14 alternating"}, names(zigzag))
	hug := make([]float64, 15)
	require.Equal(t, []string{"15 within 1σ"}, names(hug))
	out := []float64{1.1, -1.1, -1.1, 1.1, 1.1, -1.1, -1.1, 1.1}
	require.Equal(t, []string{"8 outside 1σ"}, names(out))
}
