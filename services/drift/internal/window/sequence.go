package window

import (
	"cmp"
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/internal/exact"
)

// sequence is the records of a window in the order of their event time, for the
// features with sub-groups. Records of one time are ordered by their key, so that
// the order does not depend on that of arrival.
type sequence struct {
	records []moment
	values  [][]float64 // of each feature; NaN where there is no finite one
}

// moment is when a record happened, and where its values are.
type moment struct {
	time int64
	key  uint64
	at   int
}

func newSequence(p *plan) *sequence {
	n := 0
	for i := range p.numbers {
		n = max(n, p.numbers[i].sampled+1)
	}
	return &sequence{values: make([][]float64, n)}
}

func (s *sequence) add(p *plan, time int64, key uint64, values []float64, states []uint8) {
	s.records = append(s.records, moment{time, key, len(s.records)})
	for i := range p.numbers {
		n := &p.numbers[i]
		if n.sampled < 0 {
			continue
		}
		v := math.NaN()
		if i < len(values) && i < len(states) && states[i] == 0 && !math.IsInf(values[i], 0) {
			v = values[i]
		}
		s.values[n.sampled] = append(s.values[n.sampled], v)
	}
}

// Group is a sub-group of a window: how many finite values its records have,
// their mean and their standard deviation (of the sample), each rounded once.
type Group struct {
	N        uint32
	Mean, SD float64
}

func (s *sequence) sort() {
	slices.SortFunc(s.records, func(a, b moment) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.key, b.key)) })
}

// groups cuts the sorted records into sub-groups.
func (s *sequence) groups(n *number) (all []Group) {
	for part := range slices.Chunk(s.records, n.Sample) {
		m := exact.NewMoments(2)
		for _, r := range part {
			m.Add(s.values[n.sampled][r.at])
		}
		all = append(all, groupOf(m))
	}
	return all
}

// groupOf is the sub-group of a sample.
func groupOf(m *exact.Moments) Group {
	mean, sd := m.Summary()
	return Group{N: uint32(min(m.N(), math.MaxUint32)), Mean: mean, SD: sd}
}
