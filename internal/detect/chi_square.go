package detect

// chiSquare is Pearson's test of two samples (Pearson 1900):
// Σ(M·r−N·c)²/(r+c)/(N·M), chi-square with B−1 degrees of freedom.
var chiSquare = func() *Detector {
	d := &divergence{cell: func(t *table, r, c uint64) float64 {
		if r+c == 0 {
			return 0
		}
		gap := excess(r, t.n, c, t.m)
		return gap / float64(t.n) * (gap / float64(t.m)) / float64(r+c)
	}}
	d.tail, d.critical = chiSquared(func(*table) float64 { return 1 }, false)
	return countDetector("chi_square", "Pearson's chi-square of two samples: any change of shares", d)
}()
