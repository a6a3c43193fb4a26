package score

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// notFed are detectors of what is not counted yet: they would see none of it, and
// find everything in order.
var notFed = []string{"out_of_range", "wrong_type", "duplicates", "scouter_spc"}

// fed are the detectors that need no more than what is counted.
var fed = slices.DeleteFunc(slices.Clone(detect.All), func(d *detect.Detector) bool {
	return d.Needs&^(detect.Order|detect.Bounds|detect.OfPerformance) != 0 || slices.Contains(notFed, d.Name)
})

// Detectors lists the detectors that a monitor can have.
func Detectors() []*detect.Detector { return slices.Clone(fed) }

func find(name string) *detect.Detector {
	for _, d := range fed {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// ofClasses are the detectors that need to know which category is positive.
var ofClasses = []string{"precision", "recall", "f1"}

// checkOutcome says what the outcome of a profile lacks for a detector of
// performance.
func checkOutcome(d *detect.Detector, o *profile.Outcome, category bool) string {
	lacks := func(what string) string { return fmt.Sprintf("detector %s needs an outcome with %s", d.Name, what) }
	switch {
	case d.Needs&detect.OfPerformance == 0:
		return ""
	case o == nil || o.Reference == nil:
		return lacks("a reference")
	case d.OfErrors() && (category || o.Prediction == ""):
		return lacks("a prediction of a number")
	case d.OfErrors():
		return ""
	case d.OfScores() && o.Score == "":
		return lacks("a score")
	case !d.OfScores() && (!category || o.Prediction == ""):
		return lacks("a prediction of a category")
	case slices.Contains(ofClasses, d.Name) && o.Positive == "":
		return lacks("a positive category")
	}
	return ""
}

// suited reports whether a detector can judge a feature at all.
func suited(d *detect.Detector, in *detect.Input) bool {
	return (d.Needs&detect.OfPerformance == 0 || in.Current.Performance != nil) && (d.Needs&detect.Order == 0 || in.Kind.Ordered()) && (d.Needs&detect.Bounds == 0 || in.Bounds != nil)
}

// Check names every monitor with a detector or a parameter that there is not, and
// says which there are.
func Check(p *profile.Profile) (problems []string) {
	for i := range p.Monitors {
		m := &p.Monitors[i]
		d := find(m.Detector)
		if d == nil {
			problems = append(problems, fmt.Sprintf("monitor %s: there is no detector %s, but %s", m.Name, m.Detector, strings.Join(names(), ", ")))
			continue
		}
		category := p.Outcome != nil && p.Features[p.Feature(p.Outcome.Target)].Kind == profile.Category
		if problem := checkOutcome(d, p.Outcome, category); problem != "" {
			problems = append(problems, "monitor "+m.Name+": "+problem)
		}
		for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
			if problem := checkParameter(d, name, m.Parameters[name]); problem != "" {
				problems = append(problems, "monitor "+m.Name+": "+problem)
			}
		}
	}
	return problems
}

func names() (all []string) {
	for _, d := range fed {
		all = append(all, d.Name)
	}
	return all
}

// ours are parameters that follow from a monitor's threshold and minimum sample.
func ours(name string) bool { return name == detect.Alpha || name == detect.Minimum }

func checkParameter(d *detect.Detector, name string, v float64) string {
	var known []string
	for _, spec := range d.Params {
		switch {
		case ours(spec.Name):
			continue
		case spec.Name == name && v >= spec.Min && v <= spec.Max:
			return ""
		case spec.Name == name:
			return fmt.Sprintf("parameter %s of %s is %v, not from %v to %v", name, d.Name, v, spec.Min, spec.Max)
		}
		known = append(known, spec.Name)
	}
	if len(known) == 0 {
		known = []string{"none"}
	}
	return fmt.Sprintf("detector %s has no parameter %s, but %s", d.Name, name, strings.Join(known, ", "))
}

func has(d *detect.Detector, parameter string) bool {
	return slices.ContainsFunc(d.Params, func(p detect.Param) bool { return p.Name == parameter })
}

// Bounds of the significance that detectors take; beyond them it is cut off.
const (
	leastAlpha = 1e-9
	mostAlpha  = 0.5
)

// judge lets a monitor's detector compare at a significance.
func judge(d *detect.Detector, m *profile.Monitor, in detect.Input, alpha float64) detect.Result {
	in.Params = maps.Clone(m.Parameters)
	if in.Params == nil {
		in.Params = map[string]float64{}
	}
	if has(d, detect.Alpha) {
		in.Params[detect.Alpha] = min(max(alpha, leastAlpha), mostAlpha)
	}
	// A minimum of the user's is one of the sample alone, and checked by us.
	if has(d, detect.Minimum) && ownMinimum(m) {
		in.Params[detect.Minimum] = 1
	}
	return d.Judge(&in)
}

// ownMinimum reports whether the monitor says how large a sample must be, itself
// or by a threshold that knows nothing of chance.
func ownMinimum(m *profile.Monitor) bool {
	return m.MinSample > 0 || m.Threshold.Limit == profile.Fixed || m.Threshold.Limit == profile.Deviations
}
