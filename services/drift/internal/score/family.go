package score

import (
	"cmp"
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// mostAlpha is the significance of a budget that would allow more.
const mostAlpha = 0.5

// significance is the false alarm rate per evaluation that a monitor asks for;
// NaN when its threshold is of another kind. The one of a budget is such that an
// alert begins as often as the budget allows: at an evaluation that finds drift
// together with k-1 of the n-1 before it.
func significance(m *profile.Monitor, perDay float64) float64 {
	switch t := &m.Threshold; t.Limit {
	case profile.Significance:
		return t.Alpha
	case profile.Budget:
		allowed := t.Pages / (t.Days * perDay)
		low, high := 0.0, mostAlpha
		if begins(high, m.Persistence) <= allowed {
			return high
		}
		for range 100 { // halves the interval to below a unit in the last place
			middle := low + (high-low)/2
			if begins(middle, m.Persistence) > allowed {
				high = middle
			} else {
				low = middle
			}
		}
		return low
	default:
		return math.NaN()
	}
}

// begins bounds the chance that an alert begins at an evaluation, each of which
// finds drift with chance alpha.
func begins(alpha float64, p profile.Persistence) float64 {
	// The chance of less than k-1 in n-1.
	fewer, term := 0.0, math.Pow(1-alpha, float64(p.N-1))
	for i := range p.K - 1 {
		fewer += term
		term *= float64(p.N-1-i) / float64(i+1) * alpha / (1 - alpha)
	}
	return alpha * max(1-fewer, 0)
}

// member is a score that is held against a significance together with others.
type member struct {
	score    int
	alpha    float64
	critical func(alpha float64) float64
}

// correct gives the members of the family their adjusted p-values, verdicts and
// thresholds.
func correct(by profile.Correction, scores []Score, family []member) {
	p := make([]float64, len(family))
	for i, m := range family {
		p[i] = scores[m.score].P
	}
	adjusted := adjust(by, p)
	for i, m := range family {
		s := &scores[m.score]
		s.Adjusted, s.Rate = adjusted[i], m.alpha
		if m.alpha > 0 && s.Adjusted <= m.alpha {
			s.Verdict = Drift
		}
		s.Threshold = m.critical(level(by, m.alpha, adjusted))
	}
}

// level is the significance that a single p-value is held against in effect: what
// is at or below it is drift at alpha, by all adjusted values of the family.
func level(by profile.Correction, alpha float64, adjusted []float64) float64 {
	n, found := float64(len(adjusted)), 0.0
	for _, p := range adjusted {
		if p <= alpha {
			found++
		}
	}
	switch by {
	case profile.Bonferroni:
		return alpha / n
	case profile.Holm:
		return alpha / max(n-found, 1)
	case profile.Uncorrected:
		return alpha
	default:
		return alpha * max(found, 1) / n
	}
}

// adjust corrects p-values: each is held against the significance itself after.
func adjust(by profile.Correction, p []float64) []float64 {
	out := slices.Clone(p)
	if by == profile.Uncorrected {
		return out
	}
	n := float64(len(p))
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	last := 0.0
	for rank, i := range order {
		switch by {
		case profile.Bonferroni:
			out[i] = min(p[i]*n, 1)
		case profile.Holm:
			last = max(last, min(p[i]*(n-float64(rank)), 1))
			out[i] = last
		default:
			out[i] = p[i] * (n / float64(rank+1))
		}
	}
	if by == profile.BenjaminiHochberg {
		last = 1
		for _, i := range slices.Backward(order) {
			last = min(last, out[i])
			out[i] = last
		}
	}
	return out
}
