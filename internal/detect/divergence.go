package detect

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// divergence is a distance of two lists of shares that is put together from its
// cells.
type divergence struct {
	// cell is what a cell with r and c rows adds; it is never negative.
	cell func(t *table, r, c uint64) float64
	// total makes the distance of what the cells add: a sum when it is nil.
	total func(cells []float64) float64
	// root says that the distance is the square root of the total.
	root bool
	// tail is the chance of at least this distance in large samples.
	tail func(t *table, distance float64) float64
	// critical is the distance whose tail is alpha.
	critical func(t *table, alpha float64) float64
	// draws says when, beyond small samples, tail is not good enough. It may be
	// nil.
	draws func(t *table) bool
}

// work bounds the cells and values that are drawn for one p-value: a second or
// so, which only a p-value near a tiny alpha takes.
const work = 1e8

// judge computes the distance of all cells, and its p-value by whichever way
// holds its rate.
func (d *divergence) judge(in *Input, p params) Result {
	t := in.table()
	r := Result{Reference: t.n, Current: t.m, Cells: make([]float64, len(in.Reference.Counts))}
	if t.n == 0 || t.m == 0 {
		return r
	}
	if t.cells() < 2 {
		r.P, r.Method, r.Caveats = 1, Exact, Constant
		return r
	}
	same := t.same()
	parts := d.parts(&t)
	if same { // smoothing would leave a trace of unequal totals
		clear(parts)
	}
	r.Statistic = d.distance(parts)
	for i, at := range t.at {
		if at == len(r.Cells) {
			r.Unseen = parts[i]
		} else {
			r.Cells[at] = parts[i]
		}
	}
	merged := t.merge(in)
	sparse := 2*merged.cells() < t.cells() || d.draws != nil && d.draws(&t)
	if limit := p[DrawBelow]; float64(min(t.n, t.m)) < limit || sparse && limit > 0 {
		// An unseen category has no rows in the reference by selection, not by
		// chance: it is compared inside the rest.
		drawn := t
		if in.Current.Unseen > 0 {
			drawn = merged
			if merged.cells() < 2 {
				drawn = t.gatherSome(len(r.Cells))
			}
			r.Caveats |= Merged
		}
		if d.monteCarlo(&drawn, in.Seed, p, &r) {
			r.settleSame(same)
			return r
		}
		r.Caveats |= Sparse
	}
	d.asymptotic(&t, &merged, p, &r)
	r.settleSame(same)
	return r
}

// settleSame gives equal shares their p-value of exactly 1.
func (r *Result) settleSame(same bool) {
	if same {
		r.P, r.Judged = 1, 0
	}
}

func (d *divergence) asymptotic(t, merged *table, p params, r *Result) {
	r.Method = Asymptotic
	if merged.cells() < t.cells() {
		r.Caveats |= Merged
	} else {
		r.Caveats &^= Merged
	}
	if merged.cells() < 2 {
		r.P = 1
		return
	}
	r.Judged = d.distance(d.parts(merged))
	r.P = d.tail(merged, r.Judged)
	r.Threshold, r.HasThreshold = d.critical(merged, p[Alpha]), true
}

func (d *divergence) parts(t *table) []float64 {
	parts := make([]float64, t.cells())
	for i := range parts {
		parts[i] = max(d.cell(t, t.r[i], t.c[i]), 0)
	}
	return parts
}

func (d *divergence) distance(parts []float64) float64 {
	add := sum
	if d.total != nil {
		add = d.total
	}
	if d.root {
		return math.Sqrt(add(parts))
	}
	return add(parts)
}

const (
	// firstDraws are always made all: they give the threshold too.
	firstDraws = 20_000
	// enoughBeyond ends the draws after those: the p-value is then known to 10 %
	// (Besag and Clifford 1991, who show that it stays a valid one). So does none
	// beyond in noneFor/alpha draws: it is then a fraction of alpha at most.
	enoughBeyond = 100
	noneFor      = 5
	// slack makes equal distances equal that were added up in another order.
	slack = 1e-12
)

// monteCarlo draws the split of each cell's rows onto the two sides, given the
// pooled counts, and counts how often the distance is at least that of the
// input. It is false when that would take too long.
func (d *divergence) monteCarlo(t *table, seed uint64, p params, r *Result) bool {
	alpha := p[Alpha]
	draws := int(max(p[Replicates], math.Ceil(20/alpha)))
	cost := float64(t.cells()) + min(float64(min(t.n, t.m)), 30*float64(t.cells()))
	if noneFor/alpha*cost > work {
		return false
	}
	goOn := func(made, beyond int) bool {
		if made < min(draws, firstDraws) {
			return true
		}
		decided := beyond >= enoughBeyond || beyond == 0 && float64(made) >= noneFor/alpha
		return made < draws && !decided && float64(made)*cost < work
	}
	parts := d.parts(t)
	judged := d.distance(parts)
	least := judged * (1 - slack)
	pooled := make([]uint64, t.cells())
	for i := range pooled {
		pooled[i] = t.r[i] + t.c[i]
	}
	urn := stat.NewUrn(pooled)
	source := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	drawn := make([]uint64, t.cells())
	seen := make([]float64, 0, min(draws, firstDraws))
	beyond, made := 0, 0
	for ; goOn(made, beyond); made++ {
		urn.Draw(source, t.m, drawn)
		for i, c := range drawn {
			parts[i] = d.cell(t, pooled[i]-c, c)
		}
		v := d.unsorted(parts)
		if v >= least {
			beyond++
		}
		if made < firstDraws {
			seen = append(seen, v)
		}
	}
	r.Judged, r.Method = judged, MonteCarlo
	r.P = float64(1+beyond) / float64(1+made)
	if k := int(alpha*float64(made+1) + slack); made == draws && made == len(seen) && k > 0 {
		slices.Sort(seen)
		r.Threshold, r.HasThreshold = seen[made-k], true
	}
	return true
}

// unsorted is the distance to within rounding.
func (d *divergence) unsorted(parts []float64) float64 {
	if d.total != nil {
		return d.distance(parts)
	}
	total := 0.0
	for _, v := range parts {
		total += v
	}
	if d.root {
		return math.Sqrt(max(total, 0))
	}
	return total
}

// chiSquared makes the tail of a distance that is chi-square in large samples,
// on all degrees of freedom, once it is divided by scale; squared says that its
// square is.
func chiSquared(scale func(t *table) float64, squared bool) (tail, critical func(*table, float64) float64) {
	tail = func(t *table, v float64) float64 {
		if squared {
			v *= v
		}
		return stat.ChiSquare(v/scale(t), t.df())
	}
	critical = func(t *table, alpha float64) float64 {
		v := scale(t) * stat.ChiSquareQuantile(alpha, t.df())
		if squared {
			return math.Sqrt(v)
		}
		return v
	}
	return tail, critical
}

// below says whether some cell expects fewer rows of the smaller side.
func below(rows float64) func(t *table) bool {
	return func(t *table) bool {
		for i := range t.r {
			if t.expected(t.r[i]+t.c[i]) < rows {
				return true
			}
		}
		return false
	}
}

// countDetector makes a detector of a divergence.
func countDetector(name, help string, d *divergence, more ...Param) *Detector {
	return &Detector{
		Name: name, Help: help, HasP: true, judge: d.judge,
		Params: append([]Param{alphaParam(), minimumParam(30), replicatesParam(), drawBelowParam()}, more...),
	}
}
