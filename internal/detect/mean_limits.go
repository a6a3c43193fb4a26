package detect

import "math"

// meanLimits holds the mean of the sample against two limits of the user's, without
// a reference. The statistic is the mean; judged is how far it is outside of them.
var meanLimits = &Detector{
	Name: "mean_limits", Help: "mean of the sample against limits, without a reference",
	Needs: needSampleMoments,
	Params: []Param{
		{Name: "low", Help: "the mean must not be below", Default: -math.MaxFloat64, Min: -math.MaxFloat64, Max: math.MaxFloat64},
		{Name: "high", Help: "the mean must not be above", Default: math.MaxFloat64, Min: -math.MaxFloat64, Max: math.MaxFloat64},
	},
	judge: func(in *Input, p params) Result {
		r := Result{Current: in.Current.Moments.N()}
		if r.Current == 0 {
			return r
		}
		r.Statistic, _ = in.Current.Moments.Mean()
		// Differences of two floats have the right sign, however near they are.
		r.Judged = max(p["low"]-r.Statistic, r.Statistic-p["high"])
		r.HasThreshold, r.Sufficient = true, true
		return r
	},
}
