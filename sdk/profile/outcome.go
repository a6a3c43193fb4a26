package profile

import (
	"fmt"
	"math"
)

// Outcome says which features hold what was predicted and what came true of it,
// so that performance can be judged. What came true may become known later than
// the rest of a record, and be sent as its labels.
type Outcome struct {
	// Target is the feature with what came true; required.
	Target string `json:"target"`
	// Prediction is the feature with what was predicted of it, of the same kind.
	// Empty when only Score is known.
	Prediction string `json:"prediction,omitempty"`
	// Score is a numeric feature that grows with the chance of Positive, such as
	// a probability. Empty when there is none.
	Score string `json:"score,omitempty"`
	// Positive is the category of Target that precision, recall and Score are
	// about. Empty when all categories are alike; then only accuracy is judged.
	Positive string `json:"positive,omitempty"`
	// Reference is how they compared in the reference; nil when that is not known.
	Reference *Comparison `json:"reference,omitempty"`
}

// Comparison counts rows of which both what was predicted and what came true are
// known.
type Comparison struct {
	// Right and Wrong count predictions of categories.
	Right uint64 `json:"right,omitempty"`
	Wrong uint64 `json:"wrong,omitempty"`
	// TruePositive and the others count them by [Outcome.Positive]; all are 0
	// without one.
	TruePositive  uint64 `json:"true_positive,omitempty"`
	FalsePositive uint64 `json:"false_positive,omitempty"`
	FalseNegative uint64 `json:"false_negative,omitempty"`
	TrueNegative  uint64 `json:"true_negative,omitempty"`
	// Positives and Negatives count, for each bin of the feature Score, the rows
	// whose target is Positive and the others.
	Positives []uint64 `json:"positives,omitempty"`
	Negatives []uint64 `json:"negatives,omitempty"`
	// Absolute and Squared are of the errors of numbers, prediction less target:
	// of |e| and of e².
	Absolute Spread `json:"absolute,omitzero"`
	Squared  Spread `json:"squared,omitzero"`
}

// Spread is the number of some values, their mean and their standard deviation
// (population).
type Spread struct {
	Number uint64  `json:"number"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"std_dev"`
}

