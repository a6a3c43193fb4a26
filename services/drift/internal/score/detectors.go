package score

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// unusable are the detectors that no monitor can have, and why.
var unusable = map[string]string{
	"log_variance": "it needs sums of third and fourth powers, which cells do not hold; spread sees the same and holds its rate for values that are not normal",
	"duplicates":   "their share grows with the number of rows, so that a window's and a reference's do not compare; a record that is sent again counts once",
}

// Unusable says why no monitor can have a detector; "" when one can.
func Unusable(d *detect.Detector) string { return unusable[d.Name] }

// fed are the detectors that a monitor can have.
var fed = slices.DeleteFunc(slices.Clone(detect.All), func(d *detect.Detector) bool { return Unusable(d) != "" })

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

// fits reports whether the reference has what a detector looks at beyond counts.
func fits(d *detect.Detector, in *detect.Input) bool {
	switch {
	case d.OfMoments():
		return in.Reference.Moments != nil
	case d.OfDeviations():
		return in.Reference.Deviations != nil
	case d.OfTime(), d.Name == cChart:
		return in.Reference.Seconds > 0
	case d.Name == outOfRange:
		return in.Kind.Ordered() && in.Bounds != nil
	}
	return true
}

// suited reports whether a detector can judge a feature at all.
func suited(d *detect.Detector, in *detect.Input) bool {
	return fits(d, in) && (d.Needs&detect.OfPerformance == 0 || in.Current.Performance != nil) && (d.Needs&detect.Order == 0 || in.Kind.Ordered()) && (d.Needs&detect.Bounds == 0 || in.Bounds != nil)
}

// Check names every monitor with a detector or a parameter that there is not, and
// says which there are.
func Check(p *profile.Profile) (problems []string) {
	for i := range p.Monitors {
		m := &p.Monitors[i]
		d := find(m.Detector)
		if d == nil {
			problems = append(problems, fmt.Sprintf("monitor %s: %s", m.Name, refusal(m.Detector)))
			continue
		}
		problem := checkMeasured(p, m, d)
		if m.Together() {
			problem = checkGroup(p, m)
		}
		if problem != "" {
			problems = append(problems, "monitor "+m.Name+": "+problem)
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

// refusal says why there is no such detector.
func refusal(name string) string {
	if why, ok := unusable[name]; ok {
		return fmt.Sprintf("detector %s cannot be used: %s", name, why)
	}
	return fmt.Sprintf("there is no detector %s, but %s", name, strings.Join(names(), ", "))
}

// checkMeasured says what a profile lacks for a detector of more than counts: of
// the features that the monitor names, or else of all.
func checkMeasured(p *profile.Profile, m *profile.Monitor, d *detect.Detector) string {
	if !looksBeyond(d) {
		return ""
	}
	if (d.OfTime() || d.Name == cChart) && p.ReferenceSpan == 0 {
		return fmt.Sprintf("detector %s needs to know how long the reference was gathered: the profile has no reference_span", d.Name)
	}
	found := false
	for i := range p.Features {
		f := &p.Features[i]
		if !m.Watches(f.Name) {
			continue
		}
		lack := lacks(f, d)
		if lack != "" && len(m.Features) > 0 {
			return fmt.Sprintf("detector %s cannot judge feature %s: %s", d.Name, f.Name, lack)
		}
		found = found || lack == ""
	}
	if !found {
		return fmt.Sprintf("detector %s can judge no feature: it needs numbers, and a profile that was made since their sums are kept", d.Name)
	}
	return checkSample(p, m, d)
}

// lacks says what a feature lacks for a detector.
func lacks(f *profile.Feature, d *detect.Detector) string {
	const old = "the profile was made before they were kept; make it anew"
	b := &f.Baseline
	switch {
	case d.OfTime(), d.Name == pChart, d.Name == cChart:
		return ""
	case f.Kind != profile.Numeric:
		return "it is a category"
	case d.OfMoments() && !readable(b.Moments, f):
		return "it has no sums of the reference's values: " + old
	case d.OfDeviations() && !readable(b.Deviations, f):
		return "it has no sums of distances to the reference's median: " + old
	case d.Name == scouterSPC && b.Scouter == nil:
		return "it has no limits of Scouter's: the reference has fewer than two values, or " + old
	case d.OfPoints() && b.Subgroups == nil:
		return "it has no sub-groups of the reference: there are fewer than 25 values, or " + old
	case d.Name == outOfRange && bounds(f) == nil:
		return "the range of the reference is not known"
	}
	return ""
}

// readable reports whether moments of all values of the reference can be read.
func readable(raw []byte, f *profile.Feature) bool {
	m := momentsOf(raw)
	if m == nil || m.Order() != 2 {
		return false
	}
	var n uint64
	for i := range f.Bins {
		n += f.Bins[i].Count
	}
	return m.N() == n
}

// checkSample refuses sub-groups of several sizes of one feature: cells hold one.
func checkSample(p *profile.Profile, m *profile.Monitor, d *detect.Detector) string {
	size := sampleSize(m, d)
	if !charted(d) || size == 0 {
		return ""
	}
	for k := range p.Monitors {
		o := &p.Monitors[k]
		if o.Name == m.Name {
			break
		}
		other := find(o.Detector)
		if other == nil || !charted(other) || sampleSize(o, other) == 0 || sampleSize(o, other) == size {
			continue
		}
		for i := range p.Features {
			if name := p.Features[i].Name; m.Watches(name) && o.Watches(name) {
				return fmt.Sprintf("parameter %s is %d where monitor %s has %d of feature %s; all must be the same", detect.SampleSize, size, o.Name, sampleSize(o, other), name)
			}
		}
	}
	return ""
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
	// A minimum of the user's is one of the sample alone, and checked by us; the
	// detector is left the least that it takes.
	if i := slices.IndexFunc(d.Params, func(p detect.Param) bool { return p.Name == detect.Minimum }); i >= 0 && ownMinimum(m) {
		in.Params[detect.Minimum] = max(d.Params[i].Min, 1)
	}
	return d.Judge(&in)
}

// ownMinimum reports whether the monitor says how large a sample must be, itself
// or by a threshold that knows nothing of chance.
func ownMinimum(m *profile.Monitor) bool {
	return m.MinSample > 0 || m.Threshold.Limit == profile.Fixed || m.Threshold.Limit == profile.Deviations
}
