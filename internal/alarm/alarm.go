// Package alarm is the arithmetic of false alarms: what a threshold of so many
// standard deviations of reference chunks really alarms on, what asking for k
// of n evaluations does to a rate, and which level keeps a budget of pages. All
// rates are those when nothing has changed. It is pure.
package alarm

import (
	"errors"
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/internal/stat"
)

const (
	// MinChunks is the least number of reference chunks to take a threshold
	// from; below FewChunks one should be told.
	MinChunks = 10
	// FewChunks is where a threshold begins to be steady.
	FewChunks = 20
	// drawsPerAlarm is how many Monte Carlo draws a level needs, times itself.
	drawsPerAlarm = 20
)

// ErrFewChunks says that there are fewer chunks than MinChunks.
var ErrFewChunks = errors.New("alarm: too few reference chunks")

// Band is the mean of a statistic over reference chunks and how far from it an
// evaluation may be.
type Band struct {
	Mean  float64 `json:"mean"`
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`
	// Chunks is how many it was taken from.
	Chunks int `json:"chunks"`
	// Rate is how often a further chunk is outside, if their values are normal
	// and the window is of their size: 0.0239 for 3 sd of 10 chunks, and never
	// the 0.0027 of the normal distribution. With skewed statistics it is
	// higher: 3.0 % for one like PSI, on the upper side alone.
	Rate float64 `json:"rate"`
}

// NewBand takes mean ± k population standard deviations of the statistic over
// reference chunks, as NannyML does with k = 3 and 10 chunks. Values that are
// not finite do not count.
func NewBand(chunks []float64, k float64) (Band, error) {
	x := slices.DeleteFunc(slices.Clone(chunks), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	if len(x) < MinChunks {
		return Band{}, ErrFewChunks
	}
	n := float64(len(x))
	scale := 0.0 // so that squares neither overflow nor vanish
	for _, v := range x {
		scale = max(scale, math.Abs(v))
	}
	b := Band{Chunks: len(x), Rate: BandRate(k, len(x))}
	if scale == 0 {
		return b, nil
	}
	var mean, squares float64
	for _, v := range x {
		mean += v / scale / n
	}
	for _, v := range x {
		d := v/scale - mean
		squares += d * d
	}
	b.Mean = mean * scale
	width := k * math.Sqrt(squares/n)
	b.Lower, b.Upper = finite((mean-width)*scale), finite((mean+width)*scale)
	return b, nil
}

func finite(x float64) float64 { return max(-math.MaxFloat64, min(math.MaxFloat64, x)) }

// Outside says whether a value is beyond the band; one on its edge is not.
func (b Band) Outside(x float64) bool { return x < b.Lower || x > b.Upper }

// BandRate is how often a value is outside of mean ± k·sd of K others like it,
// normal and independent: (x − mean)/sd·√((K−1)/(K+1)) is Student's t with K−1
// degrees of freedom.
func BandRate(k float64, chunks int) float64 {
	n := float64(chunks)
	return 2 * stat.Student(k*math.Sqrt((n-1)/(n+1)), n-1)
}

// BandWidth is the k that gives a rate.
func BandWidth(rate float64, chunks int) float64 {
	n := float64(chunks)
	return stat.StudentQuantile(rate/2, n-1) * math.Sqrt((n+1)/(n-1))
}

// Persistence asks for K alarms in the last Of evaluations. Its rates hold for
// disjoint windows and a reference ten times their size; windows that overlap
// count the same data again.
type Persistence struct {
	K  int `json:"k"`
	Of int `json:"of"`
}

// Valid says whether 1 ≤ K ≤ Of.
func (p Persistence) Valid() bool { return p.K >= 1 && p.K <= p.Of }

// Rate is how often an evaluation finds K of the last Of beyond a level.
func (p Persistence) Rate(level float64) float64 {
	if !p.Valid() {
		return 1
	}
	return stat.Binomial(uint64(p.K), uint64(p.Of), level)
}

// Level is the level of a single evaluation that gives a rate.
func (p Persistence) Level(rate float64) float64 {
	if !p.Valid() || rate <= 0 || rate >= 1 {
		return min(max(rate, 0), 1)
	}
	// In logarithms: levels of 1e-12 have digits too.
	low, high := math.Log(rate/float64(p.Of)), 0.0
	for range 200 {
		middle := (low + high) / 2
		if p.Rate(math.Exp(middle)) < rate {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Exp((low + high) / 2)
}

// Met says whether the last Of of the given alarms, oldest first, has K.
func (p Persistence) Met(alarms []bool) bool {
	n := 0
	for _, a := range alarms[max(0, len(alarms)-p.Of):] {
		if a {
			n++
		}
	}
	return p.Valid() && n >= p.K
}

// Budget is how many false pages are allowed in a time, over so many
// evaluations of families of tests in it. Under no drift at all the chance of
// any alarm of a family is its level, and the expected number of pages is their
// sum whatever depends on what.
type Budget struct {
	Pages       float64 `json:"pages"`
	Evaluations float64 `json:"evaluations"`
}

// Level is the level of a family that spends the budget exactly, and 1 where
// there is nothing to spend it on.
func (b Budget) Level() float64 {
	if b.Evaluations <= 0 {
		return 1
	}
	return min(1, max(0, b.Pages/b.Evaluations))
}

// overlaps are how many pages come for each alarm of evaluations whose windows
// overlap so many times (length over step), with one page until it has been
// quiet for a window, at a level of 1 %: simulated.
var overlaps = []struct {
	times int
	share float64
}{{288, .02}, {60, .10}, {15, .30}, {5, .62}, {1, 1}}

// Overlap is how many pages come for each alarm of evaluations whose windows
// are times their step long: that of the nearest simulated ratio that is not
// greater, so that it is never too few.
func Overlap(times float64) float64 {
	for _, o := range overlaps {
		if times >= float64(o.times) {
			return o.share
		}
	}
	return 1
}

// Draws is how many Monte Carlo draws a p-value needs to be compared with a
// level: 20/level, and no fewer than 999.
func Draws(level float64) int {
	return int(max(999, math.Ceil(drawsPerAlarm/max(level, 1e-7))))
}
