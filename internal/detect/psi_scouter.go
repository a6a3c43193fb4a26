package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// psiScouter is the population stability index as Scouter computes it, for its
// numbers on migrated profiles: 1e-10 is added to both shares and all cells of
// the profile count, unseen rows do not. Its thresholds, χ²(1−α, B−1)/M and the
// normal approximation of that, take the reference for exact and B for the
// degrees of freedom: with cells that are empty, or a reference that is not far
// larger than the sample, they alarm on 10 to 100 % of windows without drift.
// There is no p-value that holds. [psi] is the better one.
var psiScouter = &Detector{
	Name: "psi_scouter", Help: "population stability index with Scouter's smoothing and thresholds",
	Params: []Param{
		alphaParam(), minimumParam(30),
		{Name: "normal", Help: "1: Scouter's normal threshold, 0: its chi-square one", Max: 1},
	},
	judge: func(in *Input, given params) Result {
		r := Result{Cells: make([]float64, len(in.Reference.Counts))}
		for i := range r.Cells {
			r.Reference += in.Reference.Counts[i]
			r.Current += in.Current.Counts[i]
		}
		if r.Reference == 0 || r.Current == 0 {
			return r
		}
		const smoothing = 1e-10
		for i := range r.Cells {
			p := float64(in.Reference.Counts[i])/float64(r.Reference) + smoothing
			q := float64(in.Current.Counts[i])/float64(r.Current) + smoothing
			r.Cells[i] = (p - q) * math.Log(p/q)
			r.Statistic += r.Cells[i] // in the order of the cells, as Scouter does
		}
		df, m := float64(max(len(r.Cells)-1, 0)), float64(r.Current)
		r.Threshold = stat.ChiSquareQuantile(given[Alpha], df) / m
		if given["normal"] == 1 {
			r.Threshold = (df + stat.NormalQuantile(given[Alpha])*math.Sqrt(2*df)) / m
		}
		r.Judged, r.HasThreshold = r.Statistic, true
		return r
	},
}
