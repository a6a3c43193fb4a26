package stat

import "math"

// Kolmogorov is the upper tail of the greatest absolute value of a Brownian
// bridge (Kolmogorov 1933): the large-sample tail of √(NM/(N+M))·D for values
// without ties. For a statistic on cells it is an upper bound.
func Kolmogorov(lambda float64) float64 {
	if lambda <= 0 {
		return 1
	}
	sum := 0.0
	if lambda < 1.18 { // the other form of the theta function converges at once
		for k := 1.0; k < 20; k += 2 {
			sum += math.Exp(-k * k * math.Pi * math.Pi / (8 * lambda * lambda))
		}
		return clamp(1 - math.Sqrt(2*math.Pi)/lambda*sum)
	}
	sign := 1.0
	for k := 1.0; k < 20; k++ {
		sum += sign * math.Exp(-2*k*k*lambda*lambda)
		sign = -sign
	}
	return clamp(2 * sum)
}

// KolmogorovQuantile is λ with Kolmogorov(λ) = p.
func KolmogorovQuantile(p float64) float64 { return Invert(p, Kolmogorov, 1) }

// MaxBridgeCells is the longest grid that Bridge integrates over; on a longer
// one it answers Kolmogorov's tail, which is then near.
const MaxBridgeCells = 256

// bridgeFloor is where Bridge's absolute error, 1e-10, begins to matter.
const bridgeFloor = 1e-8

// Bridge is the upper tail of the greatest absolute value that a Brownian bridge
// takes at the points of grid, which ascend between 0 and 1: the large-sample
// tail of √(NM/(N+M))·D when D is taken over cells. The bridge is a Markov
// chain, so the chance to stay within ±λ is integrated point by point. When
// Kolmogorov's tail is below 1e-8 it is returned instead, as a bound.
func Bridge(lambda float64, grid []float64) float64 {
	bound := Kolmogorov(lambda)
	if lambda <= 0 || len(grid) == 0 {
		return 1
	}
	if bound < bridgeFloor || len(grid) >= MaxBridgeCells {
		return bound
	}
	rule, narrow := bridgeRule(lambda, grid)
	stay := make([]float64, len(rule.nodes)) // density of being here, having stayed
	next := make([]float64, len(rule.nodes))
	last := 0.0
	for _, t := range grid {
		keep, variance := bridgeMove(last, t)
		if !(variance >= narrow) {
			continue
		}
		if last == 0 {
			for i, x := range rule.nodes {
				x *= lambda
				next[i] = math.Exp(-x*x/(2*variance)) / math.Sqrt(2*math.Pi*variance)
			}
		} else {
			bridgeStep(rule, lambda, keep, variance, stay, next)
		}
		stay, next, last = next, stay, t
	}
	if last == 0 {
		return singlePoint(lambda, grid)
	}
	p := 1.0
	for i, w := range rule.weights {
		p -= lambda * w * stay[i]
	}
	return min(max(p, 0), bound)
}

// bridgeMove says how a bridge moves from one time to another: from x to
// N(keep·x, variance).
func bridgeMove(from, to float64) (keep, variance float64) {
	keep = (1 - to) / (1 - from)
	return keep, (to - from) * keep
}

// bridgeRule chooses the nodes for a grid, and the variance below which a step
// is passed over: one that is narrower than the distance of the nodes cannot be
// resolved, and its point adds next to nothing to the maximum.
func bridgeRule(lambda float64, grid []float64) (rule legendre, narrow float64) {
	finest := legendre128
	if len(grid) > 100 {
		finest = legendre256
	}
	narrow = math.Pi * lambda / float64(len(finest.nodes))
	narrow *= narrow
	least, last := 1.0, 0.0
	for _, t := range grid {
		if _, variance := bridgeMove(last, t); variance >= narrow {
			least, last = min(least, variance), t
		}
	}
	for _, coarse := range []legendre{legendre32, legendre64, legendre128} {
		// Five nodes for each standard deviation in λ: then the error is below 1e-10.
		if float64(len(coarse.nodes)) > 5*lambda/math.Sqrt(least) {
			return coarse, narrow
		}
	}
	return finest, narrow
}

// singlePoint is the tail at the point of the greatest variance, when every
// step is too narrow for the rule because λ is large or the grid degenerate.
func singlePoint(lambda float64, grid []float64) float64 {
	variance := 0.0
	for _, t := range grid {
		variance = max(variance, t*(1-t))
	}
	if variance == 0 {
		return 0
	}
	return clamp(2 * Normal(lambda/math.Sqrt(variance)))
}

// bridgeStep carries the density over one step to N(keep·x, variance). It is
// even, and so are the nodes: half of it is computed, from half of it.
func bridgeStep(rule legendre, lambda, keep, variance float64, from, to []float64) {
	scale := lambda / math.Sqrt(2*math.Pi*variance)
	n := len(rule.nodes)
	half := n / 2
	nodes := rule.nodes[half:]
	if c := keep * lambda * lambda / variance; c < mostProduct {
		foldedStep(rule, lambda*lambda/(2*variance), keep, from, to)
	} else {
		narrowStep(rule, lambda, keep, variance, from, to)
	}
	for i := range nodes {
		to[half+i] *= scale
		to[half-1-i] = to[half+i]
	}
}

