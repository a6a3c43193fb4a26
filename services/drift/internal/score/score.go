// Package score judges what was counted: each monitor of a profile holds its
// features against the reference and says ok, drift or insufficient, by a
// significance that is kept over all of them. It is pure: no clock, no I/O, no
// state; the same counts give the same digits.
package score

import (
	"math"

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
	// Insufficient: the sample is below its minimum, whatever the statistic.
	Insufficient Verdict = "insufficient"
)

// Score is the verdict of one monitor on one feature, with everything it rests
// on. NaN stands for a number that there is not.
type Score struct {
	// Monitor is the name of the monitor, Detector that of its detector.
	Monitor, Detector string
	// Feature is the position in the profile.
	Feature int
	Verdict Verdict
	// Value is the statistic. It is computed for an insufficient sample too.
	Value float64
	// Threshold is what Value was held against, in its own unit: beyond it is
	// drift. It is +Inf when no value can be. Lower is likewise, downwards.
	Threshold, Lower float64
	// P is the chance of such a value where nothing moved, and Adjusted the same
	// corrected over the evaluation. Rate is the significance that Adjusted was
	// held against: how often there is drift where nothing moved.
	P, Adjusted, Rate float64
	// Sample and Reference are the numbers of values that Value rests on;
	// Reference is 0 when only shares are known.
	Sample, Reference uint64
	// Minimum is the sample below which the verdict is insufficient.
	Minimum uint64
	// Counts has all bins of the feature, the special ones last.
	Counts []uint64
	// Contributions says what each bin adds to Value, in the order of Counts; it
	// may end before the special ones.
	Contributions []float64
}

// Evaluate judges what was counted: counts has for each feature of p an element
// for each bin, regular and special, and is kept. perDay is how many evaluations
// of the profile a day has, for thresholds that are a budget. Scores come in the
// order of monitors, and of features within. It is fault.Internal when the counts
// are not those of the features.
func Evaluate(p *profile.Profile, counts [][]uint64, perDay float64) ([]Score, error) {
	for i := range p.Features {
		if f := &p.Features[i]; len(counts[i]) != f.Cells() {
			return nil, fault.Internal.New("feature %q has %d bins, its counts %d", f.Name, f.Cells(), len(counts[i]))
		}
	}
	var scores []Score
	var family []member
	for k := range p.Monitors {
		m := &p.Monitors[k]
		detector, ok := detectors[m.Detector]
		if !ok {
			return nil, fault.Internal.New("there is no detector %q", m.Detector)
		}
		alpha := significance(m, perDay)
		for i := range p.Features {
			f := &p.Features[i]
			if !m.Watches(f.Name) {
				continue
			}
			s, critical := measure(detector, m, f, counts[i])
			s.Feature = i
			if s.Verdict == OK && !math.IsNaN(alpha) && !math.IsNaN(s.P) {
				family = append(family, member{score: len(scores), alpha: alpha, critical: critical})
			}
			scores = append(scores, s)
		}
	}
	correct(p.Correction, scores, family)
	return scores, nil
}

// measure lets the detector look at a feature, and decides where the threshold is
// one of the statistic. Where it is a significance the verdict is OK as yet.
func measure(d detector, m *profile.Monitor, f *profile.Feature, counts []uint64) (Score, func(alpha float64) float64) {
	nan := math.NaN()
	s := Score{
		Monitor: m.Name, Detector: m.Detector, Verdict: OK, Threshold: nan, Lower: nan, P: nan, Adjusted: nan, Rate: nan,
		Minimum: m.Minimum(f), Counts: counts,
	}
	found := d.judge(m, f, counts)
	s.Value, s.P, s.Sample, s.Reference, s.Contributions = found.value, found.p, found.sample, found.reference, found.contributions
	switch t := &m.Threshold; t.Limit {
	case profile.Fixed:
		s.Threshold = t.Value
	case profile.Deviations:
		c := t.Chunks[f.Name]
		s.Threshold = c.Mean + float64(t.Sigmas*c.StdDev)
	case profile.Significance, profile.Budget:
	}
	switch {
	case s.Sample == 0 || s.Sample < s.Minimum || math.IsNaN(s.Value):
		s.Verdict = Insufficient
	case s.Value > s.Threshold:
		s.Verdict = Drift
	}
	return s, found.critical
}
