package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// jensenShannon is the Jensen–Shannon distance (Lin 1991; a metric, Endres and
// Schindelin 2003): √(½Σ[p·log₂(p/m) + q·log₂(q/m)]) with m = (p+q)/2, between 0
// and 1. Under no drift 8·ln2·JS²/(1/N+1/M) is chi-square with B−1 degrees of
// freedom; where a cell expects fewer than 25 rows that alarms too often and the
// p-value is drawn.
var jensenShannon = func() *Detector {
	d := &divergence{
		root: true,
		cell: func(t *table, r, c uint64) float64 {
			m := (float64(r)/float64(t.n) + float64(c)/float64(t.m)) / 2
			half := t.gap(r, c) / 2
			// A deviance has m − p more than p·ln(p/m): the two cancel.
			return (stat.Deviance(m, half) + stat.Deviance(m, -half)) / (2 * math.Ln2)
		},
		draws: below(25),
	}
	d.tail, d.critical = chiSquared(func(t *table) float64 { return t.s() / (8 * math.Ln2) }, true)
	return countDetector("jensen_shannon", "Jensen–Shannon distance, 0 to 1: any change of shares", d)
}()
