package chart

import "math"

// Rule is a pattern of standardised points that is rare when nothing has
// changed. Comparisons are strict: a point on a line is neither beyond it nor
// on a side. A pattern is reported at the point that completes it, which must
// itself belong to it.
type Rule struct {
	Name string
	// Hits of the last Of points make the pattern.
	Hits, Of int
	// Sigma is the line that the points are beyond or, for within, inside of.
	Sigma float64

	shape shape
}

type shape int

const (
	beyond      shape = iota // beyond the line, on the same side
	eitherSide               // beyond the line, on any side
	within                   // inside of the lines
	trend                    // each above the one before, or each below
	alternation              // up and down in turn
)

// The rules, by the names they are reported under.
var (
	beyond3     = Rule{Name: "1 beyond 3σ", Hits: 1, Of: 1, Sigma: 3}
	two3        = Rule{Name: "2 of 3 beyond 2σ", Hits: 2, Of: 3, Sigma: 2}
	four5       = Rule{Name: "4 of 5 beyond 1σ", Hits: 4, Of: 5, Sigma: 1}
	eightSide   = Rule{Name: "8 on one side", Hits: 8, Of: 8}
	nineSide    = Rule{Name: "9 on one side", Hits: 9, Of: 9}
	six         = Rule{Name: "6 rising or falling", Hits: 6, Of: 6, shape: trend}
	fourteen    = Rule{Name: "14 alternating", Hits: 14, Of: 14, shape: alternation}
	fifteen     = Rule{Name: "15 within 1σ", Hits: 15, Of: 15, Sigma: 1, shape: within}
	eightBeyond = Rule{Name: "8 outside 1σ", Hits: 8, Of: 8, Sigma: 1, shape: eitherSide}
)

// Shewhart is the one rule of a point beyond three sigmas.
func Shewhart() []Rule { return []Rule{beyond3} }

// WesternElectric are the four rules of the Western Electric handbook (1956).
// Together they alarm once in 91.75 points when nothing has changed (Champ and
// Woodall 1987).
func WesternElectric() []Rule { return []Rule{beyond3, two3, four5, eightSide} }

// Nelson are Nelson's (1984) eight rules, which alarm once in 72 points when
// nothing has changed.
func Nelson() []Rule {
	return []Rule{beyond3, nineSide, six, fourteen, two3, four5, fifteen, eightBeyond}
}

// Signal is a rule that a point completes.
type Signal struct {
	// Index is that of the point.
	Index int `json:"index"`
	// Rule is the rule's name.
	Rule string `json:"rule"`
}

// Signals applies rules to standardised points, oldest first. The signals are
// in the order of points, and of rules within one.
func Signals(z []float64, rules []Rule) []Signal {
	var signals []Signal
	seen := make([]float64, 0, len(z))
	for i, v := range z {
		if math.IsNaN(v) {
			continue
		}
		seen = append(seen, v)
		for _, r := range rules {
			if r.Completed(seen) {
				signals = append(signals, Signal{Index: i, Rule: r.Name})
			}
		}
	}
	return signals
}

// Completed says whether the last of the points completes the pattern. There
// must be no NaN among them.
func (r Rule) Completed(z []float64) bool {
	if len(z) < r.Hits {
		return false
	}
	last := z[max(0, len(z)-r.Of):]
	if r.shape == trend {
		return monotone(last, 1) || monotone(last, -1)
	}
	if r.shape == alternation {
		return alternates(last)
	}
	side := math.Copysign(1, last[len(last)-1])
	hits := 0
	for i := range last {
		hit := r.hit(last[i], side)
		if hit {
			hits++
		} else if i == len(last)-1 {
			return false
		}
	}
	return hits >= r.Hits
}

func (r Rule) hit(z, side float64) bool {
	switch r.shape {
	case eitherSide:
		return math.Abs(z) > r.Sigma
	case within:
		return math.Abs(z) < r.Sigma
	default:
		return z*side > r.Sigma
	}
}

func monotone(z []float64, sign float64) bool {
	for i := 1; i < len(z); i++ {
		if sign*z[i] <= sign*z[i-1] {
			return false
		}
	}
	return true
}

func alternates(z []float64) bool {
	for i := 1; i < len(z); i++ {
		if z[i] == z[i-1] || i > 1 && (z[i] > z[i-1]) == (z[i-1] > z[i-2]) {
			return false
		}
	}
	return true
}
