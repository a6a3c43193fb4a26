package detect

// cramerVonMises is the Cramér–von Mises statistic at the ends of cells
// (Anderson 1962): Σπ(F−G)²/(1/N+1/M) with the pooled share π of a cell. The
// p-value is the exact one of its large-sample distribution on these cells.
var cramerVonMises = orderedDetector("cramer_von_mises", "squared distance of cumulative shares: shifts",
	func(_ *Input, t *table, l ladder, p params, r *Result) {
		weights := make([]float64, len(l.gap))
		for i := range weights {
			weights[i] = t.pooled(i)
		}
		l.quadratic(t, weights, 1/l.s, p, r)
	})
