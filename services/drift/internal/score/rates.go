package score

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// bandRate is how often a value is outside of mean ± k·sd of so many others like it,
// normal and independent: (x − mean)/sd·√((K−1)/(K+1)) is Student's t with K−1 degrees
// of freedom. 3 sd of 10 are 2.4 %, and never the 0.27 % of the normal distribution;
// with skewed statistics it is more.
func bandRate(k float64, chunks int) float64 {
	n := float64(chunks)
	return 2 * stat.Student(k*math.Sqrt((n-1)/(n+1)), n-1)
}

// budgetLevel is the level of each of so many evaluations that spends a number of pages
// exactly: where nothing moved, that is the chance of an alarm of any test of one, and
// their sum is what to expect, whatever depends on what. Without evaluations it is 1.
func budgetLevel(pages, evaluations float64) float64 {
	if evaluations <= 0 {
		return 1
	}
	return min(1, max(0, pages/evaluations))
}
