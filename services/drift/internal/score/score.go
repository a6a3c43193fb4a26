// Package score judges a feature: it compares what was counted with what the
// profile expects and says ok, drift or insufficient. It is pure: no clock, no
// I/O, no state; the same counts give the same digits.
package score

import (
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Verdict is what a detector concludes.
type Verdict string

// The verdicts.
const (
	// OK: the sample looks like the reference.
	OK Verdict = "ok"
	// Drift: the index is above its threshold.
	Drift Verdict = "drift"
	// Insufficient: the sample is below its minimum, whatever the index.
	Insufficient Verdict = "insufficient"
)

// PSI is the detector of the population stability index.
const PSI = "psi"

// Score is the verdict of one detector on one feature, with everything it rests
// on.
type Score struct {
	// Feature is the position in the profile.
	Feature int
	// Detector is the name of the detector.
	Detector string
	Verdict  Verdict
	// Value is the index. It is computed for an insufficient sample too, and is
	// 0 for an empty one.
	Value float64
	// Threshold is what Value was held against; +Inf for an empty sample unless
	// the threshold is fixed.
	Threshold float64
	// Sample is the number of values in regular bins: those the index is of.
	Sample uint64
	// Minimum is the sample below which the verdict is insufficient.
	Minimum uint64
	// Counts has all bins of the feature, the special ones last.
	Counts []uint64
	// Contributions says what each regular bin adds to Value.
	Contributions []float64
}

// Feature judges feature i of p by the PSI of counts, which has an element for
// each bin, regular and special, and is kept. The special bins do not enter the
// index: a share of missing values or of unknown categories is not a shift of
// the others. It is fault.Internal when the counts are not those of the feature.
func Feature(p *profile.Profile, i int, counts []uint64) (Score, error) {
	f := &p.Features[i]
	if len(counts) != f.Cells() {
		return Score{}, fault.Internal.New("feature %q has %d bins, its counts %d", f.Name, f.Cells(), len(counts))
	}
	regular := counts[:len(f.Bins)]
	value, contributions, sample, err := profile.PSI(f.Proportions(), regular)
	if err != nil {
		return Score{}, err
	}
	s := Score{
		Feature: i, Detector: PSI, Verdict: OK, Value: value, Sample: sample,
		Threshold: p.Alert.Threshold.At(sample, len(f.Bins)), Minimum: p.Alert.Minimum(f),
		Counts: counts, Contributions: contributions,
	}
	switch {
	case sample == 0:
		// Nothing was seen: there is no index, and no bin is to blame.
		s.Value, s.Contributions, s.Verdict = 0, make([]float64, len(regular)), Insufficient
	case sample < s.Minimum:
		s.Verdict = Insufficient
	case value > s.Threshold:
		s.Verdict = Drift
	}
	return s, nil
}
