package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// wasserstein is the Wasserstein-1 distance of values in the middle of their
// cells (Vallender 1974): Σ|F−G|·w with the distances w of neighbouring middles,
// in the unit of the feature, or of the reference's standard deviation. It is
// within half a cell's width on each side of that of the raw values. Infinite
// values are left out. The p-value is that of a lognormal distribution with the
// mean and variance that the sum has under no drift.
var wasserstein = &Detector{
	Name: "wasserstein", Help: "Wasserstein distance in the feature's unit: shifts by their size",
	Needs: Order | Bounds, HasP: true,
	Params: []Param{
		alphaParam(), minimumParam(50),
		{Name: "standardise", Help: "1: in standard deviations of the reference", Max: 1},
	},
	judge: func(in *Input, p params) Result {
		finite := *in
		for _, s := range []*Side{&finite.Reference, &finite.Current} {
			s.States.NegInf, s.States.PosInf = 0, 0
		}
		return judgeOrdered(judgeWasserstein)(&finite, p)
	},
}

func judgeWasserstein(in *Input, t *table, l ladder, p params, r *Result) {
	middles := in.middles(t)
	unit := 1.0
	if p["standardise"] == 1 {
		if unit = t.spread(middles); unit == 0 {
			r.Caveats = Constant // the reference has no unit
			return
		}
	}
	widths := make([]float64, len(l.gap))
	for i := range widths {
		widths[i] = (middles[i+1] - middles[i]) / unit
	}
	parts := make([]float64, len(widths))
	for i, w := range widths {
		parts[i] = w * math.Abs(l.gap[i])
		r.Cells[t.at[i]] = parts[i]
	}
	r.Statistic = sum(parts)
	r.Judged, r.Method = r.Statistic, Asymptotic
	mean, variance := l.areaMoments(widths)
	r.P, r.Threshold = areaTail(r.Statistic, mean, variance), areaCritical(p[Alpha], mean, variance)
	if len(widths) == 1 {
		deviation := mean / math.Sqrt(2/math.Pi)
		r.P, r.Threshold = min(2*stat.Normal(r.Statistic/deviation), 1), deviation*stat.NormalQuantile(p[Alpha]/2)
	}
	r.HasThreshold = true
}

// areaMoments are the mean and variance of Σw|X| for normal X with the
// covariance of F−G, s·(min(T,T')−T·T').
func (l ladder) areaMoments(widths []float64) (mean, variance float64) {
	grid, widths := thin(l.grid, widths)
	for i, t := range grid {
		di := widths[i] * math.Sqrt(t*(1-t)*l.s)
		mean += di
		variance += di * di * foldedCovariance(1)
		for j, u := range grid[:i] {
			dj := widths[j] * math.Sqrt(u*(1-u)*l.s)
			variance += 2 * di * dj * foldedCovariance(math.Sqrt(u/(1-u)*(1-t)/t))
		}
	}
	return math.Sqrt(2/math.Pi) * mean, variance
}

// thin joins neighbours of a long grid, whose double sum would take too long.
func thin(grid, widths []float64) (thinGrid, thinWidths []float64) {
	const most = 512
	if len(grid) <= most {
		return grid, widths
	}
	each := (len(grid) + most - 1) / most
	for i := 0; i < len(grid); i += each {
		end := min(i+each, len(grid))
		width := 0.0
		for _, w := range widths[i:end] {
			width += w
		}
		thinGrid, thinWidths = append(thinGrid, grid[(i+end)/2]), append(thinWidths, width)
	}
	return thinGrid, thinWidths
}

func areaTail(v, mean, variance float64) float64 {
	if v <= 0 || mean <= 0 || variance <= 0 {
		return 1
	}
	square := math.Log1p(variance / mean / mean)
	return stat.Normal((math.Log(v/mean) + square/2) / math.Sqrt(square))
}

func areaCritical(alpha, mean, variance float64) float64 {
	if mean <= 0 || variance <= 0 {
		return 0
	}
	square := math.Log1p(variance / mean / mean)
	return mean * math.Exp(stat.NormalQuantile(alpha)*math.Sqrt(square)-square/2)
}
