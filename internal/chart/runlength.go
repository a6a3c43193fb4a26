package chart

import (
	"math"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/mat"

	"github.com/driftmesh/driftmesh/internal/stat"
)

const (
	// nodes is how many points an integral equation is solved at. The kernels
	// are normal densities, so that Gauss and Legendre's nodes agree with four
	// times as many to ten digits up to the widest limit.
	nodes = 64
	// widestH and widestL bound the limits that are looked for.
	widestH = 40
	widestL = 8
	// steps halve the interval of a limit that often: to 1e-13 of it.
	steps = 44
)

// rule has the nodes and weights of an integral from low to high.
func rule(low, high float64) (x, w []float64) {
	x, w = make([]float64, nodes), make([]float64, nodes)
	quad.Legendre{}.FixedLocations(x, w, low, high)
	return x, w
}

// solve returns the mean run lengths at the nodes x: L = 1 + ∫K·L, plus what
// leads back to the first node where there is an atom there.
func solve(n int, kernel func(i, j int) float64) []float64 {
	a, b := mat.NewDense(n, n, nil), mat.NewVecDense(n, nil)
	for i := range n {
		for j := range n {
			a.Set(i, j, -kernel(i, j))
		}
		a.Set(i, i, 1+a.At(i, i))
		b.SetVec(i, 1)
	}
	var l mat.VecDense
	// The one error is a warning of a bad condition, which very long runs have.
	_ = l.SolveVec(a, b)
	return l.RawVector().Data
}

// CUSUMRunLength is the mean number of points to the first signal of a two-sided
// CUSUM when the points are independent and normal with variance 1 and the given
// mean: the integral equation of each side (Page 1954), joined as by Lucas and
// Crosier (1982).
func CUSUMRunLength(k, h, mean float64, headStart bool) float64 {
	up, upStart := cusumSide(k, h, mean)
	down, downStart := cusumSide(k, h, -mean)
	if headStart {
		return (upStart*down + downStart*up - up*down) / (up + down)
	}
	return up * down / (up + down)
}

// cusumSide is the run length of the upper sum from 0 and from half the limit.
func cusumSide(k, h, mean float64) (fromZero, fromHalf float64) {
	x, w := rule(0, h)
	at := append([]float64{0}, x...) // an atom at 0, then the nodes
	step := func(from float64, j int) float64 {
		if j == 0 {
			return stat.Normal(from - k + mean) // P(z ≤ k − from)
		}
		return w[j-1] * density(at[j]-from+k-mean)
	}
	l := solve(len(at), func(i, j int) float64 { return step(at[i], j) })
	fromHalf = 1
	for j := range l {
		fromHalf += step(h/2, j) * l[j]
	}
	return l[0], fromHalf
}

// EWMARunLength is the mean number of points to the first signal of an EWMA when
// the points are independent and normal with variance 1 and the given mean
// (Crowder 1987; for limits that grow, step by step until they do no longer).
func EWMARunLength(lambda, l, mean float64, fixed bool) float64 {
	e := EWMA{Lambda: lambda, L: l, Fixed: true}
	width := e.Width()
	move := func(to, from float64) float64 {
		return density((to-(1-lambda)*from)/lambda-mean) / lambda
	}
	x, w := rule(-width, width)
	lengths := solve(nodes, func(i, j int) float64 { return w[j] * move(x[j], x[i]) })
	if fixed {
		total := 1.0
		for j := range x {
			total += w[j] * move(x[j], 0) * lengths[j]
		}
		return total
	}
	// The density of the mean, given that there was no signal, at the nodes of
	// each step's limits.
	e.Fixed, e.N = false, 1
	from, weights := rule(-e.Width(), e.Width())
	f := make([]float64, nodes)
	for i := range f {
		f[i] = move(from[i], 0)
	}
	total := 1.0
	for width-e.Width() > 1e-13*width {
		for i := range f {
			total += weights[i] * f[i]
		}
		e.N++
		to, next := rule(-e.Width(), e.Width())
		g := make([]float64, nodes)
		for j := range g {
			for i := range f {
				g[j] += weights[i] * f[i] * move(to[j], from[i])
			}
		}
		from, weights, f = to, next, g
	}
	for i := range f {
		total += weights[i] * f[i] * lengths[i]
	}
	return total
}

// CUSUMLimit is the limit h of a two-sided CUSUM, without head start, that gives
// the mean run length when nothing has changed.
func CUSUMLimit(k, runLength float64) float64 {
	return bisect(0.01, widestH, func(h float64) bool { return CUSUMRunLength(k, h, 0, false) < runLength })
}

// EWMALimit is the width L of fixed limits that gives the mean run length when
// nothing has changed.
func EWMALimit(lambda, runLength float64) float64 {
	return bisect(0.1, widestL, func(l float64) bool { return EWMARunLength(lambda, l, 0, true) < runLength })
}

func bisect(low, high float64, below func(float64) bool) float64 {
	for range steps {
		if middle := (low + high) / 2; below(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

func density(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }
