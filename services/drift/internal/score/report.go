package score

import (
	"cmp"
	"math"
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

// Bin is one bin's part of a score.
type Bin struct {
	// Label is the interval, such as "(-inf, 4.6]", the category, or the state of
	// values in no bin.
	Label string `json:"label"`
	// Expected and Observed are the shares of the reference and of the sample: of
	// the values in regular bins, and for a state of all.
	Expected float64 `json:"expected"`
	Observed float64 `json:"observed"`
	// Count is the number of values in the bin.
	Count uint64 `json:"count"`
	// Contribution is what the bin adds to the statistic.
	Contribution float64 `json:"contribution"`
	// Exemplars are a few of its records.
	Exemplars []Exemplar `json:"exemplars,omitempty"`
}

// Report is a score made readable: for people, alerts and answers. Numbers that
// there are not, and infinite ones, are nil.
type Report struct {
	Monitor   string   `json:"monitor,omitempty"`
	Feature   string   `json:"feature"`
	Detector  string   `json:"detector"`
	Verdict   Verdict  `json:"verdict"`
	Value     *float64 `json:"value,omitempty"`
	Judged    *float64 `json:"judged,omitempty"`
	Threshold *float64 `json:"threshold,omitempty"`
	Lower     *float64 `json:"lower,omitempty"`
	P         *float64 `json:"p,omitempty"`
	Adjusted  *float64 `json:"adjusted,omitempty"`
	Rate      *float64 `json:"rate,omitempty"`
	Method    string   `json:"method,omitempty"`
	Caveats   []string `json:"caveats,omitempty"`
	Sample    uint64   `json:"sample"`
	Reference uint64   `json:"reference,omitempty"`
	Minimum   uint64   `json:"minimum,omitempty"`
	Bins      []Bin    `json:"bins"`
	States    []Bin    `json:"states,omitempty"`
}

// Report explains the score of a subject of p. exemplars has a list for each bin, or
// for each feature of a group, or is nil.
func (s *Score) Report(p *profile.Profile, exemplars [][]Exemplar) Report {
	r := Report{
		Monitor: s.Monitor, Feature: Subject(p, s.Feature), Detector: s.Detector, Verdict: s.Verdict,
		Value: known(s.Value), Judged: known(s.Judged), Threshold: known(s.Threshold), Lower: known(s.Lower),
		P: known(s.P), Adjusted: known(s.Adjusted), Rate: known(s.Rate), Method: s.Method, Caveats: s.Caveats,
		Sample: s.Sample, Reference: s.Reference, Minimum: s.Minimum, Bins: make([]Bin, len(s.Counts)),
	}
	if g := groupOf(p, s.Feature); g != nil {
		r.Bins, r.States = s.groupBins(g)
		for i := range min(len(exemplars), len(r.Bins)) {
			r.Bins[i].Exemplars = exemplars[i]
		}
		return r
	}
	f := &p.Features[s.Feature]
	regular, all := sums(s.Counts, len(f.Bins))
	for i := range r.Bins {
		b := Bin{Count: s.Counts[i]}
		if i < len(f.Bins) {
			b.Label, b.Expected, b.Observed = label(f, i), f.Bins[i].Proportion, profile.Share(b.Count, regular)
		} else {
			state := profile.Special(i - len(f.Bins))
			b.Label, b.Expected = state.String(), profile.Share(f.Baseline.Special[state], f.Baseline.Rows)
			b.Observed = profile.Share(b.Count, all)
		}
		if i < len(s.Contributions) {
			b.Contribution = s.Contributions[i]
		}
		if i < len(exemplars) {
			b.Exemplars = exemplars[i]
		}
		r.Bins[i] = b
	}
	r.Bins, r.States = r.Bins[:len(f.Bins):len(f.Bins)], r.Bins[len(f.Bins):]
	return r
}

func sums(counts []uint64, bins int) (regular, all uint64) {
	for i, n := range counts {
		if i < bins {
			regular += n
		}
		all += n
	}
	return regular, all
}

func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// Label is the cell of a feature in words: a bin's interval or category, or a state.
func Label(f *profile.Feature, cell int) string {
	if cell >= len(f.Bins) {
		return profile.Special(cell - len(f.Bins)).String()
	}
	return label(f, cell)
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

// Most is the feature that the report is about; of several together, the one that
// adds most.
func (r *Report) Most() string {
	m := profile.Monitor{Detector: r.Detector}
	if !m.Together() || len(r.Bins) == 0 {
		return r.Feature
	}
	return slices.MaxFunc(r.Bins, func(a, b Bin) int { return cmp.Compare(a.Contribution, b.Contribution) }).Label
}

// Trim leaves the bins that add most, in their order, and at most so many.
func (r *Report) Trim(limit int) {
	if len(r.Bins) <= limit {
		return
	}
	order := make([]int, len(r.Bins))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.Bins[b].Contribution, r.Bins[a].Contribution) })
	keep := order[:limit]
	slices.Sort(keep)
	bins := make([]Bin, limit)
	for i, k := range keep {
		bins[i] = r.Bins[k]
	}
	r.Bins = bins
}

// Worse orders reports of one monitor: the less likely first, where that is
// known, and then the further beyond the threshold.
func Worse(a, b *Report) int {
	if a.P != nil && b.P != nil && *a.P != *b.P {
		return cmp.Compare(*a.P, *b.P)
	}
	return cmp.Compare(b.beyond(), a.beyond())
}

// beyond is how many times its threshold the value is; without one, the value.
func (r *Report) beyond() float64 {
	switch {
	case r.Value == nil:
		return math.Inf(-1)
	case r.Threshold == nil || *r.Threshold == 0:
		return math.Abs(*r.Value)
	}
	return math.Abs(*r.Value / *r.Threshold)
}

// traces lists the distinct traces of the report's exemplars, those of bins that
// hold more than expected first, by what they add to the statistic.
func (r *Report) traces() []string {
	bins := slices.Concat(r.Bins, r.States)
	weight := func(b *Bin) float64 {
		if b.Observed < b.Expected {
			return -b.Contribution
		}
		return b.Contribution
	}
	slices.SortStableFunc(bins, func(a, b Bin) int { return cmp.Compare(weight(&b), weight(&a)) })
	var traces []string
	for i := range bins {
		for _, x := range bins[i].Exemplars {
			if x.Trace != "" && !slices.Contains(traces, x.Trace) {
				traces = append(traces, x.Trace)
			}
		}
	}
	return traces
}

// Traces lists up to limit distinct traces of the reports' exemplars, those of
// all reports in turn, the most telling of each first.
func Traces(reports []Report, limit int) []string {
	lists := make([][]string, len(reports))
	longest := 0
	for i := range reports {
		lists[i] = reports[i].traces()
		longest = max(longest, len(lists[i]))
	}
	var traces []string
	for k := range longest {
		for _, list := range lists {
			if k < len(list) && len(traces) < limit && !slices.Contains(traces, list[k]) {
				traces = append(traces, list[k])
			}
		}
	}
	return traces
}
