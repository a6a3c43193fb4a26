package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// ks is the Kolmogorov–Smirnov distance at the ends of cells (Smirnov 1948):
// max|F−G|, never more than that of the raw values. The p-value is exact, ties
// included, for small samples (Schröer and Trenkler 1995), and that of a
// Brownian bridge at the ends of the cells beyond: Kolmogorov's tail takes every
// point for a cell's end and would alarm at a third of the rate. The threshold
// is the bridge's either way.
var ks = orderedDetector("ks", "Kolmogorov–Smirnov distance of cumulative shares: shifts",
	func(_ *Input, t *table, l ladder, p params, r *Result) {
		for i, g := range l.gap {
			r.Cells[t.at[i]] = math.Abs(g)
			r.Statistic = max(r.Statistic, math.Abs(g))
		}
		r.Judged = r.Statistic
		unit := math.Sqrt(l.s)
		if float64(t.n)*float64(t.m) <= p["exact"] {
			r.P, r.Method = stat.Smirnov(t.r, t.c), Exact
		} else {
			r.P, r.Method = stat.Bridge(r.Statistic/unit, l.grid), Asymptotic
		}
		r.Threshold, r.HasThreshold = unit*stat.BridgeQuantile(p[Alpha], l.grid), true
	},
	Param{Name: "exact", Help: "greatest product of both samples for an exact p-value", Default: 1e6, Max: 1e8})
