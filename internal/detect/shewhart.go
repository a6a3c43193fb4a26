package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/chart"
)

// Baseline is the parameter of charts for the reference points that limits
// need.
const Baseline = "baseline"

// Rules is the parameter of charts for the set of rules: 1 Shewhart's one, 2
// Western Electric's four, 3 Nelson's eight.
const Rules = "rules"

func baselineParam(points float64) Param {
	return Param{Name: Baseline, Help: "reference points, without which there is no verdict", Default: points, Min: 2, Max: 1e6}
}

func rulesParam() Param {
	return Param{Name: Rules, Help: "1 beyond 3 sigma, 2 Western Electric, 3 Nelson", Default: 1, Min: 1, Max: 3}
}

// Parameters of how the points of a chart are made, which whoever makes them goes
// by.
const (
	// Minutes is how many minutes of event time make a point.
	Minutes = "minutes"
	// SampleSize is how many records make a point instead, in the order of their
	// event time within a minute; 0: the minutes do.
	SampleSize = "sample_size"
	// Cell is the position of the cell whose rows are marked.
	Cell = "cell"
)

func minutesParam() Param {
	return Param{Name: Minutes, Help: "minutes of event time in a point", Default: 1, Min: 1, Max: 1e5}
}

func sampleSizeParam(records float64) Param {
	return Param{Name: SampleSize, Help: "records in a point, by event time within a minute; 0: all of its minutes", Default: records, Max: 1e6}
}

func cellParam() Param {
	return Param{Name: Cell, Help: "position of the marked cell", Default: 0, Max: 1e6}
}

func (p params) rules() []chart.Rule {
	switch p[Rules] {
	case 2:
		return chart.WesternElectric()
	case 3:
		return chart.Nelson()
	}
	return chart.Shewhart()
}

// The rates of charts at three sigmas are 0.27 % a point with known limits and
// more with estimated ones (25 sub-groups of 5: 0.40; 100 individuals: 0.40; 20
// individuals: 1.09), 1.65 % with Western Electric's rules and 2.33 % with
// Nelson's. A chart of spreads adds its own: 0.39 % that of standard deviations
// of 5, and 0.92 % that of moving ranges, whose limit of 3.27·MR̄ is only 2.6
// deviations of a difference. Points are taken to be independent.

// xbarS is Shewhart's (1931) chart of the windows' means and standard
// deviations: x̄̄ ± A3·s̄ and B3·s̄ to B4·s̄, by each window's own size. Where
// windows differ by nature, as hours of a day do, chart them as individuals:
// the spread within windows knows nothing of that.
var xbarS = &Detector{
	Name: "xbar_s", Help: "chart of means and standard deviations",
	Needs: needPoints, Params: []Param{rulesParam(), baselineParam(25), minutesParam(), sampleSizeParam(0)},
	judge: func(in *Input, p params) Result {
		var groups []chart.Subgroup
		for _, w := range in.Reference.Points {
			if w.N >= 2 {
				groups = append(groups, chart.Subgroup{N: int(min(w.N, math.MaxInt32)), Mean: w.Mean, SD: w.SD})
			}
		}
		c, ok := chart.NewXbarS(groups)
		size := func(w Point) int { return int(min(w.N, math.MaxInt32)) }
		return shewhart(in, ok && float64(len(groups)) >= p[Baseline],
			series{"mean", func(w Point) float64 { return standard(c.Mean(size(w)), w.Mean) }, p.rules(), 1},
			series{"spread", func(w Point) float64 { return standard(c.SD(size(w)), w.SD) }, chart.Shewhart(), 2})
	},
}

// iMR is the chart of windows' means as single values and of their moving
// ranges: x̄ ± 2.66·MR̄ and up to 3.27·MR̄. A window of another size than those of
// the reference is taken for one of theirs: see alike.
var iMR = &Detector{
	Name: "i_mr", Help: "chart of individual values and moving ranges",
	Needs: needPoints, Params: []Param{rulesParam(), baselineParam(100), minutesParam(), sampleSizeParam(0)},
	judge: func(in *Input, p params) Result {
		values := means(in.Reference.Points)
		sized := alike(in.Reference.Points)
		c, ok := chart.NewIndividuals(values)
		last := math.NaN()
		if n := len(values); n > 0 {
			last = values[n-1]
		}
		return shewhart(in, ok && float64(len(values)) >= p[Baseline],
			series{"value", func(w Point) float64 { return standard(c.Value, sized(w)) }, p.rules(), 1},
			series{"range", func(w Point) float64 {
				step := math.Abs(sized(w)/2-last/2) * 2
				last = sized(w)
				return standard(c.Range, step)
			}, chart.Shewhart(), 1})
	},
}

