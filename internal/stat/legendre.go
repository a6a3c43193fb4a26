package stat

import "math"

// legendre holds the nodes and weights of a Gauss–Legendre rule on [−1, 1].
type legendre struct{ nodes, weights []float64 }

// The rules in use: 16 nodes for a part of a tail, the others for a bridge.
var (
	legendre16  = newLegendre(16)
	legendre32  = newLegendre(32)
	legendre64  = newLegendre(64)
	legendre128 = newLegendre(128)
	legendre256 = newLegendre(256)
)

// newLegendre finds the roots of the Legendre polynomial of degree n by Newton's
// method from Tricomi's approximation.
func newLegendre(n int) legendre {
	l := legendre{make([]float64, n), make([]float64, n)}
	for i := range (n + 1) / 2 {
		x := math.Cos(math.Pi * (float64(i) + 0.75) / (float64(n) + 0.5))
		slope := 0.0
		for range 6 {
			last, p := 1.0, x
			for k := 2.0; k <= float64(n); k++ {
				last, p = p, ((2*k-1)*x*p-(k-1)*last)/k
			}
			slope = float64(n) * (x*p - last) / (x*x - 1)
			x -= p / slope
		}
		w := 2 / ((1 - x*x) * slope * slope)
		l.nodes[i], l.weights[i] = -x, w
		l.nodes[n-1-i], l.weights[n-1-i] = x, w
	}
	return l
}
