// Package report makes of evaluations one HTML file that needs nothing else: no
// script, no font and no picture from anywhere. Charts are SVG made here, each
// with the same numbers as a table, in the colours of the design in light and
// dark.
package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/plot"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// Data is what a report is about.
type Data struct {
	// Title says what is compared with what.
	Title string
	// When names the range of the evaluation; Facts are further things to know.
	When  string
	Facts []string
	// Evaluation is what the histograms and the table of verdicts show.
	Evaluation *driftv1.Evaluation
	// Rows is how many records or rows it covers, Reference how many the reference
	// had.
	Rows, Reference uint64
	// Series are the statistics over time, if they are known.
	Series []Series
	// Made is when the report was made.
	Made time.Time
}

// Series is the statistic of a monitor on a feature over time.
type Series struct {
	Monitor, Feature, Detector string
	Points                     []Point
}

// Point is a slot or a chunk, or sums up some of them. Numbers that there are not
// are nil.
type Point struct {
	Label            string
	Low, Value, High *float64
	Threshold, Lower *float64
	Verdict          driftv1.Verdict
	Sample           uint64
}

//go:embed report.html
var page string

//go:embed report.css
var style string

var layout = template.Must(template.New("report").Parse(page))

// Bounds that keep a report of hundreds of features small enough to send around.
const (
	// mostRows bounds the rows of tables over time, all series together.
	mostRows = 6000
	// leastPoints is how many points a series keeps whatever its neighbours have,
	// mostPoints how many it has at most.
	leastPoints = 10
	mostPoints  = 120
	// mostBins is how many bins of a feature are shown.
	mostBins = 24
)

// view is what the page shows.
type view struct {
	Style      template.CSS
	Title      string
	Headline   string
	When, Made string
	Facts      []string
	Cells      []cell
	Verdicts   []verdict
	Features   []feature
}

// cell is a number of the summary.
type cell struct{ Label, Value, Note string }

// verdict is a row of the table of verdicts.
type verdict struct {
	status
	Feature, Anchor, Monitor, Detector    string
	Value, Threshold, P, Adjusted         string
	Sample, Reference, Missing, MovedMost string
}

// status is a verdict as it is shown: class, glyph and word.
type status struct{ Class, Glyph, Word string }

func statusOf(v driftv1.Verdict) status {
	switch v {
	case driftv1.Verdict_VERDICT_DRIFT:
		return status{"drift", "◆", "drift"}
	case driftv1.Verdict_VERDICT_OK:
		return status{"ok", "✓", "as reference"}
	default:
		return status{"few", "◌", "insufficient"}
	}
}

// feature is the part of the page about one feature.
type feature struct {
	Name, Anchor string
	Monitors     []verdict
	Histogram    *histogram
	Charts       []*chart
	worst        driftv1.Verdict
}

// Write writes the report.
func Write(out io.Writer, d Data) error {
	v := view{
		Style: template.CSS(style), Title: d.Title, When: d.When, Facts: d.Facts, Made: d.Made.UTC().Format("2006-01-02 15:04 UTC"), //nolint:gosec // ours
		Verdicts: verdicts(d.Evaluation),
	}
	v.Features = features(d, v.Verdicts)
	v.summarise(d)
	return layout.Execute(out, v)
}

// order is the worst first, and otherwise as the monitors have it.
func order(v driftv1.Verdict) int {
	switch v {
	case driftv1.Verdict_VERDICT_DRIFT:
		return 0
	case driftv1.Verdict_VERDICT_OK:
		return 2
	default:
		return 1
	}
}

func verdicts(e *driftv1.Evaluation) []verdict {
	scores := slices.Clone(e.GetScores())
	slices.SortStableFunc(scores, func(a, b *driftv1.Score) int {
		return cmp.Or(cmp.Compare(order(a.GetVerdict()), order(b.GetVerdict())), cmp.Compare(beyond(b), beyond(a)))
	})
	all := make([]verdict, len(scores))
	for i, s := range scores {
		all[i] = verdict{
			status: statusOf(s.GetVerdict()), Feature: s.GetFeature(), Anchor: anchor(e, s.GetFeature()), Monitor: s.GetMonitor(), Detector: s.GetDetector(),
			Value: optional(s.Value), Threshold: bounds(s), P: optional(s.PValue), Adjusted: optional(s.AdjustedPValue),
			Sample: grouped(s.GetSample()), Reference: grouped(s.GetReference()), Missing: missing(s), MovedMost: movedMost(s),
		}
	}
	return all
}

