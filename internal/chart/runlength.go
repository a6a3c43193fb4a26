package chart

import (
	"math"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/mat"

	"github.com/driftmesh/driftmesh/internal/stat"
)

const (
	// widestH and widestL bound the limits that are looked for.
	widestH = 40
	widestL = 8
	// narrowest is where the search for a limit begins.
	narrowest = 0.25
	// steps are more than the search for a limit takes.
	steps = 60
)

// grid has the nodes and weights of an integral from low to high over normal
// densities of a standard deviation. One and a half nodes for each of those, and
// 20, agree with four times as many to ten digits. The number is a multiple of
// eight because gonum's rule of 26 nodes is wrong (v0.17: its weights add up to
// 0.99); those in use are tested.
func grid(low, high, deviation float64) (x, w []float64) {
	n := (20 + int(1.5*(high-low)/deviation) + 7) / 8 * 8
	x, w = make([]float64, n), make([]float64, n)
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
	down, downStart := up, upStart
	if mean != 0 {
		down, downStart = cusumSide(k, h, -mean)
	}
	if headStart {
		return (upStart*down + downStart*up - up*down) / (up + down)
	}
	return up * down / (up + down)
}

// cusumSide is the run length of the upper sum from 0 and from half the limit.
func cusumSide(k, h, mean float64) (fromZero, fromHalf float64) {
	x, w := grid(0, h, 1)
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
	x, w := grid(-width, width, lambda)
	lengths := solve(len(x), func(i, j int) float64 { return w[j] * move(x[j], x[i]) })
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
	from, weights := grid(-e.Width(), e.Width(), lambda)
	f := make([]float64, len(from))
	for i := range f {
		f[i] = move(from[i], 0)
	}
	total := 1.0
	for width-e.Width() > 1e-13*width {
		for i := range f {
			total += weights[i] * f[i]
		}
		e.N++
		to, next := grid(-e.Width(), e.Width(), lambda)
		g := make([]float64, len(to))
		for j := range g {
			for i := range f {
				g[j] += weights[i] * f[i] * move(to[j], from[i])
			}
		}
		from, weights, f = to, next, g
	}
	for i := range f { // the limits, and so the nodes, are those of the fixed ones
		total += weights[i] * f[i] * lengths[i]
	}
	return total
}

// CUSUMLimit is the limit h of a two-sided CUSUM, without head start, that gives
// the mean run length when nothing has changed.
func CUSUMLimit(k, runLength float64) float64 {
	return solveLimit(runLength, widestH, func(h float64) float64 { return CUSUMRunLength(k, h, 0, false) })
}

// EWMALimit is the width L of fixed limits that gives the mean run length when
// nothing has changed.
func EWMALimit(lambda, runLength float64) float64 {
	return solveLimit(runLength, widestL, func(l float64) float64 { return EWMARunLength(lambda, l, 0, true) })
}

// solveLimit finds the limit of a run length by false position (Illinois), in
// the logarithm of the run length, which is nearly a line.
func solveLimit(runLength, widest float64, of func(float64) float64) float64 {
	off := func(x float64) float64 { return math.Log(of(x) / runLength) }
	low, high := narrowest, 2*narrowest
	below, above := off(low), off(high)
	if below >= 0 {
		return low
	}
	for ; above < 0 && high < widest; above = off(high) {
		low, below = high, above
		high = min(high*1.5, widest)
	}
	for range steps {
		x := high - above*(high-low)/(above-below)
		f := off(x)
		if math.Abs(f) < 1e-12 || x == low || x == high {
			return x
		}
		if f > 0 {
			high, above, below = x, f, below/2
		} else {
			low, below, above = x, f, above/2
		}
	}
	return high
}

func density(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }
