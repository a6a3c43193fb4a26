package chart

import "math"

// EWMA is the chart of an exponentially weighted mean of standardised points
// (Roberts 1959; Lucas and Saccucci 1990). Its state is what Next has left.
type EWMA struct {
	// Lambda is the weight of the newest point, above 0 and up to 1.
	Lambda float64
	// L is the width of the limits in standard deviations: see EWMALimit.
	L float64
	// Fixed uses the limits of the distant future from the first point on,
	// rather than limits that grow with the variance of the mean.
	Fixed bool

	// Value is the mean so far, and N the number of points in it.
	Value float64
	N     int
}

// Next takes a point and says whether the mean is beyond its limits: 1 above,
// −1 below. A NaN changes nothing.
func (e *EWMA) Next(z float64) (signal int) {
	if math.IsNaN(z) {
		return 0
	}
	e.N++
	e.Value = e.Lambda*z + (1-e.Lambda)*e.Value
	return Limits{Lower: -e.Width(), Upper: e.Width()}.Beyond(e.Value)
}

// Width is how far from 0 the mean may be now.
func (e *EWMA) Width() float64 {
	w := e.L * math.Sqrt(e.Lambda/(2-e.Lambda))
	if e.Fixed {
		return w
	}
	return w * math.Sqrt(-math.Expm1(2*float64(e.N)*math.Log1p(-e.Lambda)))
}

// CUSUM is the two-sided cumulative sum of standardised points (Page 1954). It
// does not reset itself after a signal. Its state is what Next has left.
type CUSUM struct {
	// K is what a point may be off without being counted, half the shift to be
	// found; H is the limit: see CUSUMLimit.
	K, H float64

	// Up and Down are the sums so far.
	Up, Down float64
}

// NewCUSUM returns an empty chart. With a head start both sums begin at half
// the limit (Lucas and Crosier 1982), which finds soon what is wrong from the
// start.
func NewCUSUM(k, h float64, headStart bool) *CUSUM {
	c := &CUSUM{K: k, H: h}
	if headStart {
		c.Up, c.Down = h/2, h/2
	}
	return c
}

// Next takes a point and says whether a sum is beyond the limit: 1 that of
// points above, −1 that of points below. A NaN changes nothing.
func (c *CUSUM) Next(z float64) (signal int) {
	if math.IsNaN(z) {
		return 0
	}
	c.Up = max(0, c.Up+z-c.K)
	c.Down = max(0, c.Down-z-c.K)
	switch {
	case c.Up > c.H && c.Up >= c.Down:
		return 1
	case c.Down > c.H:
		return -1
	}
	return 0
}

// PageHinkley is Page's (1954) test against a running mean, as Gama (2013) and
// others use it on streams. Points should be standardised, because Delta and
// Limit are in their unit. It has no run length by formula; simulated, one-sided
// and for normal points with (Delta, Limit): (.005, 50) 3,105; (.1, 20) 3,112;
// (.25, 10) 2,182; (.5, 5) 968.
type PageHinkley struct {
	Delta, Limit float64

	// Up and Down are the statistics so far, Mean the running mean of N points.
	Up, Down float64
	Mean     float64
	N        int
}

// Next takes a point and says whether the mean has risen (1) or fallen (−1). A
// NaN changes nothing.
func (p *PageHinkley) Next(x float64) (signal int) {
	if math.IsNaN(x) {
		return 0
	}
	p.N++
	p.Mean += (x - p.Mean) / float64(p.N)
	// U − min U and max D − D, kept as they are and not as differences of sums.
	p.Up = max(0, p.Up+x-p.Mean-p.Delta)
	p.Down = max(0, p.Down-(x-p.Mean)-p.Delta)
	switch {
	case p.Up > p.Limit && p.Up >= p.Down:
		return 1
	case p.Down > p.Limit:
		return -1
	}
	return 0
}
