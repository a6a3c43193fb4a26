package window

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Aspect is one side of how predictions compare with what came true: which records it
// is about, and into which cells they fall.
type Aspect int

// The aspects.
const (
	// ByRight: right and wrong predictions of a category.
	ByRight Aspect = iota + 1
	// ByPredicted: records that were predicted positive, by whether they were.
	ByPredicted
	// ByActual: positive records, by whether that was predicted.
	ByActual
	// ByRelevant: both.
	ByRelevant
	// ByScore: records with a score, by its bin and by whether they were positive.
	ByScore
	// ByError: records with an error of a number, by its size.
	ByError
)

// Cells are those of an aspect, with how many rows of the reference are in each; nil
// where the profile does not hold that.
func (a Aspect) Cells(p *profile.Profile) (labels []string, reference []uint64) {
	o := p.Outcome
	if o == nil || o.Reference == nil {
		return nil, nil
	}
	c := o.Reference
	switch a {
	case ByRight:
		return []string{"right", "wrong"}, []uint64{c.Right, c.Wrong}
	case ByPredicted:
		return []string{"true positive", "false positive"}, []uint64{c.TruePositive, c.FalsePositive}
	case ByActual:
		return []string{"true positive", "false negative"}, []uint64{c.TruePositive, c.FalseNegative}
	case ByRelevant:
		return []string{"true positive", "false positive", "false negative"}, []uint64{c.TruePositive, c.FalsePositive, c.FalseNegative}
	case ByScore:
		f := &p.Features[p.Feature(o.Score)]
		for i, of := range [][]uint64{c.Positives, c.Negatives} {
			for bin := range of {
				labels = append(labels, []string{"positive", "negative"}[i]+" in "+interval(f.Bins[bin].Lower, f.Bins[bin].Upper))
				reference = append(reference, of[bin])
			}
		}
		return labels, reference
	case ByError:
		lower := 0.0
		for i := range c.ErrorCounts {
			upper := math.Inf(1)
			if i < len(c.ErrorEdges) {
				upper = c.ErrorEdges[i]
			}
			labels = append(labels, "error in "+interval(lower, upper))
			lower = upper
		}
		return labels, c.ErrorCounts
	}
	return nil, nil
}

func interval(lower, upper float64) string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	end := number(upper) + "]"
	if math.IsInf(upper, 1) {
		end = "+inf)"
	}
	return "(" + number(lower) + ", " + end
}

// noCell is where records are that an aspect is not about.
const noCell = "toUInt32(4294967295)"

// cellSQL is the cell of a record as [outcome] would have it, for Cross.
func (a Aspect) cellSQL(p *profile.Profile) string {
	by, o := newOutcomePlan(p), p.Outcome
	came, said := fmt.Sprintf("Categories[%d]", by.target+1), fmt.Sprintf("Categories[%d]", by.prediction+1)
	known := func(states string, positions ...int) string {
		all := make([]string, len(positions))
		for i, at := range positions {
			all[i] = fmt.Sprintf("%s[%d] = 0", states, at+1)
		}
		return strings.Join(all, " AND ")
	}
	is := func(text string) string { return text + " = " + unhex(o.Positive) }
	both := known("CategoryStates", by.target, by.prediction)
	cell := func(condition, otherwise string) string {
		return fmt.Sprintf("toUInt32(multiIf(NOT (%s), %s, %s))", condition, noCell, otherwise)
	}
	switch a {
	case ByRight:
		return cell(both, said+" = "+came+", 0, 1")
	case ByPredicted:
		return cell(both+" AND "+is(said), is(came)+", 0, 1")
	case ByActual:
		return cell(both+" AND "+is(came), is(said)+", 0, 1")
	case ByRelevant:
		return cell(both+" AND ("+is(said)+" OR "+is(came)+")", is(said)+" AND "+is(came)+", 0, "+is(said)+", 1, 2")
	case ByScore:
		feature := strconv.Itoa(p.Feature(o.Score))
		bin := numberCell(fmt.Sprintf("Numbers[%d]", by.score+1), fmt.Sprintf("NumberStates[%d]", by.score+1), feature)
		return cell(known("CategoryStates", by.target)+" AND "+bin+" < "+strconv.Itoa(by.bins), is(came)+", "+bin+", "+bin+" + "+strconv.Itoa(by.bins))
	case ByError:
		e := fmt.Sprintf("abs(Numbers[%d] - Numbers[%d])", by.prediction+1, by.target+1)
		edges := "arrayMap(e -> reinterpretAsFloat64(e), CAST(" + bitList(o.Reference.ErrorEdges) + ", 'Array(UInt64)'))"
		return cell(known("NumberStates", by.target, by.prediction)+" AND isFinite("+e+" * "+e+")", "1, arrayCount(edge -> edge < "+e+", "+edges+"), 0")
	}
	return noCell
}
