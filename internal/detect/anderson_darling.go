package detect

// andersonDarling is the Anderson–Darling statistic at the ends of cells (Scholz
// and Stephens 1987): Σπ(F−G)²/(T(1−T))/(1/N+1/M) with the pooled share π of a
// cell and T up to its end. It sees changes in the tails that Cramér and von
// Mises' statistic gives little weight.
var andersonDarling = orderedDetector("anderson_darling", "distance of cumulative shares, tails included: shifts and spread",
	func(_ *Input, t *table, l ladder, p params, r *Result) {
		weights := make([]float64, len(l.gap))
		for i, at := range l.grid {
			weights[i] = t.pooled(i) / (at * (1 - at))
		}
		l.quadratic(t, weights, 1/l.s, p, r)
	})
