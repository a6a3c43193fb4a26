package score

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// detector is a statistic of a feature's reference and of what was counted.
type detector struct {
	// parameters that a monitor may set.
	parameters []string
	judge      func(m *profile.Monitor, f *profile.Feature, counts []uint64) finding
}

// finding is what a detector finds. NaN stands for what it cannot say.
type finding struct {
	value, p          float64
	sample, reference uint64
	contributions     []float64
	// critical is the value of the statistic that has this p-value.
	critical func(alpha float64) float64
}

var detectors = map[string]detector{
	profile.PSIDetector: {judge: psi},
}

// Detectors lists the names of all detectors.
func Detectors() []string { return slices.Sorted(maps.Keys(detectors)) }

// Check names every monitor with a detector or a parameter that there is not, and
// says which there are.
func Check(p *profile.Profile) (problems []string) {
	for i := range p.Monitors {
		m := &p.Monitors[i]
		d, ok := detectors[m.Detector]
		if !ok {
			problems = append(problems, "monitor "+m.Name+": there is no detector "+m.Detector+", but "+strings.Join(Detectors(), ", "))
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
			if slices.Contains(d.parameters, name) {
				continue
			}
			known := "none"
			if len(d.parameters) > 0 {
				known = strings.Join(d.parameters, ", ")
			}
			problems = append(problems, "monitor "+m.Name+": detector "+m.Detector+" has no parameter "+name+"; it has "+known)
		}
	}
	return problems
}

// psi is the population stability index over the regular bins. The special ones
// do not enter: a share of missing values or of unknown categories is not a shift
// of the others.
func psi(_ *profile.Monitor, f *profile.Feature, counts []uint64) finding {
	regular := counts[:len(f.Bins)]
	value, contributions, sample, _ := profile.PSI(f.Proportions(), regular) // their lengths agree
	found := finding{value: value, p: math.NaN(), sample: sample, contributions: contributions}
	for i := range f.Bins {
		found.reference += f.Bins[i].Count
	}
	found.critical = func(alpha float64) float64 {
		return profile.IndexThreshold(alpha, found.reference, sample, len(f.Bins))
	}
	if sample == 0 { // there is no index, and no bin is to blame
		found.value, found.contributions = math.NaN(), make([]float64, len(regular))
		return found
	}
	found.p = profile.IndexSignificance(value, found.reference, sample, len(f.Bins))
	return found
}
