package drift

import (
	"time"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Sample is what was counted of some records by the bins of a profile.
type Sample struct {
	// Counts has for each feature an element for each bin, regular and special.
	Counts [][]uint64
	// Records is how many there are.
	Records uint64
	// Start and End are their range of event time, where that is known.
	Start, End time.Time
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
	scores, err := score.Evaluate(p, score.Sample{Counts: s.Counts}, d.perDay)
	if err != nil {
		return nil, err
	}
	m := evaluationMessage(&known{Registered: r, derived: d}, &store.Evaluation{Start: s.Start, End: s.End, Records: s.Records, Scores: scores})
	if s.End.IsZero() {
		m.StartTime, m.EndTime = nil, nil
	}
	return m, nil
}

// Check names every monitor with a detector or a parameter that there is not.
func Check(p *profile.Profile) (problems []string) { return score.Check(p) }
