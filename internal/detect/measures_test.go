package detect_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/chart"
	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/exact"
)

// measured is a side of values with everything that can be measured of them.
func measured(values []float64) detect.Side {
	s := detect.Side{Counts: []uint64{uint64(len(values)) / 2, uint64(len(values)) - uint64(len(values))/2}}
	s.Moments, s.Deviations = exact.NewMoments(4), exact.NewMoments(4)
	p := &detect.Performance{Confusion: &detect.Confusion{}, Absolute: exact.NewMoments(2), Squared: exact.NewMoments(2)}
	for i, x := range values {
		s.Moments.Add(x)
		s.Deviations.Add(math.Abs(x))
		s.Points = append(s.Points, detect.Point{N: 1, Mean: x, Marked: uint64(i % 2)})
		p.Absolute.Add(math.Abs(x))
		p.Squared.Add(x)
		p.Confusion.TruePositive++
	}
	p.Scores = []detect.ScoreBin{{Score: 0, Negative: uint64(len(values)), Rows: uint64(len(values))}, {Score: 1, Positive: uint64(len(values) / 2)}}
	s.Performance = p
	s.Seconds, s.Silence = 60, 1
	return s
}

// edges are samples that arithmetic falls over.
var edges = map[string][]float64{
	"empty":     {},
	"one":       {1},
	"two":       {1, 2},
	"constant":  repeat(50, 7),
	"zeros":     repeat(50, 0, math.Copysign(0, -1)),
	"huge":      repeat(50, 1e308, -1e308, math.MaxFloat64),
	"high":      repeat(50, math.MaxFloat64),
	"low":       repeat(50, -math.MaxFloat64),
	"denormal":  repeat(50, 5e-324, 0, -5e-324, 1e-310),
	"lone":      append(repeat(49, 0), 5e-324),
	"ordinary":  repeat(50, 1, 2, 4, 8, 3, -1),
	"hundred":   repeat(200, 1, 2, 4, 8, 3, -1),
	"offset":    repeat(50, 1e16, 1e16+2),
	"one aside": append(repeat(199, 3), 1e300),
}

func repeat(n int, values ...float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = values[i%len(values)]
	}
	return x
}

// TestEdges compares every edge with every other by every detector: nothing
// panics, no number is NaN or infinite, p-values are shares, and nothing alarms
// without a sufficient sample.
func TestEdges(t *testing.T) {
	t.Parallel()
	rule, err := chart.ParseScouterRule(chart.DefaultScouterRule, chart.ScouterZones())
	require.NoError(t, err)
	for a, x := range edges {
		for b, y := range edges {
			for _, kind := range []detect.Kind{detect.Categories, detect.Values} {
				in := detect.Input{Kind: kind, Reference: measured(x), Current: measured(y), Scouter: &detect.Scouter{Rule: rule}}
				for _, d := range detect.All {
					sane(t, d, d.Judge(&in), a+" to "+b)
				}
			}
			if len(x) == 0 { // of which no profile is made
				continue
			}
			in := together(t, pairs(x), pairs(y))
			for _, name := range []string{"hotelling", "pca_reconstruction"} {
				sane(t, detect.Find(name), judge(t, name, in), a+" to "+b)
			}
		}
	}
}

// pairs are rows of each value and another.
func pairs(values []float64) (rows [][]float64) {
	for i, x := range values {
		rows = append(rows, []float64{x, values[(i*7+3)%len(values)]})
	}
	return rows
}

func sane(t *testing.T, d *detect.Detector, r detect.Result, what string) {
	t.Helper()
	for _, v := range append([]float64{r.Statistic, r.Judged, r.P, r.Threshold, r.Unseen}, r.Cells...) {
		require.False(t, math.IsNaN(v) || math.IsInf(v, 0), "%s: %s: %+v", d.Name, what, r)
	}
	require.True(t, r.P >= 0 && r.P <= 1, "%s: %s: %+v", d.Name, what, r)
	require.True(t, r.Sufficient || !r.Alarm, "%s: %s: %+v", d.Name, what, r)
	require.False(t, r.HasP && !d.HasP, "%s: %s", d.Name, what)
}

