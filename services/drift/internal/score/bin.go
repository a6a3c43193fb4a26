package score

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Exemplar is a record that fell into a bin, by its id and its trace context in
// hex; the context is empty when it had none.
type Exemplar struct {
	Record string `json:"record"`
	Trace  string `json:"trace,omitempty"`
	Span   string `json:"span,omitempty"`
}

// Bin is one regular bin's part of a score.
type Bin struct {
	// Label is the interval, such as "(-inf, 4.6]", or the category.
	Label string `json:"label"`
	// Expected and Observed are the shares of the reference and of the sample.
	Expected float64 `json:"expected"`
	Observed float64 `json:"observed"`
	// Count is the number of values in the bin.
	Count uint64 `json:"count"`
	// Contribution is what the bin adds to the index.
	Contribution float64 `json:"contribution"`
	// Exemplars are a few of its records.
	Exemplars []Exemplar `json:"exemplars,omitempty"`
}

// Report is a score made readable: for people, alerts and answers.
type Report struct {
	Feature   string                   `json:"feature"`
	Detector  string                   `json:"detector"`
	Verdict   Verdict                  `json:"verdict"`
	Value     float64                  `json:"value"`
	Threshold float64                  `json:"threshold"`
	Sample    uint64                   `json:"sample"`
	Bins      []Bin                    `json:"bins"`
	Special   [profile.Specials]uint64 `json:"special"`
}

// Report explains the score of a feature of p. exemplars has a list for each
// bin, or is nil.
func (s *Score) Report(p *profile.Profile, exemplars [][]Exemplar) Report {
	f := &p.Features[s.Feature]
	r := Report{
		Feature: f.Name, Detector: s.Detector, Verdict: s.Verdict, Value: s.Value, Threshold: s.Threshold, Sample: s.Sample,
		Bins: make([]Bin, len(f.Bins)),
	}
	for i := range f.Bins {
		r.Bins[i] = Bin{
			Label: label(f, i), Expected: f.Bins[i].Proportion, Observed: profile.Share(s.Counts[i], s.Sample),
			Count: s.Counts[i], Contribution: s.Contributions[i],
		}
		if i < len(exemplars) {
			r.Bins[i].Exemplars = exemplars[i]
		}
	}
	copy(r.Special[:], s.Counts[len(f.Bins):])
	return r
}

func label(f *profile.Feature, i int) string {
	if f.Kind == profile.Category {
		return f.Bins[i].Category
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	lower, upper := "(-inf", "+inf)"
	if i > 0 {
		lower = "(" + number(f.Bins[i].Lower)
	}
	if i < len(f.Bins)-1 {
		upper = number(f.Bins[i].Upper) + "]"
	}
	return lower + ", " + upper
}

// Traces lists up to limit distinct traces of the report's exemplars, those of
// bins that hold more than expected first, by what they add to the index.
func (r *Report) Traces(limit int) []string {
	order := make([]int, len(r.Bins))
	for i := range order {
		order[i] = i
	}
	weight := func(i int) float64 {
		if b := &r.Bins[i]; b.Observed < b.Expected {
			return -b.Contribution
		}
		return r.Bins[i].Contribution
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weight(b), weight(a)) })
	var traces []string
	for _, i := range order {
		for _, x := range r.Bins[i].Exemplars {
			if len(traces) < limit && x.Trace != "" && !slices.Contains(traces, x.Trace) {
				traces = append(traces, x.Trace)
			}
		}
	}
	return traces
}
