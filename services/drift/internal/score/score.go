// Package score judges what was counted: each monitor of a profile lets its
// detector (package detect) hold its features against the reference, and says ok,
// drift or insufficient, by a significance that is kept over all of them. It is
// pure: no clock, no I/O, no state; the same counts give the same digits.
package score

import (
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Verdict is what a monitor concludes.
type Verdict string

// The verdicts.
const (
	// OK: the sample looks like the reference.
	OK Verdict = "ok"
	// Drift: the statistic is beyond its threshold.
	Drift Verdict = "drift"
	// Insufficient: there is too little to judge by, whatever the statistic.
	Insufficient Verdict = "insufficient"
)

// Score is the verdict of one monitor on one feature, with everything it rests
// on. NaN stands for a number that there is not.
type Score struct {
	// Monitor is the name of the monitor, Detector that of its detector.
	Monitor, Detector string
	// Feature is the position in the profile, or that of a group after all features:
	// see [Subject].
	Feature int
	Verdict Verdict
	// Value is the statistic. It is computed for an insufficient sample too.
	Value float64
	// Judged is what P and Threshold belong to, where that is not Value: the
	// statistic after rare cells were merged, or its size where it has a sign.
	Judged float64
	// Threshold is what the statistic was held against, in its own unit: beyond it
	// is drift. It is +Inf when no value can be. Lower is likewise, downwards.
	Threshold, Lower float64
	// P is the chance of such a value where nothing moved, and Adjusted the same
	// corrected over the evaluation. Rate is how often there is drift where
	// nothing moved: the significance that Adjusted was held against, or what is
	// known of another threshold.
	P, Adjusted, Rate float64
	// Method says where P comes from; empty when there is none.
	Method string
	// Caveats are things to know about the numbers.
	Caveats []string
	// Sample and Reference are the numbers of values that Value rests on.
	Sample, Reference uint64
	// Minimum is the sample below which the verdict is insufficient; 0 leaves it
	// to the detector.
	Minimum uint64
	// Counts has all bins of the feature, the special ones last; of a group, complete
	// records and others.
	Counts []uint64
	// Contributions says what each bin adds to Value, in the order of Counts; it
	// may end before the special ones. Of a group, what each of its features adds.
	Contributions []float64

	charted bool
}

// chart adds what only charts have: the patterns that were found, and how often
// there are any. That is known of those with a run length.
func (s *Score) chart(m *profile.Monitor, d *detect.Detector, r *detect.Result) {
	s.charted = true
	if run := parameter(m, d, detect.RunLength); run > 0 {
		s.Rate = 1 / run
	}
	last := 0
	for _, signal := range r.Signals {
		last = max(last, signal.Index)
	}
	for _, signal := range r.Signals {
		if name := "pattern " + signal.Rule; signal.Index == last && r.Judged > r.Threshold && !slices.Contains(s.Caveats, name) {
			s.Caveats = append(s.Caveats, name)
		}
	}
}

// Sample is what was counted.
type Sample struct {
	// Counts has for each feature an element for each bin, regular and special. It
	// is kept.
	Counts [][]uint64
	// Outcomes is nil when the profile has no outcome.
	Outcomes *Outcomes
	// Measures has an element for each feature, or is nil when no monitor looks at
	// more than counts; Timing likewise.
	Measures []Measures
	Timing   *Timing
	// Groups has an element for each group of the profile, or is nil where what they
	// have is not known.
	Groups []*profile.Products
}

// Evaluate judges a sample of the features of p. perDay is how many evaluations
// of the profile a day has, for thresholds that are a budget. Scores come in the
// order of monitors, and of features within; there is none of a feature that a
// monitor was not asked for by name and cannot judge. It is fault.Internal when
// the counts are not those of the features.
func Evaluate(p *profile.Profile, sample Sample, perDay float64) ([]Score, error) {
	counts := sample.Counts
	inputs := make([]detect.Input, len(p.Features))
	for i := range p.Features {
		f := &p.Features[i]
		if len(counts[i]) != f.Cells() {
			return nil, fault.Internal.New("feature %q has %d bins, its counts %d", f.Name, f.Cells(), len(counts[i]))
		}
		inputs[i] = inputOf(p, f, counts[i])
		measure(&inputs[i], p, f, &sample, i)
	}
	if o := p.Outcome; o != nil {
		target := &inputs[p.Feature(o.Target)]
		target.Reference.Performance, target.Current.Performance = performance(p, sample)
	}
	detectors := make([]*detect.Detector, len(p.Monitors))
	for k := range p.Monitors {
		if detectors[k] = find(p.Monitors[k].Detector); detectors[k] == nil {
			return nil, fault.Internal.New("there is no detector %q", p.Monitors[k].Detector)
		}
	}
	var scores []Score
	tests := family{expected: expected(p, detectors, inputs)}
	for k := range p.Monitors {
		m, d := &p.Monitors[k], detectors[k]
		alpha := significance(m, perDay)
		if m.Together() {
			s, err := tests.together(p, m, &sample, test{score: len(scores), detector: d, monitor: m, alpha: alpha})
			if err != nil {
				return nil, err
			}
			scores = append(scores, s)
			continue
		}
		for i := range p.Features {
			f := &p.Features[i]
			if !m.Watches(f.Name) {
				continue
			}
			t := test{score: len(scores), detector: d, monitor: m, input: inputs[i], alpha: alpha}
			t.input.Seed = seedOf(p, m, f.Name)
			if charted(d) {
				lay(&t.input, m, d, p, i, &sample)
			}
			known := measured(d, &sample, i)
			r := tests.ask(p.Correction, &t)
			if r.Caveats&detect.Unsuited != 0 && len(m.Features) == 0 && (known || lacks(f, d) != "") {
				continue
			}
			s := scoreOf(m, f, &r, counts[i])
			s.Feature = i
			if !known {
				s.Caveats = append(s.Caveats, unmeasured)
			}
			if charted(d) {
				s.chart(m, d, &r)
			}
			if s.decide(m, f.Name, &r, alpha); s.Verdict == OK && d.HasP && !math.IsNaN(alpha) && !math.IsNaN(s.P) {
				tests.members = append(tests.members, t)
			}
			scores = append(scores, s)
		}
	}
	tests.settle(p.Correction, scores)
	return scores, nil
}

// unmeasured is the caveat of a sample that was counted, at least in part, before
// what the detector looks at was measured, and whose records are gone.
const unmeasured = "unmeasured"

func scoreOf(m *profile.Monitor, f *profile.Feature, r *detect.Result, counts []uint64) Score {
	s := newScore(m, r)
	s.Minimum, s.Counts, s.Contributions = m.Minimum(f), counts, make([]float64, len(counts))
	copy(s.Contributions, r.Cells)
	s.Contributions[f.SpecialCell(profile.Other)] = r.Unseen
	return s
}

// newScore has the numbers of a result.
func newScore(m *profile.Monitor, r *detect.Result) Score {
	nan := math.NaN()
	s := Score{
		Monitor: m.Name, Detector: m.Detector, Verdict: OK, Value: nan, Judged: nan, Threshold: nan, Lower: nan, P: nan, Adjusted: nan, Rate: nan,
		Method: string(r.Method), Caveats: r.Caveats.Names(), Sample: r.Current, Reference: r.Reference,
	}
	if r.Caveats&(detect.Unsuited|detect.Malformed) != 0 || min(r.Reference, r.Current) == 0 && !r.Sufficient {
		return s // there is nothing to compare, and no bin is to blame
	}
	s.Value = r.Statistic
	if r.Judged != r.Statistic {
		s.Judged = r.Judged
	}
	if r.HasP {
		s.P = r.P
	}
	return s
}

// decide concludes where that needs no other score. Where it is a significance
// that is kept over many, the verdict is OK as yet.
func (s *Score) decide(m *profile.Monitor, subject string, r *detect.Result, alpha float64) {
	drift := false
	switch t := &m.Threshold; t.Limit {
	case profile.Fixed:
		s.Threshold = t.Value
		drift = math.Abs(s.Value) > t.Value
	case profile.Deviations:
		c := t.Chunks[subject]
		width := float64(t.Sigmas * c.StdDev)
		s.Lower, s.Threshold = c.Mean-width, c.Mean+width
		s.Rate = bandRate(t.Sigmas, c.Number)
		drift = s.Value < s.Lower || s.Value > s.Threshold
	default:
		if !r.HasP && r.HasThreshold { // a detector that has a threshold but no p-value
			s.Threshold = r.Threshold
			if drift = r.Alarm && alpha > 0; !s.charted {
				s.Rate = alpha
			}
		}
	}
	switch {
	case math.IsNaN(s.Value) || s.Sample < s.Minimum || !r.Sufficient:
		s.Verdict = Insufficient
	case drift:
		s.Verdict = Drift
	}
}
