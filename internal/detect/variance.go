package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/internal/stat"
)

// logVariance is the change of the variance.
//
// Layard (1973): z = ln(s²_b/s²_a)/√Σ(κ − (n−3)/(n−1))/n over both sides, with
// their pooled kurtosis κ, against the normal distribution. It wants moments up
// to the fourth, and with heavy tails large samples: a lognormal at N = M =
// 1,000 alarms on 8.3 % at 5 %.
var logVariance = &Detector{
	Name: "log_variance", Help: "change of the variance, by its logarithm (Layard)",
	Needs: needMoments, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
	judge: func(in *Input, p params) Result {
		a, b := in.Reference.Moments, in.Current.Moments
		r, ok := twoVariances(a, b)
		if !ok {
			return r
		}
		ka, errA := a.Kurtosis()
		kb, errB := b.Kurtosis()
		if errA != nil || errB != nil {
			r.Caveats |= Unsuited
			return r
		}
		n, m := float64(a.N()), float64(b.N())
		kurtosis := ka*(n/(n+m)) + kb*(m/(n+m))
		se := math.Sqrt((kurtosis-(n-3)/(n-1))/n + (kurtosis-(m-3)/(m-1))/m)
		r.Statistic = 2 * logRatio(a, b) / se
		r.Judged = math.Abs(r.Statistic)
		r.P, r.Method = min(1, 2*stat.Normal(r.Judged)), Asymptotic
		r.Threshold, r.HasThreshold = stat.NormalQuantile(p[Alpha]/2), true
		return r
	},
}

// variance is the classical F test of two variances: s²_b/s²_a, twice the
// smaller tail. It is there by name only, because it believes in normal values:
// on a lognormal it alarms on 65 to 72 % at 5 %. Use spread.
var variance = &Detector{
	Name: "variance", Help: "change of the variance of normal values (F); wrong for any other: see spread",
	Needs: needMoments, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
	judge: func(in *Input, p params) Result {
		a, b := in.Reference.Moments, in.Current.Moments
		r, ok := twoVariances(a, b)
		if !ok {
			return r
		}
		f := held(math.Exp(2 * logRatio(a, b)))
		n, m := float64(a.N()-1), float64(b.N()-1)
		r.Statistic, r.Judged, r.Method = f, f, Asymptotic
		lower := 0.0
		if f > 0 {
			lower = stat.F(held(1/f), n, m)
		}
		r.P = min(1, 2*min(stat.F(f, m, n), lower))
		return r
	},
}

// twoVariances is not ok when a side has none or is constant: there is no
// logarithm of 0 then, and no verdict.
func twoVariances(a, b *exact.Moments) (Result, bool) {
	r := Result{Reference: a.N(), Current: b.N()}
	switch {
	case a.N() < 2 || b.N() < 2:
		return r, false
	case a.Constant() || b.Constant():
		r.Caveats |= Constant | Unsuited
		return r, false
	}
	return r, true
}

// logRatio is the logarithm of the ratio of the standard deviations.
func logRatio(a, b *exact.Moments) float64 {
	return math.Log(deviation(b)) - math.Log(deviation(a))
}
