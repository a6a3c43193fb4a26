package score

import (
	"hash/fnv"
	"math"
	"slices"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// exactReference stands for the rows of a reference of which only shares are
// known: so many that they are taken as exact.
const exactReference = 1 << 40

// inputOf is what detectors may look at: the reference of a feature beside what
// was counted, which has an element for each bin, regular and special.
func inputOf(p *profile.Profile, f *profile.Feature, counts []uint64) detect.Input {
	bins := len(f.Bins)
	in := detect.Input{
		Kind:      kindOf(p, f),
		Reference: detect.Side{Counts: referenceCounts(f), States: states(f.Baseline.Special[:])},
		Current:   detect.Side{Counts: counts[:bins], Unseen: counts[bins+int(profile.Other)], States: states(counts[bins:])},
	}
	if in.Kind.Ordered() {
		in.Bounds = bounds(f)
	}
	return in
}

// kindOf tells bins that were cut at quantiles by their shares: few distinct
// values have a bin each under the same rule, and shares that are what they are.
func kindOf(p *profile.Profile, f *profile.Feature) detect.Kind {
	if f.Kind == profile.Category {
		return detect.Categories
	}
	const odd = 0.5 // what a quantile's share may be off by, of itself
	uneven := slices.ContainsFunc(f.Bins, func(b profile.Bin) bool {
		return math.Abs(b.Proportion*float64(len(f.Bins))-1) > odd
	})
	if p.Binning.Rule != profile.Quantile || uneven {
		return detect.Values
	}
	return detect.Quantiles
}

func states(special []uint64) detect.States {
	return detect.States{
		Missing: special[profile.Missing], NaN: special[profile.NaN], NegInf: special[profile.NegInf], PosInf: special[profile.PosInf],
		WrongType: special[profile.WrongType],
	}
}

func referenceCounts(f *profile.Feature) []uint64 {
	counts, known := make([]uint64, len(f.Bins)), false
	for i := range f.Bins {
		counts[i] = f.Bins[i].Count
		known = known || counts[i] > 0
	}
	if !known {
		for i := range f.Bins {
			counts[i] = uint64(math.Round(f.Bins[i].Proportion * exactReference))
		}
	}
	return counts
}

// bounds of the bins of a numeric feature, the end ones as far as the reference
// reaches; nil when that is not known.
func bounds(f *profile.Feature) []float64 {
	edges := f.Edges()
	low, high := f.Baseline.Min, f.Baseline.Max
	if low == 0 && high == 0 && len(edges) > 0 && (edges[0] != 0 || edges[len(edges)-1] != 0) {
		return nil
	}
	out := make([]float64, 0, len(edges)+2)
	out = append(out, low)
	for _, e := range edges {
		out = append(out, max(e, low))
	}
	return append(out, max(high, out[len(out)-1]))
}

// seedOf is the seed of a monitor's draws for a subject: always the same.
func seedOf(p *profile.Profile, m *profile.Monitor, subject string) uint64 {
	h := fnv.New64a()
	for _, part := range []string{p.UID, m.Name, subject} {
		_, _ = h.Write([]byte(part)) // it cannot fail
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}