// beyond is how many times its threshold the value of a score is; 0 of those that
// did not drift.
func beyond(s *driftv1.Score) float64 {
	if s.GetVerdict() != driftv1.Verdict_VERDICT_DRIFT || s.GetThreshold() == 0 {
		return 0
	}
	return s.GetValue() / s.GetThreshold()
}

// anchor is the id of a feature's part of the page.
func anchor(e *driftv1.Evaluation, name string) string {
	return fmt.Sprintf("f%d", slices.IndexFunc(e.GetScores(), func(s *driftv1.Score) bool { return s.GetFeature() == name }))
}

func missing(s *driftv1.Score) string {
	for _, b := range s.GetStates() {
		if b.GetLabel() == "missing" {
			return grouped(b.GetCount())
		}
	}
	return ""
}

// movedMost is the bin that adds most, with the share that it had and has.
func movedMost(s *driftv1.Score) string {
	bins := slices.Concat(s.GetBins(), s.GetStates())
	if len(bins) == 0 || s.Value == nil {
		return ""
	}
	top := slices.MaxFunc(bins, func(a, b *driftv1.BinScore) int { return cmp.Compare(a.GetContribution(), b.GetContribution()) })
	if top.GetContribution() <= 0 {
		return ""
	}
	return fmt.Sprintf("%s: %s → %s", plot.Short(top.GetLabel()), percent(top.GetExpected()), percent(top.GetObserved()))
}

func features(d Data, rows []verdict) []feature {
	var all []feature
	places := map[string]int{}
	for _, s := range d.Evaluation.GetScores() {
		place, known := places[s.GetFeature()]
		if !known {
			place = len(all)
			places[s.GetFeature()] = place
			all = append(all, feature{Name: s.GetFeature(), Anchor: anchor(d.Evaluation, s.GetFeature()), worst: s.GetVerdict(), Histogram: histogramOf(s)})
		}
		f := &all[place]
		if worse := order(s.GetVerdict()) < order(f.worst); worse || f.Histogram == nil {
			if h := histogramOf(s); h != nil { // by what found it
				f.Histogram = h
			}
			if worse {
				f.worst = s.GetVerdict()
			}
		}
	}
	for _, row := range rows {
		f := &all[places[row.Feature]]
		f.Monitors = append(f.Monitors, row)
	}
	points := min(max(mostRows/max(len(d.Series), 1), leastPoints), mostPoints)
	for _, s := range d.Series {
		if place, known := places[s.Feature]; known && !s.quiet() {
			all[place].Charts = append(all[place].Charts, chartOf(s, points))
		}
	}
	slices.SortStableFunc(all, func(a, b feature) int { return cmp.Compare(order(a.worst), order(b.worst)) })
	return all
}

// quiet says of a series that there is nothing to see in it: as the reference, and
// 0 throughout.
func (s *Series) quiet() bool {
	return !slices.ContainsFunc(s.Points, func(p Point) bool {
		return p.Verdict != driftv1.Verdict_VERDICT_OK || p.Value != nil && *p.Value != 0
	})
}

// summarise says in a sentence and some numbers what was found.
func (v *view) summarise(d Data) {
	moved, few := 0, 0
	for i := range v.Features {
		switch v.Features[i].worst {
		case driftv1.Verdict_VERDICT_DRIFT:
			moved++
		case driftv1.Verdict_VERDICT_OK:
		default:
			few++
		}
	}
	n := len(v.Features)
	switch {
	case n == 0:
		v.Headline = "Nothing was judged."
	case moved == 0 && few == n:
		v.Headline = "There is too little to judge by."
	case moved == 0:
		v.Headline = "Nothing has moved."
	case moved == 1:
		v.Headline = fmt.Sprintf("%s has moved. Everything else holds.", v.Features[0].Name)
	default:
		v.Headline = fmt.Sprintf("%d of %d features have moved.", moved, n)
	}
	v.Cells = []cell{
		{"Moved", strconv.Itoa(moved), fmt.Sprintf("of %d features", n)},
		{"Insufficient", strconv.Itoa(few), "too little to judge by"},
		{"Current", grouped(d.Rows), d.When},
		{"Reference", grouped(d.Reference), "rows"},
	}
}

func optional(v *float64) string {
	if v == nil {
		return "–"
	}
	return number(*v)
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }

func bounds(s *driftv1.Score) string {
	if s.LowerThreshold == nil {
		return optional(s.Threshold)
	}
	return optional(s.LowerThreshold) + " to " + optional(s.Threshold)
}

// grouped is a number with its digits in groups of three.
func grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(",")
		}
		b.WriteRune(digit)
	}
	return b.String()
}