// checkOutcome reports what of the outcome the features cannot hold.
func (p *Profile) checkOutcome() (problems []error) {
	o := p.Outcome
	if o == nil {
		return nil
	}
	fail := func(column, format string, args ...any) {
		problems = append(problems, &Error{Column: column, Rule: "OUTCOME", Detail: fmt.Sprintf(format, args...)})
	}
	kinds := map[string]Kind{}
	for i := range p.Features {
		kinds[p.Features[i].Name] = p.Features[i].Kind
	}
	for role, name := range map[string]string{"target": o.Target, "prediction": o.Prediction, "score": o.Score} {
		if _, known := kinds[name]; !known && (name != "" || role == "target") {
			fail(name, "the %s of the outcome is no feature of the profile", role)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	target := kinds[o.Target]
	switch {
	case o.Prediction == "" && o.Score == "":
		fail(o.Target, "the outcome has neither a prediction nor a score")
	case o.Prediction == o.Target || o.Score == o.Target:
		fail(o.Target, "the feature is the target of the outcome and its prediction or score as well")
	case o.Prediction != "" && kinds[o.Prediction] != target:
		fail(o.Prediction, "the prediction is %s and the target %s", kinds[o.Prediction], target)
	case o.Score != "" && kinds[o.Score] != Numeric:
		fail(o.Score, "the score is no number")
	case o.Score != "" && o.Positive == "":
		fail(o.Score, "the outcome has a score and does not say which category is positive")
	case o.Positive != "" && target != Category:
		fail(o.Target, "the outcome has a positive category and the target is a number")
	}
	if o.Reference != nil && len(problems) == 0 {
		problems = o.Reference.check(p)
	}
	return problems
}

func (c *Comparison) check(p *Profile) []error {
	fail := func(detail string) []error {
		return []error{&Error{Column: p.Outcome.Target, Rule: "OUTCOME", Detail: detail}}
	}
	bins := 0
	if p.Outcome.Score != "" {
		bins = len(p.Features[p.Feature(p.Outcome.Score)].Bins)
	}
	if len(c.Positives) != bins || len(c.Negatives) != bins {
		return fail(fmt.Sprintf("the reference of the outcome has %d and %d counts for the %d bins of the score", len(c.Positives), len(c.Negatives), bins))
	}
	for _, s := range []Spread{c.Absolute, c.Squared} {
		if !finite(s.Mean) || !(s.StdDev >= 0) || !finite(s.StdDev) || s.Mean < 0 {
			return fail("a mean or standard deviation of errors in the reference of the outcome is negative or not finite")
		}
	}
	return nil
}

// outcomes keeps the columns of an outcome while a profile is made: they come one
// at a time, and have to be seen together.
type outcomes struct {
	target, prediction, score Column
}

func (k *outcomes) keep(o *Outcome, c *Column) {
	for name, to := range map[string]*Column{o.Target: &k.target, o.Prediction: &k.prediction, o.Score: &k.score} {
		if name != "" && name == c.Name {
			*to = Column{
				Name: c.Name, Type: c.Type, Numbers: append([]float64(nil), c.Numbers...),
				Texts: append([]string(nil), c.Texts...), Missing: append([]bool(nil), c.Missing...),
			}
			if c.Missing == nil {
				to.Missing = nil
			}
		}
	}
}

// compare fills in the reference of the outcome of a profile whose features are
// made.
func (k *outcomes) compare(p *Profile) {
	o, c := p.Outcome, &Comparison{}
	category := p.Features[p.Feature(o.Target)].Kind == Category
	if o.Score != "" {
		bins := len(p.Features[p.Feature(o.Score)].Bins)
		c.Positives, c.Negatives = make([]uint64, bins), make([]uint64, bins)
	}
	var absolute, squared spreading
	for row := range k.target.Len() {
		if k.target.missing(row) {
			continue
		}
		if o.Prediction != "" && !k.prediction.missing(row) {
			if category {
				c.class(o.Positive, k.prediction.text(row), k.target.text(row))
			} else if e := k.prediction.Numbers[row] - k.target.Numbers[row]; finite(e) && finite(e*e) {
				absolute.add(math.Abs(e))
				squared.add(e * e)
			}
		}
		if o.Score != "" && !k.score.missing(row) {
			f := &p.Features[p.Feature(o.Score)]
			if cell := f.NumberCell(k.score.Numbers[row]); cell < len(f.Bins) {
				if k.target.text(row) == o.Positive {
					c.Positives[cell]++
				} else {
					c.Negatives[cell]++
				}
			}
		}
	}
	c.Absolute, c.Squared = absolute.spread(), squared.spread()
	o.Reference = c
}

// class counts a prediction of a category.
func (c *Comparison) class(positive, predicted, came string) {
	if predicted == came {
		c.Right++
	} else {
		c.Wrong++
	}
	switch {
	case positive == "":
	case predicted == positive && came == positive:
		c.TruePositive++
	case predicted == positive:
		c.FalsePositive++
	case came == positive:
		c.FalseNegative++
	default:
		c.TrueNegative++
	}
}

// spreading sums up values as Welford (1962) does.
type spreading struct {
	n             uint64
	mean, squares float64
}

func (s *spreading) add(v float64) {
	s.n++
	d := v - s.mean
	s.mean += d / float64(s.n)
	s.squares += float64(d * (v - s.mean))
}

func (s *spreading) spread() Spread {
	if s.n == 0 {
		return Spread{}
	}
	return Spread{Number: s.n, Mean: s.mean, StdDev: math.Sqrt(s.squares / float64(s.n))}
}
