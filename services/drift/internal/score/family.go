package score

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/stat"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// significance is the false alarm rate per evaluation that a monitor asks for;
// NaN when its threshold is of another kind. The one of a budget is such that an
// alert begins as often as the budget allows: at an evaluation that finds drift
// together with k-1 of the n-1 before it.
func significance(m *profile.Monitor, perDay float64) float64 {
	switch t := &m.Threshold; t.Limit {
	case profile.Significance:
		return t.Alpha
	case profile.Budget:
		allowed := budgetLevel(t.Pages, t.Days*perDay)
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
	if p.K == 1 {
		return alpha
	}
	return alpha * stat.Binomial(uint64(p.K-1), uint64(p.N-1), alpha) //nolint:gosec // validated: positive
}

// coarse is the significance at which p-values that must be drawn are drawn at
// first: a few hundred draws.
const coarse = 0.01

// test is a score that is held against a significance together with others.
type test struct {
	score    int
	detector *detect.Detector
	monitor  *profile.Monitor
	input    detect.Input
	alpha    float64
	// asked is the significance at which the detector was asked, and threshold
	// what it said of it, NaN if nothing.
	asked, threshold float64
}

// family are the tests of one evaluation.
type family struct {
	members []test
	// expected is how many there are if every sample suffices.
	expected int
}

// expected counts the judgements that are held against a significance together.
func expected(p *profile.Profile, detectors []*detect.Detector, inputs []detect.Input) (n int) {
	for k := range p.Monitors {
		m, d := &p.Monitors[k], detectors[k]
		if limit := m.Threshold.Limit; !d.HasP || limit != profile.Significance && limit != profile.Budget {
			continue
		}
		if m.Together() {
			n++
		}
		for i := range p.Features {
			if m.Watches(p.Features[i].Name) && suited(d, &inputs[i]) {
				n++
			}
		}
	}
	return n
}

// ask lets the detector of a test judge at first. A p-value that may have to be
// drawn is asked for at a coarse significance; others do not depend on it, so it
// is the one that the threshold will be of, if nothing drifts.
func (f *family) ask(by profile.Correction, t *test) detect.Result {
	switch {
	case math.IsNaN(t.alpha): // nobody looks at what the detector decides
		t.asked = profile.DefaultAlpha
	case !t.detector.HasP:
		t.asked = t.alpha
	case has(t.detector, detect.Replicates):
		t.asked = max(t.alpha, coarse)
	case by == profile.Uncorrected:
		t.asked = t.alpha
	default:
		t.asked = t.alpha / float64(max(f.expected, 1))
	}
	r := judge(t.detector, t.monitor, t.input, t.asked)
	t.remember(&r)
	return r
}

func (t *test) remember(r *detect.Result) {
	if t.threshold = math.NaN(); r.HasThreshold {
		t.threshold = r.Threshold
	}
}

// settle gives the scores of the family their adjusted p-values, verdicts and
// thresholds.
func (f *family) settle(by profile.Correction, scores []Score) {
	f.resolve(by, scores)
	p := make([]float64, len(f.members))
	for i := range f.members {
		p[i] = scores[f.members[i].score].P
	}
	adjusted := adjust(by, p)
	levels := f.levels(by, adjusted)
	for i := range f.members {
		t := &f.members[i]
		s := &scores[t.score]
		s.Adjusted, s.Rate = adjusted[i], t.alpha
		if t.alpha > 0 && s.Adjusted <= t.alpha {
			s.Verdict = Drift
		}
		s.Threshold = t.thresholdAt(levels[t.alpha], s)
	}
}

// levels are the effective levels of each significance in the family.
func (f *family) levels(by profile.Correction, adjusted []float64) map[float64]float64 {
	levels := map[float64]float64{}
	for i := range f.members {
		alpha := f.members[i].alpha
		if _, ok := levels[alpha]; !ok {
			levels[alpha] = level(by, alpha, adjusted)
		}
	}
	return levels
}

// rounds bounds how often p-values are drawn again, each time fewer of them.
const rounds = 5

// resolve draws p-values again that were drawn for a coarser level than the one
// that many together are held against, where they may be drift. What may be is
// counted as drift, for the more there is the coarser that level is; those that
// stay small are drawn more finely, until their level is the right one.
func (f *family) resolve(by profile.Correction, scores []Score) {
	for range rounds {
		hopeful, candidates := make([]float64, len(f.members)), []*test(nil)
		for i := range f.members {
			t := &f.members[i]
			s := &scores[t.score]
			hopeful[i] = s.P
			if s.Method == string(detect.MonteCarlo) && s.P <= t.asked {
				hopeful[i] = 0
				candidates = append(candidates, t)
			}
		}
		if len(candidates) == 0 {
			return
		}
		levels := f.levels(by, adjust(by, hopeful))
		again := false
		for _, t := range candidates {
			if fine := levels[t.alpha]; fine > 0 && fine < t.asked {
				r := judge(t.detector, t.monitor, t.input, fine)
				t.remember(&r)
				scores[t.score].P, t.asked, again = r.P, fine, true
			}
		}
		if !again {
			return
		}
	}
}

// thresholdAt is what the statistic is held against at a significance; NaN where
// that would have to be drawn, or is beyond what detectors take.
func (t *test) thresholdAt(level float64, s *Score) float64 {
	switch {
	case level <= 0:
		return math.Inf(1)
	case level < leastAlpha || level > mostAlpha:
		return math.NaN()
	case level == t.asked:
		return t.threshold
	case s.Method == string(detect.MonteCarlo):
		return math.NaN()
	}
	r := judge(t.detector, t.monitor, t.input, level)
	t.remember(&r)
	return t.threshold
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
	switch by {
	case profile.Bonferroni:
		return stat.Bonferroni(p)
	case profile.Holm:
		return stat.Holm(p)
	case profile.Uncorrected:
		return p
	default:
		return stat.BenjaminiHochberg(p)
	}
}
