package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/exact"
)

const (
	// fewOfClass is how many of each class an AUC needs.
	fewOfClass = 10
	// defaultCut is from what probability on a row is predicted positive.
	defaultCut = 0.5
)

// AUC is the area under the ROC curve of scores in bins, ties counted half, and
// its standard error (DeLong, DeLong and Clarke-Pearson 1988), both exact for
// the binned score: with a bin per distinct score they are those of the scores.
// The area is not ok without both classes; with one of a class the error is 0.
func AUC(bins []ScoreBin) (area, se float64, ok bool) {
	var p, q float64
	for _, b := range bins {
		positive, negative := float64(b.Positive), float64(b.Negative)
		p, q = p+positive, q+negative
	}
	if !(p > 0 && q > 0) {
		return 0, 0, false
	}
	above, below := p, 0.0
	v, w := make([]float64, len(bins)), make([]float64, len(bins))
	for i, b := range bins {
		positive, negative := float64(b.Positive), float64(b.Negative)
		above -= positive
		v[i] = (max(above, 0) + positive/2) / p
		w[i] = (below + negative/2) / q
		below += negative
		area += negative / q * v[i]
	}
	var ofPositive, ofNegative float64
	for i, b := range bins {
		positive, negative := float64(b.Positive), float64(b.Negative)
		ofPositive += positive * (w[i] - area) * (w[i] - area)
		ofNegative += negative * (v[i] - area) * (v[i] - area)
	}
	if p > 1 && q > 1 {
		se = math.Sqrt(ofPositive/p/(p-1) + ofNegative/q/(q-1))
	}
	return area, se, true
}

// auc is the change of the area under the ROC curve, z = (AUC_c − AUC_r)/√(SE² +
// SE²), against the normal distribution. Each side needs ten of each class.
var auc = &Detector{
	Name: "auc", Help: "area under the ROC curve",
	Needs: needScores, HasP: true, Params: []Param{alphaParam(), minimumParam(2 * fewOfClass)},
	judge: func(in *Input, p params) Result {
		var r Result
		few := false
		rows := func(s *Side) uint64 {
			var positive, negative uint64
			for _, b := range s.Performance.Scores {
				positive, negative = positive+b.Positive, negative+b.Negative
			}
			few = few || min(positive, negative) < fewOfClass
			return positive + negative
		}
		r.Reference, r.Current = rows(&in.Reference), rows(&in.Current)
		a, sa, okA := AUC(in.Reference.Performance.Scores)
		b, sb, okB := AUC(in.Current.Performance.Scores)
		if few || !okA || !okB {
			return r
		}
		return r.difference(b-a, math.Hypot(sa, sb), p[Alpha])
	},
}

// cbpeAccuracy is the change of the accuracy that is to be expected, without
// labels (NannyML's confidence-based performance estimation): the mean over rows
// of π where positive is predicted and of 1−π elsewhere, by Welch's test. It
// believes that the probabilities are calibrated still, so that it sees a change
// of the rows and is blind to one of what they mean: see calibration.
var cbpeAccuracy = &Detector{
	Name: "cbpe_accuracy", Help: "accuracy to be expected without labels; blind to concept drift",
	Needs: needScores, HasP: true, Params: []Param{
		alphaParam(), atLeast(trustedMean, 2), {Name: "cut", Help: "probability predicted positive", Default: defaultCut, Min: 0, Max: 1},
	},
	judge: func(in *Input, p params) Result {
		right := func(s *Side) *exact.Moments {
			m := exact.NewMoments(3)
			for _, b := range s.Performance.Scores {
				if b.Score >= p["cut"] {
					m.AddTimes(b.Score, b.Rows)
				} else {
					m.AddTimes(1-b.Score, b.Rows)
				}
			}
			return m
		}
		return welch(right(&in.Reference), right(&in.Current), p)
	},
}

// calibration is whether as many of the sample came true as its probabilities
// said: z = (Σy − Σπ)/√Σπ(1−π) over the rows with labels. Judge the reference by
// it, too, before an estimate without labels is believed.
var calibration = &Detector{
	Name: "calibration", Help: "labels against predicted probabilities",
	Needs: needScores, HasP: true, Params: []Param{alphaParam()},
	judge: func(in *Input, p params) Result {
		var r Result
		for _, b := range in.Reference.Performance.Scores {
			r.Reference += b.Positive + b.Negative
		}
		var came, variance float64
		for _, b := range in.Current.Performance.Scores {
			n := b.Positive + b.Negative
			r.Current += n
			came += float64(b.Positive) - float64(n)*b.Score
			variance += float64(n) * b.Score * (1 - b.Score)
		}
		if r.Current == 0 {
			return r
		}
		// The normal distribution wants some variance.
		r.Sufficient = variance >= 5
		return r.difference(came, math.Sqrt(variance), p[Alpha])
	},
}
