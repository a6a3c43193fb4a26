package detect

import "github.com/driftmesh/driftmesh/internal/stat"

// likelihoodRatio is the G test (Wilks 1938): 2Σ[r·ln(r/(Nπ)) + c·ln(c/(Mπ))]
// with the pooled share π, divided by Williams' correction for small samples
// (Williams 1976), chi-square with B−1 degrees of freedom.
var likelihoodRatio = func() *Detector {
	d := &divergence{
		cell: func(t *table, r, c uint64) float64 {
			pi := float64(r+c) / t.rows()
			d := excess(r, t.n, c, t.m) / t.rows() // r − Nπ
			// A deviance has Nπ − r more than r·ln(r/(Nπ)): the two cancel.
			return 2 * (stat.Deviance(float64(t.n)*pi, d) + stat.Deviance(float64(t.m)*pi, -d))
		},
	}
	d.tail, d.critical = chiSquared(williams, false)
	return countDetector("g", "likelihood ratio with Williams' correction: any change of shares", d)
}()

// williams is Williams' correction: what G is divided by.
func williams(t *table) float64 {
	inverse := make([]float64, t.cells())
	for i := range inverse {
		inverse[i] = 1 / t.pooled(i)
	}
	rows := t.rows()
	return 1 + (rows/float64(t.n)+rows/float64(t.m)-1)*(sum(inverse)-1)/(6*rows*t.df())
}
