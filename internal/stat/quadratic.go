package stat

import (
	"math"
	"math/cmplx"
)

// Imhof is the exact upper tail at q of Σλ·χ²_1 for λ ≥ 0: the inversion of
// the characteristic function (Imhof 1961). Along his straight path the answer
// is a small difference of large numbers; along a parabola between the pole at 0
// and the first branch point (Weideman and Trefethen 2007) nothing cancels, and
// a tail of 1e-100 keeps its digits.
func Imhof(q float64, lambda []float64) float64 {
	largest := 0.0
	for _, l := range lambda {
		largest = max(largest, l)
	}
	return squaresTail(q, largest, len(lambda), func(z complex128) complex128 {
		sum := complex(0, 0)
		for _, l := range lambda {
			sum += cmplx.Log(1 + complex(l/largest, 0)*z)
		}
		return sum
	})
}

// squaresTail is the upper tail at q of n squares of normal variables. logDet is
// ln Π(1+zλ/largest) of their weights λ.
func squaresTail(q, largest float64, n int, logDet func(z complex128) complex128) float64 {
	switch {
	case q <= 0:
		return 1
	case largest <= 0:
		return 0
	}
	q /= largest               // the branch point is at −½ now
	if q > 3000+2*float64(n) { // Chernoff's bound, e^(−q/4)·2^(n/2), is 0
		return 0
	}
	const (
		branch = -0.5
		step   = 0.15 // the error is e^(−2π/step)
		deep   = 45
	)
	mu := min(0.125, 2/q)
	sum := 0.0
	for i := 0; i < 4000; i++ {
		u := step * float64(i)
		if q*mu*u*u > deep {
			break
		}
		path := complex(branch+mu*(1-u*u), 2*mu*u)
		exponent := complex(q, 0)*path - logDet(2*path)/2
		term := real(cmplx.Exp(exponent) / path * complex(1, u))
		if i == 0 {
			term /= 2
		}
		sum += term
	}
	return clamp(-2 * mu * step / math.Pi * sum)
}

// BridgeSquares is the exact upper tail at q of Σw·B(t)², B a Brownian bridge at
// the points t of grid, which ascend between 0 and 1, and w the weights there:
// the large-sample tail of statistics such as Cramér and von Mises'.
//
// The inverse of the bridge's covariance has three diagonals, so the determinant
// that Imhof's integral needs takes one pass over the grid, and no eigenvalues.
func BridgeSquares(q float64, grid, weights []float64) float64 {
	return newBridgeForm(grid, weights).tail(q)
}

// BridgeSquaresQuantile is q with BridgeSquares(q, …) = p.
func BridgeSquaresQuantile(p float64, grid, weights []float64) float64 {
	f := newBridgeForm(grid, weights)
	mean := 0.0
	for i, t := range f.grid {
		mean += f.weights[i] * t * (1 - t)
	}
	if mean == 0 {
		return 0
	}
	return mean * Invert(p, func(q float64) float64 { return f.tail(mean * q) }, 2)
}

// bridgeForm is a quadratic form of a bridge: its points, and the inverse
// W^−½·C⁻¹·W^−½ of its matrix by diagonal and squared off-diagonal.
type bridgeForm struct {
	grid, weights  []float64
	diagonal, side []float64
	largest        float64 // eigenvalue of W^½·C·W^½
}

func newBridgeForm(grid, weights []float64) *bridgeForm {
	f := &bridgeForm{}
	last := 0.0
	for i, t := range grid {
		switch near := t-last < 1e-13; {
		case near && len(f.grid) > 0:
			f.weights[len(f.weights)-1] += weights[i]
		case near || 1-t < 1e-13 || weights[i] <= 0: // the bridge is 0 there
		default:
			f.grid, f.weights = append(f.grid, t), append(f.weights, weights[i])
			last = t
		}
	}
	n := len(f.grid)
	for i, t := range f.grid {
		before, after := t, 1-t
		if i > 0 {
			before = t - f.grid[i-1]
		}
		if i < n-1 {
			after = f.grid[i+1] - t
			f.side = append(f.side, 1/(after*after*f.weights[i]*f.weights[i+1]))
		}
		f.diagonal = append(f.diagonal, (1/before+1/after)/f.weights[i])
	}
	f.largest = f.power()
	return f
}

// power is the largest eigenvalue, by iteration of a vector: to a few digits,
// which is all that the path of integration needs.
func (f *bridgeForm) power() float64 {
	n := len(f.grid)
	v := make([]float64, n) // W^½ times the vector
	for i, t := range f.grid {
		v[i] = f.weights[i] * t * (1 - t)
	}
	value := 0.0
	for range 100 {
		below, square, norm := 0.0, 0.0, 0.0
		above := 0.0
		for i, t := range f.grid {
			above += (1 - t) * v[i]
		}
		last := value
		// (C·v)_i = (1−t_i)·Σ_{j≤i} t_j·v_j + t_i·Σ_{j>i} (1−t_j)·v_j
		for i, t := range f.grid {
			below += t * v[i]
			above -= (1 - t) * v[i]
			x := (1-t)*below + t*above
			square += v[i] * v[i] / f.weights[i]
			norm += x * v[i]
			v[i] = f.weights[i] * x
		}
		if square <= 0 {
			return 0
		}
		value = norm / square
		if scale := 1 / math.Sqrt(square) / value; !math.IsInf(scale, 0) {
			for i := range v {
				v[i] *= scale
			}
		}
		if math.Abs(value-last) < 1e-6*value {
			break
		}
	}
	return value
}

func (f *bridgeForm) tail(q float64) float64 {
	return squaresTail(q, f.largest, len(f.grid), func(z complex128) complex128 {
		z /= complex(f.largest, 0)
		sum, pivot, pivot0 := complex(0, 0), complex(1, 0), 1.0
		for i, d := range f.diagonal {
			side := 0.0
			if i > 0 {
				side = f.side[i-1]
			}
			// All pivots lie in the half plane of z, so their logarithms add up to
			// that of the determinant.
			pivot = complex(d, 0) + z - complex(side, 0)/pivot
			pivot0 = d - side/pivot0
			sum += cmplx.Log(pivot / complex(pivot0, 0))
		}
		return sum
	})
}
