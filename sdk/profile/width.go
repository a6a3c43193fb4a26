package profile

import "math"

// width returns the number of equal-width bins that the rule chooses.
func (b Binning) width(sorted []float64) (int, error) {
	n := float64(len(sorted))
	spread := sorted[len(sorted)-1] - sorted[0]
	var count float64
	switch b.Rule {
	case Manual, Quantile:
		count = float64(b.Bins)
	case SquareRoot:
		count = math.Ceil(math.Sqrt(n))
	case Sturges:
		count = math.Ceil(math.Log2(n)) + 1
	case Rice:
		count = math.Ceil(2 * math.Cbrt(n))
	case TerrellScott:
		count = math.Round(math.Cbrt(2 * n))
	case Doane:
		skew, err := doaneSkew(sorted)
		if err != nil {
			return 0, err
		}
		count = math.Round(1 + math.Log2(n) + math.Log2(1+skew))
	case Scott:
		_, deviation := moments(sorted)
		if !(deviation > 0) {
			return 0, noSpread(b.Rule, "standard deviation")
		}
		count = math.Ceil(spread / (3.49 * deviation / math.Cbrt(n)))
	case FreedmanDiaconis:
		iqr := sorted[int(0.75*(n-1))] - sorted[int(0.25*(n-1))]
		if !(iqr > 0) {
			return 0, noSpread(b.Rule, "interquartile range")
		}
		count = math.Ceil(spread / (2 * iqr / math.Cbrt(n)))
	}
	if err := checkBins(b.Rule, count); err != nil {
		return 0, err
	}
	return int(count), nil
}

// doaneSkew returns |g1|/σ of Doane's rule: the skewness from population
// moments over its standard error.
func doaneSkew(sorted []float64) (float64, error) {
	n := float64(len(sorted))
	if n < 3 {
		return 0, &Error{Rule: "BIN_COUNT", Detail: "rule Doane needs at least 3 values"}
	}
	mean, deviation := moments(sorted)
	if !(deviation > 0) {
		return 0, noSpread(Doane, "standard deviation")
	}
	third := 0.0
	for _, v := range sorted {
		z := (v - mean) / deviation
		third += float64(float64(z*z) * z)
	}
	sigma := math.Sqrt(6 * (n - 2) / ((n + 1) * (n + 3)))
	return math.Abs(third/n) / sigma, nil
}

// moments returns mean and population standard deviation of sorted values.
// Sorting makes the sums independent of the order of the reference rows.
func moments(sorted []float64) (mean, deviation float64) {
	scale := scaleFor(sorted)
	n := float64(len(sorted))
	for i, v := range sorted {
		mean += (float64(v*scale) - mean) / float64(i+1)
	}
	squares := 0.0
	for _, v := range sorted {
		d := float64(v*scale) - mean
		squares += float64(d * d)
	}
	return mean / scale, math.Sqrt(squares/n) / scale
}

// scaleFor returns a power of two, exact to multiply by, that keeps the squares
// and cubes of sorted values finite; 1 for values of ordinary size.
func scaleFor(sorted []float64) float64 {
	const ordinary = 300 // binary exponent; its cube is well below 1023
	_, exponent := math.Frexp(max(math.Abs(sorted[0]), math.Abs(sorted[len(sorted)-1])))
	if exponent <= ordinary {
		return 1
	}
	return math.Ldexp(1, -exponent)
}

func noSpread(rule Rule, what string) error {
	return &Error{Rule: "NO_SPREAD", Detail: "rule " + string(rule) + " divides by the " + what +
		", which is 0 or not finite here; choose Quantile, Manual or another rule"}
}
