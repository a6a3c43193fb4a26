package detect

import "math"

// hellinger is Hellinger's distance (Hellinger 1909): √(½Σ(√p−√q)²), between 0
// and 1. Under no drift 8·H²/(1/N+1/M) is chi-square with B−1 degrees of
// freedom; where a cell expects fewer than 25 rows that alarms too often and the
// p-value is drawn.
var hellinger = func() *Detector {
	d := &divergence{
		root: true,
		cell: func(t *table, r, c uint64) float64 {
			p, q := float64(r)/float64(t.n), float64(c)/float64(t.m)
			if p+q == 0 {
				return 0
			}
			// √p − √q = (p−q)/(√p+√q) keeps the digits of close shares.
			gap := t.gap(r, c) / (math.Sqrt(p) + math.Sqrt(q))
			return gap * gap / 2
		},
		draws: below(25),
	}
	d.tail, d.critical = chiSquared(func(t *table) float64 { return t.s() / 8 }, true)
	return countDetector("hellinger", "Hellinger's distance, 0 to 1: any change of shares", d)
}()
