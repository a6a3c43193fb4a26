package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/internal/stat"
)

const (
	// trustedMean is how many values Student's t needs.
	trustedMean = 30
	// cochran is how many values a squared skewness needs for a normal mean
	// (Cochran, Sampling Techniques, 1977).
	cochran = 25
)

// mean is the change of the mean.
//
// Welch (1947): t = (ȳ − x̄)/√(A+B) with A = s²/N of the reference and B = s²/M of
// the sample, and (A+B)²/(A²/(N−1) + B²/(M−1)) degrees of freedom. The rate
// holds when both sides have 25·g₁² values, g₁ the skewness (Cochran's rule);
// with a tenth of that, of a lognormal, it is 7.8 % at 5 %, and the result is
// marked Skewed. That is seen only with moments up to the third.
var mean = &Detector{
	Name: "mean", Help: "change of the mean (Welch)",
	Needs: needMoments, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
	judge: func(in *Input, p params) Result {
		return welch(in.Reference.Moments, in.Current.Moments, p)
	},
}

// spread is the change of the mean distance from the reference's median.
//
// Brown and Forsythe (1974), with one centre for both sides so that windows can
// be merged: Welch's t on |x − c|. A mean that moves raises the spread about the
// old centre too: read it beside the mean.
var spread = &Detector{
	Name: "spread", Help: "change of the distance from the reference's median (Brown and Forsythe)",
	Needs: needDeviations, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
	judge: func(in *Input, p params) Result {
		return welch(in.Reference.Deviations, in.Current.Deviations, p)
	},
}

func atLeast(rows, least float64) Param {
	p := minimumParam(rows)
	p.Min = least
	return p
}

// welch compares two means. The statistic is t, with the sign of the change.
func welch(a, b *exact.Moments, p params) Result {
	r := Result{Reference: a.N(), Current: b.N()}
	if a.N() < 2 || b.N() < 2 {
		return r
	}
	d, cut := meanChange(a, b)
	r.Caveats |= cut | skewed(a, b)
	r.Method = Asymptotic
	if a.Constant() && b.Constant() {
		r.Caveats |= Constant
		r.P, r.Method = 1, Exact
		if d != 0 {
			r.P, r.Statistic = 0, math.Copysign(math.MaxFloat64, d)
		}
		return r
	}
	ea, eb := standardError(a), standardError(b)
	se := math.Hypot(ea, eb)
	share := ea / se // of the standard error, whose squares might vanish
	share *= share
	df := 1 / (share*share/float64(a.N()-1) + (1-share)*(1-share)/float64(b.N()-1))
	r.Statistic = held(d / se)
	r.Judged = math.Abs(r.Statistic)
	r.P = min(1, 2*stat.Student(r.Judged, df))
	r.Threshold, r.HasThreshold = stat.StudentQuantile(p[Alpha]/2, df), true
	return r
}

// meanChange is the mean of b less that of a, cut off at what a float64 holds.
func meanChange(a, b *exact.Moments) (float64, Caveat) {
	d, err := exact.Difference(a, b)
	if err == nil {
		return d, 0
	}
	x, _ := a.Mean()
	y, _ := b.Mean()
	return math.Copysign(math.MaxFloat64, y/2-x/2), Overflow
}

// standardError is s/√n, cut off likewise; it is 0 for constants alone.
func standardError(m *exact.Moments) float64 {
	if m.Constant() {
		return 0
	}
	return max(deviation(m)/math.Sqrt(float64(m.N())), math.SmallestNonzeroFloat64)
}

// deviation is the standard deviation, which is 0 for constants alone.
func deviation(m *exact.Moments) float64 {
	sd, err := m.StdDev()
	switch {
	case err != nil:
		return math.MaxFloat64
	case sd == 0 && !m.Constant():
		return math.SmallestNonzeroFloat64
	}
	return sd
}

// skewed applies Cochran's rule where the third moment is known.
func skewed(a, b *exact.Moments) Caveat {
	n := float64(min(a.N(), b.N()))
	for _, m := range []*exact.Moments{a, b} {
		if g, err := m.Skewness(); err == nil && n < cochran*g*g {
			return Skewed
		}
	}
	return 0
}

// held cuts off an infinite number.
func held(x float64) float64 { return max(-math.MaxFloat64, min(math.MaxFloat64, x)) }
