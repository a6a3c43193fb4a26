package detect

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// table is the cells that exist: those that some row of either side is in.
type table struct {
	r, c []uint64
	n, m uint64
	// at is the input's cell; that of the unseen categories, which are one cell
	// of the table, is the number of cells.
	at []int
}

// table returns the cells of an input, infinite values in the end cells.
func (in *Input) table() table {
	cells := len(in.Reference.Counts)
	var t table
	for i := range cells {
		r, c := in.Reference.Counts[i], in.Current.Counts[i]
		if in.Kind.Ordered() && i == 0 {
			r, c = r+in.Reference.States.NegInf, c+in.Current.States.NegInf
		}
		if in.Kind.Ordered() && i == cells-1 {
			r, c = r+in.Reference.States.PosInf, c+in.Current.States.PosInf
		}
		t.add(r, c, i)
	}
	t.add(0, in.Current.Unseen, cells)
	return t
}

func (t *table) add(r, c uint64, at int) {
	if r+c == 0 {
		return
	}
	t.r, t.c, t.at = append(t.r, r), append(t.c, c), append(t.at, at)
	t.n, t.m = t.n+r, t.m+c
}

func (t *table) cells() int    { return len(t.r) }
func (t *table) rows() float64 { return float64(t.n) + float64(t.m) }

// s is 1/N + 1/M: what every variance under no drift is proportional to.
func (t *table) s() float64 { return 1/float64(t.n) + 1/float64(t.m) }

// df is the degrees of freedom of a comparison of all cells.
func (t *table) df() float64 { return float64(t.cells() - 1) }

// pooled is the share of cell i of both sides together.
func (t *table) pooled(i int) float64 { return float64(t.r[i]+t.c[i]) / t.rows() }

// expected is what the smaller side expects in a cell of so many rows.
func (t *table) expected(rows uint64) float64 {
	return float64(rows) / t.rows() * float64(min(t.n, t.m))
}

// excess is M·r − N·c, with all its digits before it is rounded: so it is 0
// exactly when the shares are equal.
func excess(r, n, c, m uint64) float64 {
	high, low := bits.Mul64(m, r)
	high2, low2 := bits.Mul64(n, c)
	if high < high2 || high == high2 && low < low2 {
		return -excess(c, m, r, n)
	}
	low, borrow := bits.Sub64(low, low2, 0)
	high, _ = bits.Sub64(high, high2, borrow)
	return math.Ldexp(float64(high), 64) + float64(low)
}

// gap is r/N − c/M.
func (t *table) gap(r, c uint64) float64 {
	return excess(r, t.n, c, t.m) / float64(t.n) / float64(t.m)
}

// same says that all shares are equal.
func (t *table) same() bool {
	for i := range t.r {
		if excess(t.r[i], t.n, t.c[i], t.m) != 0 {
			return false
		}
	}
	return true
}

// enough rows in a cell for the large-sample distribution of a sum over cells.
const enough = 5

// merge joins cells that are too rare for a large-sample p-value. The rule must
// not look at one side alone, or it would choose its own alarms.
func (t *table) merge(in *Input) table {
	if in.Kind == Quantiles {
		return t.groupNeighbours()
	}
	return t.gatherRare(len(in.Reference.Counts))
}

// gatherRare puts cells that expect fewer than 5 rows of the smaller side, and
// all unseen categories, into one; and that, when it is still too small, into
// the smallest other.
func (t *table) gatherRare(unseen int) table {
	var out table
	var r, c uint64
	for i := range t.r {
		if t.at[i] == unseen || t.expected(t.r[i]+t.c[i]) < enough {
			r, c = r+t.r[i], c+t.c[i]
			continue
		}
		out.add(t.r[i], t.c[i], t.at[i])
	}
	if r+c == 0 {
		return out
	}
	if out.cells() > 0 && t.expected(r+c) < enough {
		least := 0
		for i := range out.r {
			if cmp.Or(cmp.Compare(out.r[i]+out.c[i], out.r[least]+out.c[least]), cmp.Compare(out.r[i], out.r[least])) < 0 {
				least = i
			}
		}
		out.r[least], out.c[least] = out.r[least]+r, out.c[least]+c
		out.n, out.m = out.n+r, out.m+c
		return out
	}
	out.add(r, c, unseen)
	return out
}

// gatherSome is gatherRare for samples that are so small that every cell would
// go: only the rarest cells join the unseen categories, until those expect 5
// rows.
func (t *table) gatherSome(unseen int) table {
	order := make([]int, 0, t.cells())
	var out table
	var r, c uint64
	for i, at := range t.at {
		if at == unseen {
			r, c = t.r[i], t.c[i]
			continue
		}
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(t.r[a]+t.c[a], t.r[b]+t.c[b]), cmp.Compare(t.r[b], t.r[a]))
	})
	for k, i := range order {
		if t.expected(r+c) < enough && k < len(order)-1 {
			r, c = r+t.r[i], c+t.c[i]
			continue
		}
		out.add(t.r[i], t.c[i], t.at[i])
	}
	out.add(r, c, unseen)
	return out
}

// groupNeighbours joins quantile cells until each expects 5 rows of the smaller
// side by the share of the reference alone, which is no chance there.
func (t *table) groupNeighbours() table {
	var out table
	var r, c uint64
	need := enough / float64(min(t.n, t.m))
	for i := range t.r {
		r, c = r+t.r[i], c+t.c[i]
		if float64(r) >= need*float64(t.n) {
			out.add(r, c, t.at[i])
			r, c = 0, 0
		}
	}
	if last := out.cells() - 1; last >= 0 {
		out.r[last], out.c[last] = out.r[last]+r, out.c[last]+c
		out.n, out.m = out.n+r, out.m+c
	} else {
		out.add(r, c, 0)
	}
	return out
}

// sum adds in ascending order, so that the order of the cells changes no digit.
func sum(v []float64) float64 {
	sorted := slices.Clone(v)
	slices.Sort(sorted)
	total := 0.0
	for _, x := range sorted {
		total += x
	}
	return total
}
