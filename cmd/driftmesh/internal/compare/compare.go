// Package compare holds a table against another without a mesh: it makes a
// profile of the one, counts the other by its bins, and judges as the service
// does.
package compare

import (
	"math"
	"strings"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/chunk"
	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/drift"
)

// Chunk is a chunk and what was concluded of it.
type Chunk struct {
	chunk.Chunk
	Evaluation *driftv1.Evaluation
}

// Judge judges every chunk of a sample.
func Judge(p *profile.Profile, s *chunk.Sample) ([]Chunk, error) {
	if problems := drift.CheckTable(p, s.Timed()); len(problems) > 0 {
		return nil, fault.Invalid.New("%s", strings.Join(problems, "; "))
	}
	all := make([]Chunk, len(s.Cut.Chunks))
	for i, c := range s.Cut.Chunks {
		e, err := judge(p, s, i)
		if err != nil {
			return nil, err
		}
		all[i] = Chunk{Chunk: c, Evaluation: e}
	}
	return all, nil
}

func judge(p *profile.Profile, s *chunk.Sample, i int) (*driftv1.Evaluation, error) {
	start, end, last := s.Range(i)
	return drift.Judge(p, drift.Sample{
		Counts: s.Counts(p, i), Measures: s.Measures(p, i), Groups: s.Groups(p, i), Outcomes: s.Outcomes(p, i),
		Records: uint64(s.Cut.Chunks[i].Rows), Start: start, End: end, Last: last, //nolint:gosec // rows
	})
}

// Check is fault.Invalid when the profile has monitors that nobody can judge by.
func Check(p *profile.Profile) error {
	if problems := drift.Check(p); len(problems) > 0 {
		return fault.Invalid.New("%s", strings.Join(problems, "; "))
	}
	return nil
}

// Unmeasured takes the thresholds that need chunks of the reference away from
// monitors, so that a profile can be made, and says for which it did.
func Unmeasured(monitors []profile.Monitor) (sigmas map[string]float64) {
	sigmas = map[string]float64{}
	for i := range monitors {
		m := &monitors[i]
		if m.Threshold.Limit == profile.Deviations && len(m.Threshold.Chunks) == 0 {
			sigmas[m.Name] = m.Threshold.Sigmas
			m.Threshold = profile.Above(math.MaxFloat64)
		}
	}
	return sigmas
}

// Measure gives monitors thresholds by how their statistics vary over chunks of
// the reference: sigmas has for each the number of standard deviations. A chunk
// that is partial is left out, for its statistic varies more.
func Measure(p *profile.Profile, s *chunk.Sample, sigmas map[string]float64) error {
	if len(sigmas) == 0 {
		return nil
	}
	values := map[string]map[string][]float64{} // by monitor, by feature
	for i, c := range s.Cut.Chunks {
		if c.Partial {
			continue
		}
		e, err := judge(p, s, i)
		if err != nil {
			return err
		}
		for _, found := range e.GetScores() {
			if found.Value == nil {
				continue
			}
			if values[found.GetMonitor()] == nil {
				values[found.GetMonitor()] = map[string][]float64{}
			}
			of := values[found.GetMonitor()]
			of[found.GetFeature()] = append(of[found.GetFeature()], found.GetValue())
		}
	}
	for i := range p.Monitors {
		m := &p.Monitors[i]
		k, unmeasured := sigmas[m.Name]
		if !unmeasured {
			continue
		}
		chunks := map[string]profile.Chunks{}
		for name, of := range values[m.Name] {
			if len(of) >= leastChunks {
				chunks[name] = profile.ChunksOf(of)
			}
		}
		if len(chunks) == 0 {
			return fault.Invalid.New("monitor %s: the reference has %d whole chunks; at least %d are needed to know how much a statistic varies", m.Name, len(s.Cut.Chunks), leastChunks)
		}
		m.Threshold = profile.Beyond(k, chunks)
	}
	return p.Validate()
}

// leastChunks is how few chunks have a standard deviation.
const leastChunks = 2
