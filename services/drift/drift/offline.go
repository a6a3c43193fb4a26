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
	// Records is how many there are.
	Records uint64
	// Start and End are their range of event time, where that is known.
	Start, End time.Time
}

// Measures are what detectors look at of the values of a number besides its bins.
// The zero value is nothing that is known.
type Measures struct {
	feature *profile.Feature
	of      score.Measures
}

// NewMeasures measures no values of a feature yet.
func NewMeasures(f *profile.Feature) Measures {
	return Measures{feature: f, of: score.Measures{Moments: exact.NewMoments(2), Deviations: exact.NewMoments(2), Reach: new(score.Reach)}}
}

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
		sample.Measures = append(sample.Measures, s.Measures[i].of)
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
// after the other, when records came, and values of several types in a column.
func CheckTable(p *profile.Profile) (problems []string) {
	for i := range p.Monitors {
		m := &p.Monitors[i]
		if score.OfWindows(m.Detector) {
			problems = append(problems, fmt.Sprintf("monitor %s: detector %s judges windows of time, which a table has not", m.Name, m.Detector))
		}
		if m.Detector == profile.WrongTypeDetector {
			problems = append(problems, fmt.Sprintf("monitor %s: detector %s judges values one by one as they are sent; all of a table's column are of one type", m.Name, m.Detector))
		}
	}
	return problems
}

// Check names every monitor with a detector or a parameter that there is not.
func Check(p *profile.Profile) (problems []string) { return score.Check(p) }