// TestUnmeasured asks for a verdict on what was not measured.
func TestUnmeasured(t *testing.T) {
	t.Parallel()
	for _, in := range []*detect.Input{{}, {Kind: detect.Values, Reference: detect.Side{Counts: []uint64{9}}, Current: detect.Side{Counts: []uint64{9}}}} {
		for _, d := range detect.All {
			r := d.Judge(in)
			sane(t, d, r, "unmeasured")
		}
	}
	for _, name := range []string{
		"mean", "spread", "variance", "log_variance", "xbar_s", "i_mr", "p_chart", "c_chart", "ewma", "cusum", "page_hinkley", "scouter_spc",
		"accuracy", "precision", "recall", "f1", "auc", "mae", "rmse", "cbpe_accuracy", "calibration", "hotelling", "pca_reconstruction", "volume", "freshness",
	} {
		r := detect.Find(name).Judge(&detect.Input{Reference: detect.Side{Counts: []uint64{9}}, Current: detect.Side{Counts: []uint64{9}}})
		require.NotZero(t, r.Caveats&detect.Unsuited, name)
		require.False(t, r.Sufficient, name)
	}
}

func judge(t *testing.T, name string, in detect.Input) detect.Result {
	t.Helper()
	d := detect.Find(name)
	require.NotNil(t, d, name)
	return d.Judge(&in)
}

func compare(t *testing.T, name, a, b string) detect.Result {
	t.Helper()
	return judge(t, name, detect.Input{Kind: detect.Values, Reference: measured(edges[a]), Current: measured(edges[b])})
}

// TestConstants says what is certain where nothing varies.
func TestConstants(t *testing.T) {
	t.Parallel()
	r := compare(t, "mean", "constant", "constant")
	require.InDelta(t, 1, r.P, 0)
	require.Equal(t, detect.Constant|detect.SmallReference, r.Caveats)
	require.True(t, r.Sufficient && !r.Alarm)

	r = compare(t, "mean", "constant", "zeros")
	require.Zero(t, r.P)
	require.NotZero(t, r.Caveats&detect.Constant)
	require.True(t, r.Alarm)

	r = compare(t, "mean", "constant", "ordinary")
	require.Zero(t, r.Caveats&detect.Constant, "Welch works with one")
	require.True(t, r.Alarm)

	r = compare(t, "log_variance", "constant", "ordinary")
	require.NotZero(t, r.Caveats&detect.Constant)
	require.False(t, r.Sufficient || r.HasP, "there is no logarithm of 0")

	require.True(t, compare(t, "mean", "low", "high").Alarm, "a difference beyond float64")
	require.False(t, compare(t, "mean", "one", "ordinary").Sufficient)
	require.True(t, compare(t, "mean", "denormal", "ordinary").Alarm)
}

func TestSkewed(t *testing.T) {
	t.Parallel()
	skewed := repeat(50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100) // g₁ = 2.67: 178 values
	r := judge(t, "mean", detect.Input{Kind: detect.Values, Reference: measured(edges["hundred"]), Current: measured(skewed)})
	require.NotZero(t, r.Caveats&detect.Skewed)
	r = judge(t, "mean", detect.Input{Kind: detect.Values, Reference: measured(edges["hundred"]), Current: measured(append(skewed, append(skewed, append(skewed, skewed...)...)...))})
	require.Zero(t, r.Caveats&detect.Skewed)
}

// points are windows of one value each.
func points(x ...float64) (s detect.Side) {
	for _, v := range x {
		s.Points = append(s.Points, detect.Point{N: 1, Mean: v})
	}
	return s
}

func TestOnlyTheLastPointAlarms(t *testing.T) {
	t.Parallel()
	reference := points(repeat(120, -1, 1, 0, 1, -1, 0)...)
	in := detect.Input{Reference: reference, Current: points(0, 50, 0.5)}
	r := judge(t, "i_mr", in)
	require.Len(t, r.Signals, 3, "value, and two ranges: %v", r.Signals)
	require.True(t, r.Alarm, "the step back is one")
	in.Current = points(0, 50, 0.5, 0.4)
	r = judge(t, "i_mr", in)
	require.Len(t, r.Signals, 3)
	require.False(t, r.Alarm, "it was reported before")
	in.Current = points(0, 50)
	in.Current.Points = append(in.Current.Points, detect.Point{})
	require.False(t, judge(t, "i_mr", in).Sufficient, "the last window is missing")
	in.Reference = points(repeat(99, -1, 1)...)
	in.Current = points(50)
	require.False(t, judge(t, "i_mr", in).Sufficient, "too few to take limits from")
	in.Params = map[string]float64{detect.Baseline: 50}
	require.True(t, judge(t, "i_mr", in).Alarm)
}

