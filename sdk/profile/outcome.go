package profile

import (
	"fmt"
	"math"
	"slices"
	"sort"
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
	// ErrorCounts count |e| in bins of about as many, which end at ErrorEdges and
	// include that; the last has no end. Empty where that was not kept.
	ErrorEdges  []float64 `json:"error_edges,omitempty"`
	ErrorCounts []uint64  `json:"error_counts,omitempty"`
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
	if n := len(c.ErrorCounts); n > MaxBins || n > 0 && (len(c.ErrorEdges) != n-1 || !slices.IsSorted(c.ErrorEdges) || !allFinite(c.ErrorEdges)) {
		return fail(fmt.Sprintf("the reference of the outcome has %d counts of errors and %d edges, which ascend and are finite", n, len(c.ErrorEdges)))
	}
	for _, s := range []Spread{c.Absolute, c.Squared} {
		if !finite(s.Mean) || !(s.StdDev >= 0) || !finite(s.StdDev) || s.Mean < 0 {
			return fail("a mean or standard deviation of errors in the reference of the outcome is negative or not finite")
		}
	}
	return nil
}

// Outcomes keeps the columns of an outcome while a table is read a column at a
// time: they have to be seen together. It is for one goroutine.
type Outcomes struct {
	of                        *Outcome
	target, prediction, score Column
}

// NewOutcomes keeps no columns yet. of may be nil, and then none ever.
func NewOutcomes(of *Outcome) *Outcomes { return &Outcomes{of: of} }

// Keep keeps a copy of a column, if it is one of the outcome's.
func (k *Outcomes) Keep(c *Column) {
	if k.of == nil {
		return
	}
	for name, to := range map[string]*Column{k.of.Target: &k.target, k.of.Prediction: &k.prediction, k.of.Score: &k.score} {
		if name != "" && name == c.Name {
			*to = Column{Name: c.Name, Type: c.Type, Numbers: slices.Clone(c.Numbers), Texts: slices.Clone(c.Texts), Missing: slices.Clone(c.Missing)}
		}
	}
}

// Compared takes in how the predictions of rows compare with what came true.
type Compared interface {
	// Class takes a prediction of a category; positive is the outcome's, or empty.
	Class(positive, predicted, came string)
	// Score takes a score in a bin of its feature.
	Score(bin int, positive bool)
	// Error takes the error of a number, whose square is finite.
	Error(e float64)
}

// Each tells of every row of the columns that were kept of which it is known what came
// true, with the bins of p. A column that was not kept is missing throughout.
func (k *Outcomes) Each(p *Profile, to func(row int) Compared) {
	if k.of == nil || k.target.Name == "" {
		return
	}
	i, score := p.Feature(k.of.Target), (*Feature)(nil)
	if k.score.Name != "" {
		score = &p.Features[p.Feature(k.of.Score)]
	}
	category := p.Features[i].Kind == Category
	for row := range k.target.Len() {
		if !k.target.known(row, category) {
			continue
		}
		if k.prediction.Name != "" && k.prediction.known(row, category) {
			if category {
				to(row).Class(k.of.Positive, k.prediction.text(row), k.target.text(row))
			} else if e := k.prediction.Numbers[row] - k.target.Numbers[row]; finite(e) && finite(e*e) {
				to(row).Error(e)
			}
		}
		if score != nil && k.score.known(row, false) {
			if bin := score.NumberCell(k.score.Numbers[row]); bin < len(score.Bins) {
				to(row).Score(bin, k.target.text(row) == k.of.Positive)
			}
		}
	}
}

// known reports whether a row has a value. NaN is how floats say that a category of
// whole numbers is missing.
func (c *Column) known(row int, category bool) bool {
	return !c.missing(row) && (!category || c.Type.Kind() == Category || !math.IsNaN(c.Numbers[row]))
}

// compare fills in the reference of the outcome of a profile whose features are
// made.
func (k *Outcomes) compare(p *Profile) {
	c := &comparing{Comparison: NewComparison(p)}
	k.Each(p, func(int) Compared { return c })
	c.Absolute, c.Squared = c.absolute.spread(), c.squared.spread()
	if slices.Sort(c.errors); len(c.errors) > 0 {
		c.ErrorEdges = slices.Compact(quantileEdges(c.errors, errorBins))
		c.ErrorCounts = make([]uint64, len(c.ErrorEdges)+1)
		for _, e := range c.errors {
			c.ErrorCounts[sort.SearchFloat64s(c.ErrorEdges, e)]++
		}
	}
	p.Outcome.Reference = c.Comparison
}

// errorBins is how many bins sizes of errors have, where they are different enough.
const errorBins = 10

// comparing compares a reference.
type comparing struct {
	*Comparison
	absolute, squared spreading
	errors            []float64 // sizes
}

// Error implements [Compared].
func (c *comparing) Error(e float64) {
	c.absolute.add(math.Abs(e))
	c.squared.add(e * e)
	c.errors = append(c.errors, math.Abs(e))
}

// NewComparison compares no rows yet, for a profile with an outcome.
func NewComparison(p *Profile) *Comparison {
	c := new(Comparison)
	if p.Outcome.Score != "" {
		bins := len(p.Features[p.Feature(p.Outcome.Score)].Bins)
		c.Positives, c.Negatives = make([]uint64, bins), make([]uint64, bins)
	}
	return c
}

// Score counts a score.
func (c *Comparison) Score(bin int, positive bool) {
	if positive {
		c.Positives[bin]++
	} else {
		c.Negatives[bin]++
	}
}

// Class counts a prediction of a category.
func (c *Comparison) Class(positive, predicted, came string) {
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
