package stat

import "math"

// Beta is the upper tail of the beta distribution, 1 − I_x(a, b), for a and b
// of at least 0.2. y is 1 − x, given apart because it may have digits that x
// has not.
func Beta(x, y, a, b float64) float64 {
	switch {
	case x <= 0:
		return 1
	case y <= 0:
		return 0
	}
	if excess(x, y, a, b) > 0 { // below the mean: the other tail is the small one
		return clamp(1 - betaTail(x, y, a, b))
	}
	return clamp(betaTail(y, x, b, a))
}

// betaTail is I_x(a, b) for x up to the mean: the density in θ = ln(x/(1−x)),
// which is smooth and log-concave, integrated downwards from x until it has
// fallen by e^-50. What stands before the integral is Loader's saddle-point
// form; the exponent is put so that nothing cancels however large a and b are.
func betaTail(x, y, a, b float64) float64 {
	n := a + b
	slope := max(excess(x, y, a, b), 0)
	fall := func(d float64) float64 {
		if x < 0.5 {
			e := math.Expm1(-d)
			if d > 1 { // nothing cancels any more
				return n*math.Log1p(x*e) + a*d
			}
			return slope*d + n*(x*expm1Rest(-d)+log1pRest(x*e))
		}
		e := math.Expm1(d)
		if d > 1 {
			return n*math.Log1p(y*e) - b*d
		}
		return slope*d + n*(y*expm1Rest(d)+log1pRest(y*e))
	}
	return betaFront(x, y, a, b) * tailIntegral(fall, 1/(slope+math.Sqrt(n*x*y)))
}

// excess is a − (a+b)·x, from whichever of x and y has the digits.
func excess(x, y, a, b float64) float64 {
	if x < 0.5 {
		return -math.FMA(a+b, x, -a)
	}
	return math.FMA(a+b, y, -b)
}

// tailIntegral integrates e^−fall(d) over d > 0 for a convex, increasing fall
// that starts at 0, from a first guess of the width.
func tailIntegral(fall func(float64) float64, width float64) float64 {
	const (
		deep   = 50 // e^−50 is below a unit in the last place of the integral
		panels = 12
	)
	for fall(width) < deep {
		width *= 2
	}
	for fall(width/2) > deep {
		width /= 2
	}
	sum := 0.0
	for i := range panels {
		// Panels grow outwards: the integrand bends most at its start.
		from, to := float64(i*i)/(panels*panels), float64((i+1)*(i+1))/(panels*panels)
		half := (to - from) / 2
		for k, node := range legendre16.nodes {
			sum += half * legendre16.weights[k] * math.Exp(-fall(width*(from+half*(1+node))))
		}
	}
	return sum * width
}

// betaFront is x^a·y^b/B(a,b) in the saddle-point form of C. Loader, Fast and
// Accurate Computation of Binomial Probabilities, 2000.
func betaFront(x, y, a, b float64) float64 {
	return a * b / (a + b) * binomialDensity(x, y, a, b)
}

// binomialDensity is Γ(a+b+1)/(Γ(a+1)Γ(b+1))·x^a·y^b.
func binomialDensity(x, y, a, b float64) float64 {
	n := a + b
	switch {
	case a == 0:
		return math.Exp(n * logOf(y, x))
	case b == 0:
		return math.Exp(n * logOf(x, y))
	}
	d := excess(x, y, a, b)
	lc := stirlingError(n) - stirlingError(a) - stirlingError(b) - Deviance(n*x, d) - Deviance(n*y, -d)
	return math.Exp(lc) * math.Sqrt(n/a/b/(2*math.Pi))
}

// logOf is the logarithm of a probability whose complement is given too.
func logOf(p, complement float64) float64 {
	if p < 0.5 {
		return math.Log(p)
	}
	return math.Log1p(-complement)
}

// stirlingError is ln Γ(a+1) less Stirling's approximation of it.
func stirlingError(a float64) float64 {
	if a > 15 {
		s := 1 / (a * a)
		return (1.0/12 - (1.0/360-(1.0/1260-(1.0/1680-(1.0/1188-691.0/360360*s)*s)*s)*s)*s) / a
	}
	lg, _ := math.Lgamma(a + 1)
	return lg - (a+0.5)*math.Log(a) + a - 0.5*math.Log(2*math.Pi)
}

// Deviance is a·ln(a/x) + x − a for a = x + d, which is never negative; at a = 0
// it is x. It keeps its digits for a small d.
func Deviance(x, d float64) float64 {
	switch z := d / x; {
	case x <= 0:
		return 0
	case math.Abs(z) < 0.5:
		return x * (z*math.Log1p(z) + log1pRest(z))
	case x+d <= 0:
		return x
	}
	a := x + d
	return a*math.Log(a/x) - d
}