func TestChartsOfAConstant(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"i_mr", "ewma", "cusum", "page_hinkley"} {
		in := detect.Input{Reference: points(repeat(120, 7)...), Current: points(7, 7, 7)}
		r := judge(t, name, in)
		require.True(t, r.Sufficient && !r.Alarm, name)
		in.Current = points(7, 7, 7.001)
		require.True(t, judge(t, name, in).Alarm, name)
	}
	rare := detect.Side{}
	for range 30 {
		rare.Points = append(rare.Points, detect.Point{N: 100})
	}
	for _, name := range []string{"p_chart", "c_chart"} {
		in := detect.Input{Reference: rare, Current: detect.Side{}}
		in.Current.Points = []detect.Point{{N: 100}}
		require.False(t, judge(t, name, in).Alarm, name)
		in.Current.Points = []detect.Point{{N: 100, Marked: 1}}
		require.True(t, judge(t, name, in).Alarm, name)
	}
}

func TestRuleSets(t *testing.T) {
	t.Parallel()
	in := detect.Input{Reference: points(repeat(120, -1, 1, 0, 1, -1, 0)...), Current: points(repeat(8, .2, .3, .1)...)}
	require.False(t, judge(t, "i_mr", in).Alarm)
	in.Params = map[string]float64{detect.Rules: 2}
	r := judge(t, "i_mr", in)
	require.True(t, r.Alarm)
	require.Equal(t, []detect.Signal{{Index: 7, Rule: "value: 8 on one side"}}, r.Signals)
	in.Params = map[string]float64{detect.Rules: 3}
	require.False(t, judge(t, "i_mr", in).Alarm, "Nelson wants nine")
}

func TestScouterSPC(t *testing.T) {
	t.Parallel()
	rule, err := chart.ParseScouterRule(chart.DefaultScouterRule, []string{"Zone4"})
	require.NoError(t, err)
	in := detect.Input{Reference: points(), Current: points(41, 47, 41), Scouter: &detect.Scouter{
		Limits: chart.ScouterLimits{Center: 40, OneUCL: 42, OneLCL: 38, TwoUCL: 44, TwoLCL: 36, ThreeUCL: 46, ThreeLCL: 34}, Rule: rule,
	}}
	r := judge(t, "scouter_spc", in)
	require.True(t, r.Alarm, "all points since the last evaluation are judged")
	require.Equal(t, []detect.Signal{{Index: 2, Rule: "Zone4 OutOfBounds"}}, r.Signals)
	in.Current = points(41, 46, 34)
	require.False(t, judge(t, "scouter_spc", in).Alarm, "on the line")
}

// TestAUC has the worked example, and the score of a bin that is its rank.
func TestAUC(t *testing.T) {
	t.Parallel()
	area, se, ok := detect.AUC([]detect.ScoreBin{{Positive: 1, Negative: 10}, {Positive: 4, Negative: 6}, {Positive: 9, Negative: 2}})
	require.True(t, ok)
	require.InDelta(t, 0.833333333333, area, 1e-11)
	require.InDelta(t, 0.0699661557361, se, 1e-12)
	_, _, ok = detect.AUC([]detect.ScoreBin{{Positive: 3}})
	require.False(t, ok)
}

func TestPerformanceThatIsUndefined(t *testing.T) {
	t.Parallel()
	side := func(c detect.Confusion) (s detect.Side) {
		s.Performance = &detect.Performance{Confusion: &c}
		return s
	}
	in := detect.Input{Reference: side(detect.Confusion{TruePositive: 50, FalsePositive: 50, TrueNegative: 100}), Current: side(detect.Confusion{TrueNegative: 100})}
	for _, name := range []string{"precision", "recall", "f1"} {
		r := judge(t, name, in)
		require.False(t, r.Sufficient || r.HasP, "%s: without predicted or real positives there is none: %+v", name, r)
	}
	require.True(t, judge(t, "accuracy", in).Alarm)
}

func TestConstantAndNoData(t *testing.T) {
	t.Parallel()
	in := detect.Input{Kind: detect.Values, Reference: detect.Side{Counts: []uint64{60, 40}}, Current: detect.Side{Counts: []uint64{20, 0}}}
	require.True(t, judge(t, "constant", in).Alarm)
	in.Current.Moments = exact.Of(2, 1, 2)
	require.False(t, judge(t, "constant", in).Alarm, "one cell, and yet not one value")
	in.Current.Moments = exact.Of(2, 1, 1)
	require.True(t, judge(t, "constant", in).Alarm)
	in.Reference.Counts = []uint64{100, 0}
	require.False(t, judge(t, "constant", in).Alarm, "it never varied")
	in.Current.Counts = []uint64{0, 0}
	require.True(t, judge(t, "no_data", in).Alarm)
	in.Reference.Seconds, in.Current.Seconds = 100, 10
	require.True(t, judge(t, "volume", in).Alarm, "none of ten")
	in.Current.States.Missing = 1
	require.False(t, judge(t, "no_data", in).Alarm, "a row without a value is a row")
}
