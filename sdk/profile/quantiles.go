package profile

import "math"

// normalUpper returns z with P(Z > z) = alpha for a standard normal Z. It is
// algorithm AS 241, PPND16 (Wichura 1988, Applied Statistics 37, 477-484),
// accurate to about 1 part in 10^16, for the lower tail and mirrored.
// Alpha 0 gives +Inf and alpha 1 -Inf.
func normalUpper(alpha float64) float64 {
	switch {
	case alpha <= 0:
		return math.Inf(1)
	case alpha >= 1:
		return math.Inf(-1)
	}
	q := alpha - 0.5
	if math.Abs(q) <= 0.425 {
		r := 0.180625 - q*q
		return -q * horner(r, as241a[:]) / horner(r, as241b[:])
	}
	r := alpha
	if q > 0 {
		r = 1 - alpha
	}
	r = math.Sqrt(-math.Log(r))
	var z float64
	if r <= 5 {
		z = horner(r-1.6, as241c[:]) / horner(r-1.6, as241d[:])
	} else {
		z = horner(r-5, as241e[:]) / horner(r-5, as241f[:])
	}
	if q > 0 {
		return -z
	}
	return z
}

// horner evaluates the polynomial with coefficients in ascending order.
func horner(x float64, coefficients []float64) float64 {
	sum := 0.0
	for i := len(coefficients) - 1; i >= 0; i-- {
		sum = float64(sum*x) + coefficients[i]
	}
	return sum
}

// The coefficients of AS 241, PPND16, ascending: numerator and denominator for
// the centre (a, b), the flanks (c, d) and the far tails (e, f).
var (
	as241a = [...]float64{3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
		4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3}
	as241b = [...]float64{1, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
		2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3}
	as241c = [...]float64{1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
		1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4}
	as241d = [...]float64{1, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
		1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9}
	as241e = [...]float64{6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
		2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7}
	as241f = [...]float64{1, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
		7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15}
)

// chiSquareUpper returns x with P(X > x) = alpha for chi-square X with df
// degrees of freedom. Df 0 is the distribution that is always 0, so x is 0.
// Alpha 0 gives +Inf.
//
// It finds the root of the incomplete gamma ratio by Newton's method on the
// logarithm of the smaller tail, which is nearly straight, from the
// Wilson-Hilferty (1931) approximation, kept inside a bracket by bisection. The
// ratio is the power series or the continued fraction of Abramowitz & Stegun
// 6.5.29 and 6.5.31 (Lentz's method), its leading factor the saddle-point form
// of Loader (2000), which loses no digits for large df.
func chiSquareUpper(alpha float64, df int) float64 {
	switch {
	case df <= 0:
		return 0
	case alpha <= 0:
		return math.Inf(1)
	case alpha >= 1:
		return 0
	}
	a := float64(df) / 2
	upper := alpha <= 0.5
	target := math.Log(alpha)
	if !upper {
		target = math.Log1p(-alpha)
	}
	return 2 * gammaRoot(a, target, upper, wilsonHilferty(alpha, a))
}

// epsilon is about two units in the last place: where iterations stop.
const epsilon = 4e-16

func wilsonHilferty(alpha, a float64) float64 {
	c := 1 / (9 * a)
	root := 1 - c + normalUpper(alpha)*math.Sqrt(c)
	if root <= 0 {
		// The approximation fails deep in the lower tail; P ≈ x^a / Γ(a+1).
		lg, _ := math.Lgamma(a + 1)
		return math.Exp((math.Log1p(-alpha) + lg) / a)
	}
	return a * root * root * root
}

// gammaRoot returns x with ln Q(a,x) = target, or ln P(a,x) when not upper.
func gammaRoot(a, target float64, upper bool, x float64) float64 {
	low, high := 0.0, math.Inf(1)
	for range 200 {
		p, q, density := gammaTails(a, x)
		tail, slope := q, -density
		if !upper {
			tail, slope = p, density
		}
		miss := math.Log(tail) - target
		if (miss > 0) == upper {
			low = x
		} else {
			high = x
		}
		next := x - miss*tail/slope
		if !(next > low && next < high) {
			next = bisect(low, high)
		}
		if math.Abs(next-x) <= epsilon*x {
			return next
		}
		x = next
	}
	return x
}

func bisect(low, high float64) float64 {
	if math.IsInf(high, 1) {
		return 2*low + 1
	}
	return low + (high-low)/2
}

// gammaTails returns the regularised incomplete gamma ratios P and Q, and the
// density, of the gamma distribution with shape a at x > 0.
func gammaTails(a, x float64) (p, q, density float64) {
	front := gammaFront(a, x) // x^a e^-x / Γ(a+1)
	density = front * a / x
	if x < a+1 {
		sum, term := 1.0, 1.0
		for n := 1.0; term > sum*1e-18; n++ {
			term *= x / (a + n)
			sum += term
		}
		p = front * sum
		return p, 1 - p, density
	}
	q = front * a * gammaFraction(a, x)
	return 1 - q, q, density
}

// gammaFraction evaluates the continued fraction of Γ(a,x)/(x^a e^-x).
func gammaFraction(a, x float64) float64 {
	const tiny = 1e-300 // keeps Lentz's quotients away from 0
	b := x + 1 - a
	c := 1 / tiny
	d := 1 / b
	h := d
	for n := 1.0; n < 1e6; n++ {
		an := -n * (n - a)
		b += 2
		d = 1 / avoidZero(an*d+b, tiny)
		c = avoidZero(b+an/c, tiny)
		step := d * c
		h *= step
		if math.Abs(step-1) <= epsilon {
			break
		}
	}
	return h
}

func avoidZero(v, tiny float64) float64 {
	if math.Abs(v) < tiny {
		return tiny
	}
	return v
}

// gammaFront returns x^a e^-x / Γ(a+1) in Loader's form (C. Loader, Fast and
// Accurate Computation of Binomial Probabilities, 2000).
func gammaFront(a, x float64) float64 {
	return math.Exp(-stirlingError(a)-deviance(a, x)) / math.Sqrt(2*math.Pi*a)
}

// stirlingError returns ln Γ(a+1) minus Stirling's approximation of it.
func stirlingError(a float64) float64 {
	if a > 15 {
		s := 1 / (a * a)
		return (1.0/12 - (1.0/360-(1.0/1260-(1.0/1680-1.0/1188*s)*s)*s)*s) / a
	}
	lg, _ := math.Lgamma(a + 1)
	return lg - (a+0.5)*math.Log(a) + a - 0.5*math.Log(2*math.Pi)
}

// deviance returns a·ln(a/x) + x - a without cancellation where x is near a.
func deviance(a, x float64) float64 {
	d := a - x
	if math.Abs(d) >= 0.1*(a+x) {
		return a*math.Log(a/x) - d
	}
	v := d / (a + x)
	sum := d * v
	term := 2 * a * v
	v *= v
	for j := 1.0; ; j++ {
		term *= v
		next := sum + term/(2*j+1)
		if next == sum {
			return sum
		}
		sum = next
	}
}