// log1pRest is ln(1+z) − z.
func log1pRest(z float64) float64 {
	if math.Abs(z) > 0.4 {
		return math.Log1p(z) - z
	}
	// ln(1+z) = 2·atanh(v), z = 2v/(1−v).
	v := z / (2 + z)
	w := v * v
	sum, power := 0.0, 1.0
	for k := 3.0; ; k += 2 {
		next := sum + power/k
		if next == sum {
			break
		}
		sum, power = next, power*w
	}
	return 2*v*w*sum - z*v
}

// expm1Rest is e^z − 1 − z.
func expm1Rest(z float64) float64 {
	if math.Abs(z) > 0.5 {
		return math.Expm1(z) - z
	}
	sum, term := 0.0, z*z/2
	for k := 3.0; ; k++ {
		next := sum + term
		if next == sum {
			return sum
		}
		sum, term = next, term*z/k
	}
}

// Student is the upper tail of Student's t with df degrees of freedom, which
// need not be whole; the normal tail for infinitely many.
func Student(t, df float64) float64 {
	switch {
	case math.IsInf(df, 1):
		return Normal(t)
	case t < 0:
		return 1 - Student(-t, df)
	case math.IsInf(t, 1):
		return 0
	case df < 0.5: // not one of ours: two values a side give at least 1
		return math.Min(0.5, Normal(t))
	}
	// t²/(df+t²) and its complement, without overflow.
	r := t / math.Sqrt(df)
	if math.IsInf(r*r, 1) {
		return 0
	}
	x, y := r*r/(1+r*r), 1/(1+r*r)
	return Beta(x, y, 0.5, df/2) / 2
}

// StudentQuantile is t with Student(t, df) = p.
func StudentQuantile(p, df float64) float64 {
	if p > 0.5 {
		return -StudentQuantile(1-p, df)
	}
	return Invert(p, func(t float64) float64 { return Student(t, df) }, NormalQuantile(p))
}

// F is the upper tail of Fisher's and Snedecor's F.
func F(f, d1, d2 float64) float64 {
	switch {
	case f <= 0:
		return 1
	case math.IsInf(f, 1):
		return 0
	}
	r := d1 / d2 * f
	return Beta(r/(1+r), 1/(1+r), d1/2, d2/2)
}

// FQuantile is f with F(f, d1, d2) = p.
func FQuantile(p, d1, d2 float64) float64 {
	return Invert(p, func(f float64) float64 { return F(f, d1, d2) }, ChiSquareQuantile(p, d1)/d1)
}

// Binomial is P(X ≥ k) of n trials with probability p.
func Binomial(k, n uint64, p float64) float64 {
	switch {
	case k == 0:
		return 1
	case k > n || p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	return Beta(1-p, p, float64(n-k)+1, float64(k))
}

// BinomialLower is P(X ≤ k).
func BinomialLower(k, n uint64, p float64) float64 {
	switch {
	case k >= n || p <= 0:
		return 1
	case p >= 1:
		return 0
	}
	return Beta(p, 1-p, float64(k)+1, float64(n-k))
}

// Invert finds x ≥ 0 with tail(x) = p for a tail that falls from 1 or ½ to 0,
// from a guess: a bracket, then the secant on the logarithm, which is nearly
// straight, held in the bracket by bisection (Illinois).
func Invert(p float64, tail func(float64) float64, guess float64) float64 {
	switch {
	case p <= 0:
		return math.Inf(1)
	case p >= tail(0):
		return 0
	}
	miss := func(x float64) float64 { return math.Log(max(tail(x), math.SmallestNonzeroFloat64)) - math.Log(p) }
	low, above := 0.0, miss(0)
	high := max(guess, 1e-3)
	at := miss(high)
	for at > 0 && high < 1e300 {
		low, above = high, at
		high *= 2
		at = miss(high)
	}
	side := 0
	for range 200 {
		x := high - at*(high-low)/(at-above)
		if !(x > low && x < high) {
			x = low + (high-low)/2
		}
		m := miss(x)
		if math.Abs(m) < 1e-13 || high-low <= 4e-16*high {
			return x
		}
		if m > 0 {
			low, above = x, m
			if side > 0 {
				at /= 2
			}
			side = 1
		} else {
			high, at = x, m
			if side < 0 {
				above /= 2
			}
			side = -1
		}
	}
	return high
}
