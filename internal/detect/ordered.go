package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// ladder is the cumulative shares of a table of ordered cells, at the end of
// each cell but the last.
type ladder struct {
	gap  []float64 // F − G
	grid []float64 // the pooled share up to here
	s    float64
}

func (t *table) ladder() ladder {
	l := ladder{s: t.s()}
	var r, c uint64
	for i := range t.cells() - 1 {
		r, c = r+t.r[i], c+t.c[i]
		l.gap = append(l.gap, t.gap(r, c))
		l.grid = append(l.grid, float64(r+c)/t.rows())
	}
	return l
}

// judgeOrdered does what all detectors of ordered cells begin with, and leaves
// to judge a table of at least two cells whose shares are not all equal.
func judgeOrdered(judge func(in *Input, t *table, l ladder, p params, r *Result)) func(in *Input, p params) Result {
	return func(in *Input, p params) Result {
		t := in.table()
		r := Result{Reference: t.n, Current: t.m, Cells: make([]float64, len(in.Reference.Counts))}
		switch {
		case t.n == 0 || t.m == 0:
		case in.Current.Unseen > 0:
			r.Caveats = Unsuited // a row that has no place in the order
		case t.cells() < 2:
			r.P, r.Method, r.Caveats = 1, Exact, Constant
		default:
			judge(in, &t, t.ladder(), p, &r)
			if t.same() {
				r.P = 1
			}
		}
		return r
	}
}

// orderedDetector makes a detector of ordered cells.
func orderedDetector(name, help string, judge func(in *Input, t *table, l ladder, p params, r *Result), more ...Param) *Detector {
	return &Detector{
		Name: name, Help: help, Needs: Order, HasP: true, judge: judgeOrdered(judge),
		Params: append([]Param{alphaParam(), minimumParam(50)}, more...),
	}
}

// quadratic judges Σ weight·(F−G)²·scale, whose distribution under no drift is
// that of a Brownian bridge B: s·scale·Σ weight·B².
func (l ladder) quadratic(t *table, weights []float64, scale float64, p params, r *Result) {
	parts := make([]float64, len(weights))
	for i, w := range weights {
		parts[i] = w * scale * l.gap[i] * l.gap[i]
		r.Cells[t.at[i]] = parts[i]
	}
	r.Statistic = sum(parts)
	r.Judged, r.Method = r.Statistic, Asymptotic
	unit := l.s * scale
	r.P = stat.BridgeSquares(r.Statistic/unit, l.grid, weights)
	r.Threshold, r.HasThreshold = unit*stat.BridgeSquaresQuantile(p[Alpha], l.grid, weights), true
}

// middles are the middles of the cells of a table, by the bounds of the input.
func (in *Input) middles(t *table) []float64 {
	out := make([]float64, t.cells())
	for i, at := range t.at {
		out[i] = in.Bounds[at] + (in.Bounds[at+1]-in.Bounds[at])/2
	}
	return out
}

// spread is the standard deviation of the reference with its rows in the middle
// of their cells.
func (t *table) spread(middles []float64) float64 {
	mean, square := 0.0, 0.0
	for i, x := range middles {
		mean += x * (float64(t.r[i]) / float64(t.n))
	}
	for i, x := range middles {
		square += (x - mean) * (x - mean) * (float64(t.r[i]) / float64(t.n))
	}
	return math.Sqrt(square)
}
