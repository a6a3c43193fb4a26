package score

import (
	"math"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Scores of features that are judged together are about their group: its position
// comes after those of the features.

// Subjects is how many things scores of a profile can be about.
func Subjects(p *profile.Profile) int { return len(p.Features) + len(p.Groups) }

// Subject names what a score is about.
func Subject(p *profile.Profile, i int) string {
	if i < len(p.Features) {
		return p.Features[i].Name
	}
	return p.Groups[i-len(p.Features)].Name()
}

// SubjectOf is the position of a subject, −1 when there is none of that name.
func SubjectOf(p *profile.Profile, name string) int {
	for i := range Subjects(p) {
		if Subject(p, i) == name {
			return i
		}
	}
	return -1
}

// groupOf is the group that a subject is, nil for a feature.
func groupOf(p *profile.Profile, subject int) *profile.Group {
	if subject < len(p.Features) {
		return nil
	}
	return &p.Groups[subject-len(p.Features)]
}

// Members are the positions of the features of a subject: itself for a feature.
func Members(p *profile.Profile, subject int) (features []int) {
	g := groupOf(p, subject)
	if g == nil {
		return []int{subject}
	}
	for _, name := range g.Features {
		features = append(features, p.Feature(name))
	}
	return features
}

// checkGroup says what a profile lacks to judge a monitor's features together.
func checkGroup(p *profile.Profile, m *profile.Monitor) string {
	if p.Group(m) < 0 {
		return "detector " + m.Detector + " judges features together, and the profile has no sums of products of these: make it anew with this monitor"
	}
	return ""
}

// groupInput is what detectors of several features may look at.
func groupInput(g *profile.Group, now *profile.Products) (in detect.Input) {
	in.Reference.Rows, in.Components = referenceRows(g)
	if now != nil {
		means, covariances := now.Moments()
		in.Current.Rows = &detect.Rows{N: now.Rows, Means: means, Covariances: covariances}
	}
	return in
}

func referenceRows(g *profile.Group) (*detect.Rows, *detect.Components) {
	r := g.Residual
	return &detect.Rows{N: g.Rows, Means: g.Means, Covariances: g.Covariances, Kurtosis: g.Kurtosis},
		&detect.Components{Vectors: g.Components, Number: r.Number, Mean: r.Mean, SD: r.StdDev, Skewness: r.Skewness}
}

// The counts of a score of a group.
const (
	complete = iota
	incomplete
)

// together lets a monitor judge its features as one. The score is OK as yet where its
// p-value belongs to the family.
func (f *family) together(p *profile.Profile, m *profile.Monitor, sample *Sample, t test) (s Score, err error) {
	position := p.Group(m)
	if position < 0 {
		return s, fault.Internal.New("the profile has no group of the features of monitor %q", m.Name)
	}
	g := &p.Groups[position]
	counts, now := make([]uint64, incomplete+1), (*profile.Products)(nil)
	if position < len(sample.Groups) {
		now = sample.Groups[position]
		counts[complete], counts[incomplete] = now.Rows, now.Incomplete
	}
	t.input = groupInput(g, now)
	t.input.Seed = seedOf(p, m, g.Name())
	r := f.ask(p.Correction, &t)
	s = newScore(m, &r)
	s.Feature, s.Minimum, s.Counts = len(p.Features)+position, m.MinimumTogether(g), counts
	s.Contributions = make([]float64, len(g.Features))
	copy(s.Contributions, r.Cells)
	if now == nil {
		s.Caveats = append(s.Caveats, unmeasured)
	}
	if s.decide(m, g.Name(), &r, t.alpha); s.Verdict == OK && !math.IsNaN(t.alpha) && !math.IsNaN(s.P) {
		f.members = append(f.members, t)
	}
	return s, nil
}

// groupBins are the features of a group: the share of each of the statistic, beside
// that where nothing moved.
func (s *Score) groupBins(g *profile.Group) (bins, states []Bin) {
	expected := make([]float64, len(g.Features))
	for i := range expected {
		expected[i] = 1
	}
	if s.Detector == profile.PCADetector {
		rows, components := referenceRows(g)
		expected = components.Left(rows)
	}
	all, total := sum(expected), sum(s.Contributions)
	var counts [incomplete + 1]uint64
	copy(counts[:], s.Counts)
	for i, name := range g.Features {
		b := Bin{Label: name, Count: counts[complete], Expected: part(expected[i], all)}
		if i < len(s.Contributions) {
			b.Contribution, b.Observed = s.Contributions[i], part(s.Contributions[i], total)
		}
		bins = append(bins, b)
	}
	return bins, []Bin{{
		Label: "incomplete", Count: counts[incomplete], Expected: profile.Share(g.Incomplete, g.Rows+g.Incomplete),
		Observed: profile.Share(counts[incomplete], counts[complete]+counts[incomplete]),
	}}
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

// part is a share, 0 of nothing. Either may be the greatest number there is.
func part(of, all float64) float64 {
	if !(all > 0) {
		return 0
	}
	return min(of/all, 1)
}
