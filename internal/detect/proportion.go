package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// proportion compares the share of one cell: z = (q−p)/√(π(1−π)(1/N+1/M)) with
// the pooled share π, normal in large samples. z² is the chi-square of the two
// cells. When some of the four cells expects fewer than 5 rows the p-value is
// Fisher's exact one (Fisher 1935), or on request its mid-p (Lancaster 1961),
// which alarms nearer to the nominal rate and sometimes above it.
var proportion = &Detector{
	Name: "proportion", Help: "share of one cell against all others", HasP: true,
	Params: []Param{
		alphaParam(), minimumParam(1),
		{Name: "cell", Help: "position of the cell", Default: 1, Max: 1e6},
		{Name: "mid_p", Help: "1: mid-p instead of Fisher's exact p-value where that is used", Max: 1},
	},
	judge: func(in *Input, p params) Result {
		at := int(p["cell"])
		if at >= len(in.Reference.Counts) {
			return Result{Caveats: Unsuited}
		}
		all := in.table()
		t := stat.Table{N: all.n, M: all.m}
		for i, cell := range all.at {
			if cell == at {
				t.HitsA, t.HitsB = all.r[i], all.c[i]
			}
		}
		r := compareShares(t, p)
		r.Cells = make([]float64, len(in.Reference.Counts))
		r.Cells[at] = r.Statistic
		return r
	},
}

// compareShares is the test of two shares; p has alpha, and mid_p or not.
func compareShares(t stat.Table, p params) Result {
	r := Result{Reference: t.N, Current: t.M}
	hits, rows := t.HitsA+t.HitsB, t.N+t.M
	switch {
	case t.N == 0 || t.M == 0:
		return r
	case hits == 0 || hits == rows:
		r.P, r.Method, r.Caveats = 1, Exact, Constant
		return r
	}
	pi := float64(hits) / float64(rows)
	deviation := math.Sqrt(pi * (float64(rows-hits) / float64(rows)) * (1/float64(t.N) + 1/float64(t.M)))
	r.Statistic = excess(t.HitsB, t.M, t.HitsA, t.N) / float64(t.N) / float64(t.M) / deviation
	r.Judged = math.Abs(r.Statistic)
	if float64(min(t.N, t.M))*(float64(min(hits, rows-hits))/float64(rows)) >= enough {
		r.P, r.Method = min(2*stat.Normal(r.Judged), 1), Asymptotic
		r.Threshold, r.HasThreshold = stat.NormalQuantile(p[Alpha]/2), true
		return r
	}
	exact, mid := stat.Fisher(t)
	r.P, r.Method = exact, Exact
	if p["mid_p"] == 1 {
		r.P = mid
	}
	if r.Judged == 0 {
		r.P = 1
	}
	return r
}
