package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/chart"
	"github.com/driftmesh/driftmesh/internal/exact"
)

// Sequential charts take centre and standard deviation of the windows' means
// from the reference as if they were known, and points to be independent. With
// few reference points they alarm oftener than their run length says. A window of
// another size than those of the reference is taken for one of theirs: see alike.

// RunLength is the parameter for the mean number of points to a false alarm.
const RunLength = "run_length"

func runLengthParam() Param {
	return Param{Name: RunLength, Help: "points to a false alarm, on average", Default: 1000, Min: 10, Max: 1e7}
}

// ewma is the exponentially weighted moving average of Roberts (1959), with
// limits that grow as its variance does (Lucas and Saccucci 1990) up to those
// that fixed ones need for the run length, which is then a little less: 365.9
// for 371.1.
var ewma = &Detector{
	Name: "ewma", Help: "exponentially weighted moving average of the windows' means",
	Needs: needPoints, Params: []Param{
		{Name: "lambda", Help: "weight of the newest point", Default: 0.2, Min: 0.05, Max: 1}, runLengthParam(), baselineParam(100), minutesParam(), sampleSizeParam(0),
	},
	judge: func(in *Input, p params) Result {
		c := &chart.EWMA{Lambda: p["lambda"], L: chart.EWMALimit(p["lambda"], p[RunLength])}
		return sequential(in, p, c, func() (float64, float64) { return c.Value, c.Width() })
	},
}

// cusum is the two-sided cumulative sum of Page (1954) with a limit for the run
// length. It has to be begun anew when an alarm is acknowledged.
var cusum = &Detector{
	Name: "cusum", Help: "cumulative sum of the windows' means",
	Needs: needPoints, Params: []Param{
		{Name: "k", Help: "half the shift to be found, in standard deviations", Default: 0.5, Min: 0.1, Max: 3}, runLengthParam(), baselineParam(100), minutesParam(), sampleSizeParam(0),
		{Name: "head_start", Help: "1 begins at half the limit", Default: 0, Min: 0, Max: 1},
	},
	judge: func(in *Input, p params) Result {
		c := chart.NewCUSUM(p["k"], chart.CUSUMLimit(p["k"], p[RunLength]), p["head_start"] >= 0.5)
		return sequential(in, p, c, func() (float64, float64) {
			if c.Down > c.Up {
				return -c.Down, c.H
			}
			return c.Up, c.H
		})
	},
}

// pageHinkley is Page's (1954) test against the running mean of the sample: see
// chart.PageHinkley for its run lengths.
var pageHinkley = &Detector{
	Name: "page_hinkley", Help: "cumulative sum against the running mean",
	Needs: needPoints, Params: []Param{
		{Name: "delta", Help: "what a point may be off, in standard deviations", Default: 0.1, Min: 0, Max: 3},
		{Name: "limit", Help: "the limit, in standard deviations", Default: 20, Min: 1, Max: 1e6}, baselineParam(100), minutesParam(), sampleSizeParam(0),
	},
	judge: func(in *Input, p params) Result {
		c := &chart.PageHinkley{Delta: p["delta"], Limit: p["limit"]}
		return sequential(in, p, c, func() (float64, float64) {
			if c.Down > c.Up {
				return -c.Down, c.Limit
			}
			return c.Up, c.Limit
		})
	},
}

// stepper is a chart that takes a point at a time.
type stepper interface{ Next(z float64) int }

// sequential runs a chart over the sample's points. The statistic is what now
// answers, with a sign, and its limit the threshold.
func sequential(in *Input, p params, c stepper, now func() (value, limit float64)) Result {
	r := rowsOf(in)
	reference := exact.Of(2, means(in.Reference.Points)...)
	sized := alike(in.Reference.Points)
	points := in.Current.Points
	if float64(reference.N()) < p[Baseline] || points[len(points)-1].N == 0 {
		return r
	}
	center, _ := reference.Mean()
	limits := chart.Limits{Center: center, Sigma: deviation(reference)}
	if limits.Sigma == 0 {
		// Nothing varies: any other value is as far away as can be.
		r.Caveats |= Constant
		limits.Sigma = math.SmallestNonzeroFloat64
	}
	for i, w := range points {
		z := math.NaN()
		if w.N > 0 {
			z = limits.Z(sized(w))
		}
		if c.Next(z) != 0 {
			r.Signals = append(r.Signals, Signal{Index: i, Rule: "limit"})
		}
	}
	r.Statistic, r.Threshold = now()
	r.Judged = math.Abs(r.Statistic)
	r.Sufficient, r.HasThreshold = true, true
	return r
}

// alike gives the mean that a window would have if it were as large as those of
// the reference, as far away in standard deviations as it is: the mean of n varies
// by V + σ²(1/n − 1/n₀), with the variance V of the reference's means, their size
// n₀ and the variance σ² within. That is at least σ²/n, what chance alone brings;
// V that is more, because windows differ by nature, stays as it is for any n. Where
// all windows have one size nothing changes.
func alike(reference []Point) func(Point) float64 {
	of, sizes, within := exact.NewMoments(2), exact.NewMoments(1), exact.NewMoments(1)
	for _, w := range reference {
		if w.N > 0 {
			of.Add(w.Mean)
			sizes.Add(1 / float64(w.N))
			within.Add(w.SD)
		}
	}
	center, _ := of.Mean()
	between := 0.0
	if of.N() >= 2 {
		between = deviation(of)
	}
	one, _ := sizes.Mean() // 1/n₀
	sd, _ := within.Mean()
	return func(w Point) float64 {
		share := 1 / float64(w.N)
		if share == one || sd == 0 || between == 0 || w.N == 0 {
			return w.Mean
		}
		// In units of the deviation within, whose squares do not overflow.
		v := between / sd
		v = math.Sqrt(max(v*v+share-one, share)) / v
		return held(center + (w.Mean/2-center/2)/v*2)
	}
}
