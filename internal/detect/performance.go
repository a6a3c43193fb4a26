package detect

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/internal/stat"
)

// Performance is how predictions compare with what came true. What is nil was
// not measured.
type Performance struct {
	// Confusion counts classes that were predicted and labelled.
	Confusion *Confusion
	// Scores are bins of predicted scores, in ascending order.
	Scores []ScoreBin
	// Absolute and Squared are the moments of |e| and e², the errors of numbers.
	Absolute, Squared *exact.Moments
}

// Confusion counts pairs of prediction and label.
type Confusion struct{ TruePositive, FalsePositive, FalseNegative, TrueNegative uint64 }

// ScoreBin counts rows of a predicted score.
type ScoreBin struct {
	// Score is the calibrated probability of the positive class, for estimates
	// without labels.
	Score float64
	// Positive and Negative are rows with a label, Rows all of them.
	Positive, Negative, Rows uint64
}

// Accuracy, precision and recall are shares of rows, and compared as such.
// Without predicted positives there is no precision, without real ones no
// recall: no verdict then.
var (
	accuracy = confusionShare("accuracy", "share of right predictions", func(c *Confusion) (uint64, uint64) {
		return c.TruePositive + c.TrueNegative, c.TruePositive + c.FalsePositive + c.FalseNegative + c.TrueNegative
	})
	precision = confusionShare("precision", "share of predicted positives that are", func(c *Confusion) (uint64, uint64) {
		return c.TruePositive, c.TruePositive + c.FalsePositive
	})
	recall = confusionShare("recall", "share of positives that are predicted", func(c *Confusion) (uint64, uint64) {
		return c.TruePositive, c.TruePositive + c.FalseNegative
	})
)

func confusionShare(name, help string, of func(*Confusion) (uint64, uint64)) *Detector {
	return share(name, help, needConfusion, func(s *Side) (uint64, uint64) { return of(s.Performance.Confusion) })
}

// f1 is the change of the harmonic mean of precision and recall.
//
// F = 2TP/D with D = 2TP+FP+FN. By the delta method on a multinomial sample its
// variance is F(1−F)(2−F)/D; z = (F_c − F_r)/√(v_r+v_c), against the normal
// distribution.
var f1 = &Detector{
	Name: "f1", Help: "harmonic mean of precision and recall",
	Needs: needConfusion, HasP: true, Params: []Param{alphaParam(), minimumParam(30)},
	judge: func(in *Input, p params) Result {
		score := func(c *Confusion) (f, variance, d float64) {
			d = 2*float64(c.TruePositive) + float64(c.FalsePositive) + float64(c.FalseNegative)
			if d == 0 {
				return 0, 0, 0
			}
			f = 2 * float64(c.TruePositive) / d
			return f, f * (1 - f) * (2 - f) / d, d
		}
		a, va, da := score(in.Reference.Performance.Confusion)
		b, vb, db := score(in.Current.Performance.Confusion)
		r := Result{Reference: in.Reference.Performance.Confusion.relevant(), Current: in.Current.Performance.Confusion.relevant()}
		if da == 0 || db == 0 {
			return r
		}
		return r.difference(b-a, math.Sqrt(va+vb), p[Alpha])
	},
}

// relevant are the rows that F1 is about.
func (c *Confusion) relevant() uint64 { return c.TruePositive + c.FalsePositive + c.FalseNegative }

// difference judges a difference by its standard error. The statistic is z;
// with an error of 0, a difference is certain or there is none.
func (r Result) difference(d, se, alpha float64) Result {
	r.Method = Asymptotic
	r.Threshold, r.HasThreshold = stat.NormalQuantile(alpha/2), true
	switch {
	case se > 0:
		r.Statistic = held(d / se)
	case d != 0:
		r.Statistic = math.Copysign(math.MaxFloat64, d)
		r.Caveats |= Constant
	default:
		r.Caveats |= Constant
	}
	r.Judged = math.Abs(r.Statistic)
	r.P = min(1, 2*stat.Normal(r.Judged))
	return r
}

// mae and mse are the changes of the mean absolute and the mean squared error,
// by Welch's test on |e| and e²; that of the root of the latter is the same.
var (
	mae = &Detector{
		Name: "mae", Help: "mean absolute error",
		Needs: needErrors, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
		judge: func(in *Input, p params) Result {
			return welch(in.Reference.Performance.Absolute, in.Current.Performance.Absolute, p)
		},
	}
	rmse = &Detector{
		Name: "rmse", Help: "root of the mean squared error, judged by its square",
		Needs: needErrors, HasP: true, Params: []Param{alphaParam(), atLeast(trustedMean, 2)},
		judge: func(in *Input, p params) Result {
			return welch(in.Reference.Performance.Squared, in.Current.Performance.Squared, p)
		},
	}
)
