package score

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Outcomes is how predictions of a sample compare with what came true.
type Outcomes struct {
	// Right and the others count rows of which both are known, as
	// [profile.Comparison] does.
	Right, Wrong                                             uint64
	TruePositive, FalsePositive, FalseNegative, TrueNegative uint64
	// Positives and Negatives have an element for each bin of the score.
	Positives, Negatives []uint64
	// Absolute and Squared are of the errors of numbers, of order 2.
	Absolute, Squared *exact.Moments
}

// performance is what detectors of performance look at: the reference's and the
// sample's; nil when it was not measured.
func performance(p *profile.Profile, sample Sample) (reference, current *detect.Performance) {
	o, now := p.Outcome, sample.Outcomes
	if o.Reference == nil || now == nil {
		return nil, nil
	}
	was := o.Reference
	reference, current = new(detect.Performance), new(detect.Performance)
	if was.Right+was.Wrong > 0 {
		reference.Confusion = confusion(o, was.Right, was.Wrong, detect.Confusion{
			TruePositive: was.TruePositive, FalsePositive: was.FalsePositive, FalseNegative: was.FalseNegative, TrueNegative: was.TrueNegative,
		})
		current.Confusion = confusion(o, now.Right, now.Wrong, detect.Confusion{
			TruePositive: now.TruePositive, FalsePositive: now.FalsePositive, FalseNegative: now.FalseNegative, TrueNegative: now.TrueNegative,
		})
	}
	if i := p.Feature(o.Score); i >= 0 {
		chances, f := calibrated(was.Positives, was.Negatives), &p.Features[i]
		rows := make([]uint64, len(f.Bins)) // with or without a label
		for k := range f.Bins {
			rows[k] = f.Bins[k].Count
		}
		reference.Scores = scoreBins(chances, was.Positives, was.Negatives, rows)
		current.Scores = scoreBins(chances, now.Positives, now.Negatives, sample.Counts[i][:len(f.Bins)])
	}
	if was.Absolute.Number > 0 {
		reference.Absolute, reference.Squared = momentsLike(was.Absolute), momentsLike(was.Squared)
		current.Absolute, current.Squared = now.Absolute, now.Squared
	}
	return reference, current
}

// confusion is by the positive category or, where all are alike, by right and
// wrong alone, which has an accuracy and no more.
func confusion(o *profile.Outcome, right, wrong uint64, by detect.Confusion) *detect.Confusion {
	if o.Positive == "" {
		return &detect.Confusion{TruePositive: right, FalsePositive: wrong}
	}
	return &by
}

// calibrated is the chance of the positive category in each bin of the score, by
// the reference: shares made ascending by pooling neighbours that are not (Ayer et
// al. 1955, as Zadrozny and Elkan 2002 calibrate). A bin without rows goes by its
// neighbour below, or above where there is none.
func calibrated(positives, negatives []uint64) []float64 {
	type pool struct {
		positive, all float64
		bins          int
	}
	var pools []pool
	for i := range positives {
		p := pool{float64(positives[i]), float64(positives[i]) + float64(negatives[i]), 1}
		for len(pools) > 0 {
			last := pools[len(pools)-1]
			if p.all > 0 && last.all > 0 && last.positive*p.all < p.positive*last.all {
				break
			}
			pools = pools[:len(pools)-1]
			p = pool{last.positive + p.positive, last.all + p.all, last.bins + p.bins}
		}
		pools = append(pools, p)
	}
	chances := make([]float64, 0, len(positives))
	for _, p := range pools {
		chance := 0.0
		if p.all > 0 {
			chance = p.positive / p.all
		}
		for range p.bins {
			chances = append(chances, chance)
		}
	}
	return chances
}

// scoreBins are the bins of a side. Rows are at least those with a label.
func scoreBins(chances []float64, positives, negatives, rows []uint64) []detect.ScoreBin {
	bins := make([]detect.ScoreBin, len(chances))
	at := func(counts []uint64, i int) uint64 {
		if i < len(counts) {
			return counts[i]
		}
		return 0
	}
	for i := range bins {
		bins[i] = detect.ScoreBin{Score: chances[i], Positive: at(positives, i), Negative: at(negatives, i), Rows: at(rows, i)}
		bins[i].Rows = max(bins[i].Rows, bins[i].Positive+bins[i].Negative)
	}
	return bins
}

// momentsLike are moments of so many values with that mean and that standard
// deviation: two values, half of them each, and for an odd number the mean once.
func momentsLike(s profile.Spread) *exact.Moments {
	m := exact.NewMoments(2)
	half := s.Number / 2
	if half == 0 {
		m.AddTimes(s.Mean, s.Number)
		return m
	}
	d := s.StdDev * math.Sqrt(float64(s.Number)/float64(2*half))
	m.AddTimes(s.Mean-d, half)
	m.AddTimes(s.Mean+d, half)
	m.AddTimes(s.Mean, s.Number-2*half)
	return m
}
