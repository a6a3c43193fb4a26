package detect

import "math"

// psi is the population stability index, Jeffreys' divergence (Jeffreys 1946;
// Siddiqi 2006): Σ(p'−q')·ln(p'/q') with half a row added to each cell,
// p' = (r+½)/(N+B/2) and q' = (c+½)/(M+B/2), so that an empty cell is finite
// and one stray row is not a disaster. Under no drift PSI/(1/N+1/M) is
// chi-square with B−1 degrees of freedom (Yurdakul 2018).
//
// With an empty cell of large expectation the p-value is too small far out in
// the tail: the verdict is right, its digits are not.
var psi = func() *Detector {
	d := &divergence{cell: func(t *table, r, c uint64) float64 {
		half := float64(t.cells()) / 2
		n, m := float64(t.n)+half, float64(t.m)+half
		// p' − q' from whole numbers, so that it keeps its digits when it is small.
		gap := excess(r, t.n, c, t.m) + half*(float64(r)-float64(c)) + (float64(t.m)-float64(t.n))/2
		gap = gap / n / m
		return gap * math.Log1p(gap/((float64(c)+0.5)/m))
	}}
	d.tail, d.critical = chiSquared((*table).s, false)
	return countDetector("psi", "population stability index: any change of shares", d)
}()
