package stat

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Normal is the upper tail of the standard normal distribution.
func Normal(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

// NormalQuantile is z with Normal(z) = p: algorithm AS 241 (Wichura 1988).
func NormalQuantile(p float64) float64 {
	switch {
	case p <= 0:
		return math.Inf(1)
	case p >= 1:
		return math.Inf(-1)
	}
	return -mathext.NormalQuantile(p)
}

// Gamma is the upper tail of the gamma distribution of a shape and scale 1, the
// regularised upper incomplete gamma function.
func Gamma(x, shape float64) float64 {
	switch {
	case x <= 0 || shape <= 0:
		return 1
	case math.IsInf(x, 1):
		return 0
	}
	return clamp(mathext.GammaIncRegComp(shape, x))
}

// GammaLower is the lower tail.
func GammaLower(x, shape float64) float64 {
	switch {
	case x <= 0 || shape <= 0:
		return 0
	case math.IsInf(x, 1):
		return 1
	}
	return clamp(mathext.GammaIncReg(shape, x))
}

// GammaQuantile is x with Gamma(x, shape) = p.
func GammaQuantile(p, shape float64) float64 {
	switch {
	case p <= 0:
		return math.Inf(1)
	case p >= 1 || shape <= 0:
		return 0
	}
	if p > 0.5 {
		return mathext.GammaIncRegInv(shape, 1-p)
	}
	return mathext.GammaIncRegCompInv(shape, p)
}

// ChiSquare is the upper tail of the chi-square distribution. With 0 degrees of
// freedom, that of a constant 0, it is 1 everywhere.
func ChiSquare(x, df float64) float64 { return Gamma(x/2, df/2) }

// ChiSquareQuantile is x with ChiSquare(x, df) = p, and 0 for 0 degrees of
// freedom.
func ChiSquareQuantile(p, df float64) float64 {
	if df <= 0 {
		return 0
	}
	return 2 * GammaQuantile(p, df/2)
}

// Poisson is P(X ≥ k) of the Poisson distribution, the lower incomplete gamma
// function.
func Poisson(k uint64, mean float64) float64 {
	switch {
	case k == 0:
		return 1
	case mean <= 0:
		return 0
	}
	return clamp(mathext.GammaIncReg(float64(k), mean))
}

// clamp holds a probability in [0, 1] against the last bit of rounding.
func clamp(p float64) float64 { return min(max(p, 0), 1) }