// pChart is the chart of shares, by each window's own size; exact where fewer
// than five are expected, because three sigmas there alarm on up to 1.84 %.
var pChart = &Detector{
	Name: "p_chart", Help: "chart of the share of marked rows",
	Needs: needPoints, Params: []Param{rulesParam(), baselineParam(25), minutesParam(), cellParam()},
	judge: func(in *Input, p params) Result {
		var counted []chart.Counted
		for _, w := range in.Reference.Points {
			if w.N > 0 {
				counted = append(counted, chart.Counted{Marked: min(w.Marked, w.N), N: w.N})
			}
		}
		share, ok := chart.MeanShare(counted)
		return shewhart(in, ok && float64(len(counted)) >= p[Baseline],
			series{"share", func(w Point) float64 {
				return standard(chart.Share(share, w.N), float64(min(w.Marked, w.N))/float64(w.N))
			}, p.rules(), 1})
	},
}

// cChart is the chart of counts in windows of one size; exact where fewer than
// five are expected.
var cChart = &Detector{
	Name: "c_chart", Help: "chart of a count of events",
	Needs: needPoints, Params: []Param{rulesParam(), baselineParam(25), minutesParam(), cellParam()},
	judge: func(in *Input, p params) Result {
		var sum, n float64
		for _, w := range in.Reference.Points {
			if w.N > 0 {
				sum, n = sum+float64(w.Marked), n+1
			}
		}
		limits := chart.Count(sum / max(n, 1))
		return shewhart(in, n >= p[Baseline],
			series{"count", func(w Point) float64 { return standard(limits, float64(w.Marked)) }, p.rules(), 1})
	},
}

// series is one of the lines of a chart. z standardises a window, which has at
// least so many rows, and is called in order.
type series struct {
	name  string
	z     func(Point) float64
	rules []chart.Rule
	rows  uint64
}

// shewhart judges the last point: the statistic is its distance from the centre
// in sigmas, Judged how many patterns it completes, which is drift above 0.
func shewhart(in *Input, limits bool, lines ...series) Result {
	r := rowsOf(in)
	points := in.Current.Points
	if !limits || points[len(points)-1].N < lines[0].rows {
		return r
	}
	r.Sufficient, r.HasThreshold = true, true
	for i, line := range lines {
		z := make([]float64, len(points))
		for k, w := range points {
			z[k] = math.NaN()
			if w.N >= line.rows {
				z[k] = line.z(w)
			}
		}
		if i == 0 {
			r.Statistic = z[len(z)-1]
		}
		for _, s := range chart.Signals(z, line.rules) {
			s.Rule = line.name + ": " + s.Rule
			r.Signals = append(r.Signals, s)
			if s.Index == len(points)-1 {
				r.Judged++
			}
		}
	}
	return r
}

// standard is a point in sigmas from the centre, beyond three exactly when it
// is beyond the limits, which need not be those of a normal distribution.
func standard(l chart.Limits, x float64) float64 {
	z := l.Z(x)
	beyond := float64(l.Beyond(x))
	switch {
	case beyond != 0 && !(math.Abs(z) > 3):
		return beyond * math.Nextafter(3, 4)
	case beyond == 0 && math.IsNaN(z):
		return 0
	case beyond == 0:
		return max(-3, min(3, z))
	}
	return z
}

func means(points []Point) (x []float64) {
	for _, w := range points {
		if w.N > 0 {
			x = append(x, w.Mean)
		}
	}
	return x
}

// rowsOf is a result with the rows of the points.
func rowsOf(in *Input) Result {
	var r Result
	for _, w := range in.Reference.Points {
		r.Reference += w.N
	}
	for _, w := range in.Current.Points {
		r.Current += w.N
	}
	return r
}
