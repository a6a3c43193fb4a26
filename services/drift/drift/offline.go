package drift

import (
	"fmt"
	"math"
	"time"

	"github.com/driftmesh/driftmesh/internal/exact"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Sample is what was counted of some records by the bins of a profile.
type Sample struct {
	// Counts has for each feature an element for each bin, regular and special.
	Counts [][]uint64
	// Measures are those of each feature; nil when they are not known.
	Measures []Measures
	// Groups are those of each group of the profile; nil when they are not known.
	Groups []*profile.Products
	// Outcomes is nil when the profile has no outcome.
	Outcomes *Outcomes
	// Records is how many there are.
	Records uint64
	// Start and End are their range of event time, where that is known, and Last is the
	// latest of them.
	Start, End, Last time.Time
}

// Measures are what detectors look at of a feature besides its bins. The zero value
// is nothing that is known.
type Measures struct {
	feature *profile.Feature
	of      score.Measures
	chart   score.Chart
	records int // of the sub-group that is open
	open    *exact.Moments
}

// NewMeasures measures no values of a feature yet, for what monitors want.
func NewMeasures(f *profile.Feature, monitors []profile.Monitor) Measures {
	return Measures{
		feature: f, of: score.Measures{Moments: exact.NewMoments(2), Deviations: exact.NewMoments(2), Reach: new(score.Reach)},
		chart: score.ChartOf(f, monitors),
	}
}

// Charted reports whether a monitor wants to be told of every record, in the order
// of time, by At.
func (m *Measures) Charted() bool { return m.chart.Wanted }

// Add adds a finite value.
func (m *Measures) Add(x float64) {
	b := &m.feature.Baseline
	m.of.Moments.Add(x)
	m.of.Deviations.Add(min(math.Abs(x-b.Median), math.MaxFloat64))
	if x < b.Min {
		m.of.Reach.Below++
	} else if x > b.Max {
		m.of.Reach.Above++
	}
}

// At adds a record of a minute, no earlier than those before, whose value is in a
// cell; x is that of a regular cell of numbers.
func (m *Measures) At(minute int64, cell int, x float64) {
	n := len(m.of.Windows)
	if n == 0 || m.of.Windows[n-1].Minute != minute {
		m.group() // none reaches over a minute
		m.of.Windows = append(m.of.Windows, score.Window{Minute: minute, Moments: exact.NewMoments(2), Counts: make([]uint64, m.feature.Cells())})
		n++
	}
	w := &m.of.Windows[n-1]
	w.Counts[cell]++
	value := m.feature.Kind == profile.Numeric && cell < len(m.feature.Bins)
	if value {
		w.Moments.Add(x)
	}
	if m.chart.Sample == 0 {
		return
	}
	if m.open == nil {
		m.open = exact.NewMoments(2)
	}
	if value {
		m.open.Add(x)
	}
	if m.records++; m.records == m.chart.Sample {
		m.group()
	}
}

// group closes the sub-group that is open, if any.
func (m *Measures) group() {
	if m.records == 0 {
		return
	}
	w := &m.of.Windows[len(m.of.Windows)-1]
	w.Groups = append(w.Groups, score.PointOf(m.open))
	m.records, m.open = 0, nil
}

// Outcomes is how predictions compare with what came true, as [profile.Outcomes]
// tells it.
type Outcomes struct {
	*profile.Comparison
	absolute, squared *exact.Moments
}

var _ profile.Compared = (*Outcomes)(nil)

// NewOutcomes compares no rows yet, for a profile with an outcome.
func NewOutcomes(p *profile.Profile) *Outcomes {
	return &Outcomes{profile.NewComparison(p), exact.NewMoments(2), exact.NewMoments(2)}
}

// Error implements [profile.Compared].
func (o *Outcomes) Error(e float64) {
	o.absolute.Add(math.Abs(e))
	o.squared.Add(e * e)
}

func (o *Outcomes) scored() *score.Outcomes {
	return &score.Outcomes{
		Right: o.Right, Wrong: o.Wrong, TruePositive: o.TruePositive, FalsePositive: o.FalsePositive, FalseNegative: o.FalseNegative,
		TrueNegative: o.TrueNegative, Positives: o.Positives, Negatives: o.Negatives, Absolute: o.absolute, Squared: o.squared,
	}
}

// Judge judges a sample as an evaluation of the service does, without a service:
// the same monitors, detectors and corrections, and the same form. It needs a
// profile that [Check] finds nothing in.
func Judge(p *profile.Profile, s Sample) (*driftv1.Evaluation, error) {
	r := &store.Registered{Profile: p}
	d, err := derive(r)
	if err != nil {
		return nil, err
	}
	sample := score.Sample{Counts: s.Counts, Groups: s.Groups}
	for i := range s.Measures {
		s.Measures[i].group()
		sample.Measures = append(sample.Measures, s.Measures[i].of)
	}
	if s.Outcomes != nil {
		sample.Outcomes = s.Outcomes.scored()
	}
	if !s.End.IsZero() {
		sample.Timing = &score.Timing{Start: s.Start, End: s.End, Last: s.Last, Known: true}
	}
	scores, err := score.Evaluate(p, sample, d.perDay)
	if err != nil {
		return nil, err
	}
	m := evaluationMessage(&known{Registered: r, derived: d}, &store.Evaluation{Start: s.Start, End: s.End, Records: s.Records, Scores: scores})
	if s.End.IsZero() {
		m.StartTime, m.EndTime = nil, nil
	}
	return m, nil
}

// CheckTable names every monitor that judges what a table has not: windows one
// after the other and when records came, unless their times are known, and values of
// several types in a column.
func CheckTable(p *profile.Profile, timed bool) (problems []string) {
	for i := range p.Monitors {
		m := &p.Monitors[i]
		if score.OfWindows(m.Detector) && !timed {
			problems = append(problems, fmt.Sprintf("monitor %s: detector %s judges windows of time: name the column of event times", m.Name, m.Detector))
		}
		if m.Detector == profile.WrongTypeDetector {
			problems = append(problems, fmt.Sprintf("monitor %s: detector %s judges values one by one as they are sent; all of a table's column are of one type", m.Name, m.Detector))
		}
	}
	return problems
}

// OfWindows reports whether a detector judges windows one after the other, or rates.
func OfWindows(detector string) bool { return score.OfWindows(detector) }

// Check names every monitor with a detector or a parameter that there is not.
func Check(p *profile.Profile) (problems []string) { return score.Check(p) }
