package profile

import (
	"cmp"
	"math"
	"slices"
)

// mainComponents are the eigenvectors of a covariance matrix, given as its upper
// triangle, with the greatest eigenvalues: as few as make up the explained share of
// all. The sign of each is such that its greatest element is positive.
func mainComponents(n int, triangle []float64) [][]float64 {
	values, vectors := eigen(n, triangle)
	order := make([]int, n)
	total := 0.0
	for i := range order {
		order[i] = i
		total += max(values[i], 0)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	kept, found := 0.0, [][]float64{}
	for _, i := range order {
		if kept >= explained*total*(1-1e-12) {
			break
		}
		kept += values[i]
		v := vectors[i]
		if top := slices.MaxFunc(v, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) }); top < 0 {
			for k := range v {
				v[k] = -v[k]
			}
		}
		found = append(found, v)
	}
	return found
}

// eigen are the eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's
// rotations (Golub and Van Loan 1996, 8.4): for a few dozen rows as exact as any,
// and the same digits everywhere, for no product is fused into a sum.
func eigen(n int, triangle []float64) (values []float64, vectors [][]float64) {
	a, at := make([][]float64, n), 0
	vectors = make([][]float64, n)
	for i := range n {
		a[i], vectors[i] = make([]float64, n), make([]float64, n)
		vectors[i][i] = 1
	}
	for i := range n {
		for j := i; j < n; j++ {
			a[i][j], a[j][i] = triangle[at], triangle[at]
			at++
		}
	}
	const sweeps = 60 // it takes about six
	for range sweeps {
		turned := false
		for p := range n {
			for q := p + 1; q < n; q++ {
				turned = rotate(a, vectors, p, q) || turned
			}
		}
		if !turned {
			break
		}
	}
	values = make([]float64, n)
	for i := range values {
		values[i] = a[i][i]
	}
	return values, vectors
}

// rotate makes the element p, q of a zero; it reports whether there was anything to
// do. The rows of vectors are turned with it.
func rotate(a, vectors [][]float64, p, q int) bool {
	off := a[p][q]
	if math.Abs(off) <= 1e-18*math.Sqrt(math.Abs(a[p][p]))*math.Sqrt(math.Abs(a[q][q])) {
		return false
	}
	tau := (a[q][q] - a[p][p]) / (2 * off)
	t := 1 / (math.Abs(tau) + math.Sqrt(1+float64(tau*tau)))
	if tau < 0 {
		t = -t
	}
	c := 1 / math.Sqrt(1+float64(t*t))
	s := t * c
	turn := func(x, y *float64) {
		u, v := *x, *y
		*x, *y = float64(c*u)-float64(s*v), float64(s*u)+float64(c*v)
	}
	for k := range a {
		turn(&a[k][p], &a[k][q])
	}
	for k := range a {
		turn(&a[p][k], &a[q][k])
		turn(&vectors[p][k], &vectors[q][k])
	}
	a[p][q], a[q][p] = 0, 0
	return true
}
