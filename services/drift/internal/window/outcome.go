package window

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// outcomePlan is where the features of an outcome are: positions among the
// categories or the numbers, −1 for one that there is not.
type outcomePlan struct {
	classes                   bool // the target is a category
	target, prediction, score int
	positive                  string
	bins                      int // of the score
}

func newOutcomePlan(p *profile.Profile) *outcomePlan {
	o := p.Outcome
	if o == nil {
		return nil
	}
	made := &outcomePlan{target: -1, prediction: -1, score: -1, positive: o.Positive}
	numbers, categories := 0, 0
	for i := range p.Features {
		f := &p.Features[i]
		next := &numbers
		if f.Kind == profile.Category {
			next = &categories
		}
		switch f.Name {
		case o.Target:
			made.target, made.classes = *next, f.Kind == profile.Category
		case o.Prediction:
			made.prediction = *next
		case o.Score:
			made.score, made.bins = *next, len(f.Bins)
		}
		*next++
	}
	return made
}

// The classes that counts of an outcome are in, in the order of the column Counts.
const (
	right = iota
	wrong
	truePositive
	falsePositive
	falseNegative
	trueNegative
	classes
)

// outcome is how the predictions of one window compare with what came true.
type outcome struct {
	counts               [classes]uint64
	positives, negatives []uint64 // by bin of the score
	errors               uint64
	absolute, squared    exact.Buckets
}

// values are those of one row: codes and states of categories, and numbers.
type values struct {
	codes      []uint32
	codeStates []uint8
	numbers    []float64
	states     []uint8
}

// add compares a row. positive is the code of the positive category, −1 when no
// row of the block has it.
func (o *outcome) add(p *plan, v values, positive int) {
	by := p.outcome
	if !by.classes {
		o.addError(by, v)
		return
	}
	if by.target >= len(v.codes) || v.codeStates[by.target] != 0 {
		return
	}
	came := v.codes[by.target]
	if k := by.prediction; k >= 0 && k < len(v.codes) && v.codeStates[k] == 0 {
		o.addClass(v.codes[k], came, positive)
	}
	if k := by.score; k >= 0 && k < len(v.numbers) {
		if cell := p.numbers[k].cell(v.numbers[k], v.states[k]); cell < by.bins {
			if int(came) == positive {
				o.positives[cell]++
			} else {
				o.negatives[cell]++
			}
		}
	}
}

func (o *outcome) addClass(predicted, came uint32, positive int) {
	if predicted == came {
		o.counts[right]++
	} else {
		o.counts[wrong]++
	}
	switch yes, was := int(predicted) == positive, int(came) == positive; {
	case yes && was:
		o.counts[truePositive]++
	case yes:
		o.counts[falsePositive]++
	case was:
		o.counts[falseNegative]++
	default:
		o.counts[trueNegative]++
	}
}

func (o *outcome) addError(by *outcomePlan, v values) {
	if max(by.target, by.prediction) >= len(v.numbers) || v.states[by.target] != 0 || v.states[by.prediction] != 0 {
		return
	}
	e := v.numbers[by.prediction] - v.numbers[by.target]
	if square := e * e; square <= math.MaxFloat64 {
		o.errors++
		o.absolute.Add(math.Abs(e))
		o.squared.Add(square)
	}
}

// Outcomes are rows of table outcome_cells for all windows that had a row; nil
// when the profile has no outcome.
func (t *Tally) Outcomes() (proto.Input, error) {
	if t.of.plan.outcome == nil {
		return nil, nil
	}
	uid, err := uuid.Parse(t.of.uid)
	if err != nil {
		return nil, fmt.Errorf("profile uid %q: %w", t.of.uid, err)
	}
	tenants, minutes := new(proto.ColStr).LowCardinality(), &proto.ColDateTime{Location: time.UTC}
	var profiles proto.ColUUID
	var errors proto.ColUInt64
	var versions proto.ColUInt128
	counts, positives, negatives := new(proto.ColUInt64).Array(), new(proto.ColUInt64).Array(), new(proto.ColUInt64).Array()
	absolute, squared := newBucketColumns(), newBucketColumns()
	for _, minute := range slices.Sorted(maps.Keys(t.panes)) {
		w := t.panes[minute]
		tenants.Append(t.of.name)
		profiles.Append(uid)
		minutes.Append(time.Unix(minute*60, 0))
		counts.Append(w.outcome.counts[:])
		positives.Append(w.outcome.positives)
		negatives.Append(w.outcome.negatives)
		errors.Append(w.outcome.errors)
		absolute.append(&w.outcome.absolute)
		squared.append(&w.outcome.squared)
		versions.Append(proto.UInt128{Low: w.version[0], High: w.version[1]})
	}
	return proto.Input{
		{Name: "Tenant", Data: tenants}, {Name: "Profile", Data: &profiles}, {Name: "Minute", Data: minutes}, {Name: "Counts", Data: counts},
		{Name: "Positives", Data: positives}, {Name: "Negatives", Data: negatives}, {Name: "Errors", Data: &errors},
		{Name: "AbsoluteBuckets", Data: absolute.at}, {Name: "AbsoluteSums", Data: absolute.sums}, {Name: "AbsoluteSquares", Data: absolute.squares},
		{Name: "SquaredBuckets", Data: squared.at}, {Name: "SquaredSums", Data: squared.sums}, {Name: "SquaredSquares", Data: squared.squares},
		{Name: "Version", Data: &versions},
	}, nil
}