// mostProduct bounds the exponents of a foldedStep: its digits stay within 1e-13.
const mostProduct = 300

// foldedStep fills the upper half of to but for a factor. With c = λ²/(2·variance)
//
//	e^(−c(y−kx)²) + e^(−c(y+kx)²) = e^(−cy²)·e^(−ck²x²)·(e^(2ckxy) + e^(−2ckxy)),
//
// whose last factor is the same for (x, y) and (y, x): exponentials are what takes
// time here.
func foldedStep(rule legendre, c, keep float64, from, to []float64) {
	half := len(rule.nodes) / 2
	nodes, weights := rule.nodes[half:], rule.weights[half:]
	var room [2 * maxHalf]float64
	mass, sums := room[:half], room[maxHalf:maxHalf+half]
	for j, x := range nodes {
		mass[j] = weights[j] * from[half+j] * math.Exp(-c*keep*keep*x*x)
	}
	for i, y := range nodes {
		z := 2 * c * keep * y
		e := math.Exp(z * y)
		sum := sums[i] + mass[i]*(e+1/e)
		for j := i + 1; j < half; j++ {
			e := math.Exp(z * nodes[j])
			e += 1 / e
			sum += mass[j] * e
			sums[j] += mass[i] * e
		}
		to[half+i] = sum * math.Exp(-c*y*y)
	}
}

// maxHalf is half the nodes of the finest rule.
const maxHalf = 128

// narrowStep is foldedStep where the step is so narrow that only near nodes count.
func narrowStep(rule legendre, lambda, keep, variance float64, from, to []float64) {
	reach := 9 * math.Sqrt(variance) // e^−40
	first, n := 0, len(rule.nodes)
	for i := n / 2; i < n; i++ {
		y := rule.nodes[i] * lambda
		for first < len(rule.nodes) && keep*lambda*rule.nodes[first] < y-reach {
			first++
		}
		sum := 0.0
		for j := first; j < len(rule.nodes); j++ {
			d := y - keep*lambda*rule.nodes[j]
			if d < -reach {
				break
			}
			sum += rule.weights[j] * from[j] * math.Exp(-d*d/(2*variance))
		}
		to[i] = sum
	}
}

// BridgeQuantile is λ with Bridge(λ, grid) = p.
func BridgeQuantile(p float64, grid []float64) float64 {
	if len(grid) == 0 {
		return 0
	}
	tail := func(square float64) float64 { return Bridge(math.Sqrt(square), grid) }
	miss := func(square float64) float64 { return math.Log(max(tail(square), math.SmallestNonzeroFloat64) / p) }
	// The logarithm of the tail is nearly straight in λ², with slope −2 or a little
	// more, and lies below that of the whole bridge: the secant takes a few steps
	// until it is as good as the tail.
	bound := KolmogorovQuantile(p)
	most := bound * bound
	// What a walk passes over between two points (Siegmund 1985) is a good guess.
	x := max(bound-0.5826/math.Sqrt(float64(len(grid)+1)), bound/2)
	x *= x
	m, slope := miss(x), -2.2
	for range 8 {
		if math.Abs(m) <= max(1e-9/p, 1e-12) {
			return math.Sqrt(x)
		}
		next := x - m/slope
		if !(next > 0 && next <= most) {
			break
		}
		after := miss(next)
		slope = (after - m) / (next - x)
		x, m = next, after
	}
	return math.Sqrt(Invert(p, tail, most))
}

// Smirnov is the exact p-value of the greatest distance of two cumulative counts
// over cells (Schröer and Trenkler 1995): the share of the orders in which N
// and M values can come, all equally likely, for which i·M − j·N reaches reach
// in absolute value at the end of a cell. reference and current are the counts
// per cell; it takes N·M steps.
func Smirnov(reference, current []uint64) float64 {
	var n, m, reach, total int64
	for i := range reference {
		n += int64(reference[i])
		m += int64(current[i])
	}
	ends := make([]bool, n+m+1) // where a cell ends, by number of values
	var r, c int64
	for i := range reference {
		r += int64(reference[i])
		c += int64(current[i])
		reach = max(reach, abs(r*m-c*n))
		total = r + c
		ends[total] = true
	}
	if reach == 0 {
		return 1
	}
	// hit[j] is the chance that a path that is now at (i, j) has reached it; on
	// the way there the last step came from (i−1, j) with chance i/(i+j).
	hit := make([]float64, m+1)
	for i := range n + 1 {
		for j := range m + 1 {
			switch at := i + j; {
			case at == 0:
				hit[j] = 0
			case ends[at] && abs(i*m-j*n) >= reach:
				hit[j] = 1
			case i == 0:
				hit[j] = hit[j-1]
			case j > 0:
				hit[j] = (float64(i)*hit[j] + float64(j)*hit[j-1]) / float64(at)
			}
		}
	}
	return clamp(hit[m])
}

func abs(v int64) int64 { return max(v, -v) }
