// Package wire translates profiles between sdk/profile and the messages of the
// mesh, for whoever registers one, the server included. Nothing of a profile is
// lost either way.
package wire

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/durationpb"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Words of the messages.
var (
	corrections = map[profile.Correction]driftv1.Correction{
		"":                        driftv1.Correction_CORRECTION_UNSPECIFIED,
		profile.BenjaminiHochberg: driftv1.Correction_CORRECTION_BENJAMINI_HOCHBERG,
		profile.Holm:              driftv1.Correction_CORRECTION_HOLM,
		profile.Bonferroni:        driftv1.Correction_CORRECTION_BONFERRONI,
		profile.Uncorrected:       driftv1.Correction_CORRECTION_NONE,
	}
	sourceKinds = map[profile.SourceKind]driftv1.SourceKind{
		"":                     driftv1.SourceKind_SOURCE_KIND_UNSPECIFIED,
		profile.Spans:          driftv1.SourceKind_SOURCE_KIND_SPANS,
		profile.MetricRecords:  driftv1.SourceKind_SOURCE_KIND_METRICS,
		profile.ContextRecords: driftv1.SourceKind_SOURCE_KIND_CONTEXTS,
	}
	severities = map[profile.Severity]driftv1.Severity{
		"":               driftv1.Severity_SEVERITY_UNSPECIFIED,
		profile.Info:     driftv1.Severity_SEVERITY_INFO,
		profile.Warning:  driftv1.Severity_SEVERITY_WARNING,
		profile.Critical: driftv1.Severity_SEVERITY_CRITICAL,
	}
)

// wordOf is the word of a number of an enum; the number itself, which no profile
// allows, when it is none of ours.
func wordOf[W ~string, N ~int32](words map[W]N, number N) W {
	for word, n := range words {
		if n == number {
			return word
		}
	}
	return W(strconv.Itoa(int(number)))
}

// Severity is a severity on the wire.
func Severity(s profile.Severity) driftv1.Severity { return severities[s] }

// Message puts a profile on the wire. Create time and whether it is active are
// not the profile's own, and left out.
func Message(p *profile.Profile) *driftv1.Profile {
	m := Outline(p)
	m.Features = make([]*driftv1.FeatureProfile, len(p.Features))
	for i := range p.Features {
		m.Features[i] = featureMessage(&p.Features[i])
	}
	m.Checks = checksMessage(p.Checks)
	for i := range p.Groups {
		m.Groups = append(m.Groups, groupMessage(&p.Groups[i]))
	}
	return m
}

// Outline is Message without the features, and what the reference holds of them.
func Outline(p *profile.Profile) *driftv1.Profile {
	m := &driftv1.Profile{
		Uid: p.UID, Space: p.Space, Name: p.Name, Version: p.Version, Correction: corrections[p.Correction],
		Schedule: &driftv1.Schedule{Cron: p.Schedule.Cron, Zone: p.Schedule.Zone, OnClose: p.Schedule.OnClose},
		Binning:  &driftv1.Binning{Rule: string(p.Binning.Rule), Bins: uint32(max(p.Binning.Bins, 0))}, //nolint:gosec // a few
		Monitors: make([]*driftv1.Monitor, len(p.Monitors)),
	}
	if p.Schedule.Lookback != 0 {
		m.Schedule.Lookback = durationpb.New(p.Schedule.Lookback)
	}
	if p.ReferenceSpan != 0 {
		m.ReferenceSpan = durationpb.New(p.ReferenceSpan)
	}
	for i := range p.Features {
		m.ReferenceRows = max(m.ReferenceRows, p.Features[i].Baseline.Rows)
	}
	for i := range p.Monitors {
		m.Monitors[i] = monitorMessage(&p.Monitors[i])
	}
	m.Outcome = outcomeMessage(p.Outcome)
	if s := p.Source; s != nil {
		m.Source = &driftv1.Source{Of: sourceKinds[s.Of], Service: s.Service, Operation: s.Operation, Kind: s.Kind, Attributes: maps.Clone(s.Attributes)}
	}
	return m
}

func monitorMessage(m *profile.Monitor) *driftv1.Monitor {
	return &driftv1.Monitor{
		Name: m.Name, Detector: m.Detector, Features: slices.Clone(m.Features), Parameters: maps.Clone(m.Parameters),
		Threshold: thresholdMessage(m.Threshold), MinSample: m.MinSample, Severity: severities[m.Severity], Routes: slices.Clone(m.Routes),
		Persistence: &driftv1.Persistence{K: uint32(max(m.Persistence.K, 0)), N: uint32(max(m.Persistence.N, 0))}, //nolint:gosec // a few
	}
}

func thresholdMessage(t profile.Threshold) *driftv1.Threshold {
	switch t.Limit {
	case profile.Fixed:
		return &driftv1.Threshold{Kind: &driftv1.Threshold_Fixed{Fixed: t.Value}}
	case profile.Significance:
		return &driftv1.Threshold{Kind: &driftv1.Threshold_Significance{Significance: t.Alpha}}
	case profile.Budget:
		return &driftv1.Threshold{Kind: &driftv1.Threshold_Budget{Budget: &driftv1.Budget{Pages: t.Pages, Days: t.Days}}}
	case profile.Deviations:
		d := &driftv1.Deviations{Sigmas: t.Sigmas, Chunks: make(map[string]*driftv1.Chunks, len(t.Chunks))}
		for name, c := range t.Chunks {
			d.Chunks[name] = &driftv1.Chunks{Mean: c.Mean, StdDev: c.StdDev, Number: uint32(max(c.Number, 0))} //nolint:gosec // a few
		}
		return &driftv1.Threshold{Kind: &driftv1.Threshold_Deviations{Deviations: d}}
	}
	return nil
}

func featureMessage(f *profile.Feature) *driftv1.FeatureProfile {
	b := &f.Baseline
	m := &driftv1.FeatureProfile{
		Name: f.Name, Type: string(f.Type), Edges: f.Edges(), Categories: f.Categories(), Counts: make([]uint64, len(f.Bins)),
		Baseline: &driftv1.Baseline{
			Rows: b.Rows, Missing: b.Special[profile.Missing], Nan: b.Special[profile.NaN],
			PositiveInfinite: b.Special[profile.PosInf], NegativeInfinite: b.Special[profile.NegInf],
			Min: b.Min, Max: b.Max, Mean: b.Mean, StdDev: b.StdDev, Median: b.Median, Moments: b.Moments, Deviations: b.Deviations,
		},
	}
	if g := b.Subgroups; g != nil {
		m.Baseline.Subgroups = &driftv1.Subgroups{Size: uint32(max(g.Size, 0)), Means: g.Means, StdDevs: g.StdDevs} //nolint:gosec // of a reference in memory
	}
	if l := b.Scouter; l != nil {
		m.Baseline.ScouterLimits = &driftv1.ScouterLimits{Center: l.Center, Sigma: l.Sigma}
	}
	switch f.Kind {
	case profile.Numeric:
		m.Kind = driftv1.FeatureKind_FEATURE_KIND_NUMERIC
	case profile.Category:
		m.Kind = driftv1.FeatureKind_FEATURE_KIND_CATEGORY
	}
	counted := false
	for i := range f.Bins {
		m.Counts[i] = f.Bins[i].Count
		counted = counted || m.Counts[i] > 0
	}
	if !counted {
		m.Proportions = f.Proportions()
	}
	return m
}

// Profile reads a profile off the wire, gives what is not said its default and
// validates it: its error joins a *profile.Error for each broken rule.
func Profile(m *driftv1.Profile) (*profile.Profile, error) {
	if m == nil {
		return nil, &profile.Error{Rule: "PROFILE", Detail: "there is no profile"}
	}
	p := &profile.Profile{
		UID: m.GetUid(), Space: m.GetSpace(), Name: m.GetName(), Version: m.GetVersion(),
		Correction:    wordOf(corrections, m.GetCorrection()),
		Binning:       profile.Binning{Rule: profile.Rule(m.GetBinning().GetRule()), Bins: int(m.GetBinning().GetBins())},
		ReferenceSpan: m.GetReferenceSpan().AsDuration(),
		Schedule: profile.Schedule{
			Cron: m.GetSchedule().GetCron(), Zone: m.GetSchedule().GetZone(), OnClose: m.GetSchedule().GetOnClose(),
			Lookback: m.GetSchedule().GetLookback().AsDuration(),
		},
		Features: make([]profile.Feature, len(m.GetFeatures())), Monitors: make([]profile.Monitor, len(m.GetMonitors())),
	}
	for i, f := range m.GetFeatures() {
		p.Features[i] = featureOf(f, m.GetReferenceRows())
	}
	for i, o := range m.GetMonitors() {
		p.Monitors[i] = monitorOf(o)
	}
	p.Outcome = outcomeOf(m.GetOutcome())
	if s := m.GetSource(); s != nil {
		p.Source = &profile.Source{Of: wordOf(sourceKinds, s.GetOf()), Service: s.GetService(), Operation: s.GetOperation(), Kind: s.GetKind()}
		if len(s.GetAttributes()) > 0 {
			p.Source.Attributes = maps.Clone(s.GetAttributes())
		}
	}
	p.Checks = checksOf(m.GetChecks())
	for _, g := range m.GetGroups() {
		p.Groups = append(p.Groups, groupOf(g))
	}
	p.FillDefaults()
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}

// Tolerates is [profile.Profile.Tolerates] of a profile on the wire.
func Tolerates(m *driftv1.Profile, feature string) bool {
	of := profile.Profile{}
	for _, o := range m.GetMonitors() {
		if o.GetDetector() == profile.WrongTypeDetector {
			of.Monitors = append(of.Monitors, monitorOf(o))
		}
	}
	return of.Tolerates(feature)
}

func monitorOf(m *driftv1.Monitor) profile.Monitor {
	o := profile.Monitor{
		Name: m.GetName(), Detector: m.GetDetector(), Threshold: thresholdOf(m.GetThreshold()), MinSample: m.GetMinSample(),
		Severity:    wordOf(severities, m.GetSeverity()),
		Persistence: profile.Persistence{K: int(m.GetPersistence().GetK()), N: int(m.GetPersistence().GetN())},
	}
	if len(m.GetFeatures()) > 0 {
		o.Features = slices.Clone(m.GetFeatures())
	}
	if len(m.GetParameters()) > 0 {
		o.Parameters = maps.Clone(m.GetParameters())
	}
	if len(m.GetRoutes()) > 0 {
		o.Routes = slices.Clone(m.GetRoutes())
	}
	return o
}

func thresholdOf(m *driftv1.Threshold) profile.Threshold {
	switch kind := m.GetKind().(type) {
	case *driftv1.Threshold_Fixed:
		return profile.Above(kind.Fixed)
	case *driftv1.Threshold_Significance:
		return profile.Significant(kind.Significance)
	case *driftv1.Threshold_Budget:
		return profile.AtMost(kind.Budget.GetPages(), kind.Budget.GetDays())
	case *driftv1.Threshold_Deviations:
		chunks := make(map[string]profile.Chunks, len(kind.Deviations.GetChunks()))
		for name, c := range kind.Deviations.GetChunks() {
			chunks[name] = profile.Chunks{Mean: c.GetMean(), StdDev: c.GetStdDev(), Number: int(c.GetNumber())}
		}
		return profile.Beyond(kind.Deviations.GetSigmas(), chunks)
	}
	return profile.Threshold{}
}

// featureOf makes the bins of a feature. Counts that are too few or too many for
// its edges or categories leave bins that Validate refuses.
func featureOf(m *driftv1.FeatureProfile, rows uint64) profile.Feature {
	b := m.GetBaseline()
	f := profile.Feature{Name: m.GetName(), Type: profile.ValueType(m.GetType()), Baseline: profile.Baseline{
		Rows: cmp.Or(b.GetRows(), rows), Min: b.GetMin(), Max: b.GetMax(), Mean: b.GetMean(), StdDev: b.GetStdDev(),
		Median: b.GetMedian(), Moments: b.GetMoments(), Deviations: b.GetDeviations(),
		Special: [profile.Specials]uint64{
			profile.Missing: b.GetMissing(), profile.NaN: b.GetNan(), profile.PosInf: b.GetPositiveInfinite(), profile.NegInf: b.GetNegativeInfinite(),
		},
	}}
	if g := b.GetSubgroups(); g != nil {
		f.Baseline.Subgroups = &profile.Subgroups{Size: int(g.GetSize()), Means: g.GetMeans(), StdDevs: g.GetStdDevs()}
	}
	if l := b.GetScouterLimits(); l != nil {
		f.Baseline.Scouter = &profile.ScouterLimits{Center: l.GetCenter(), Sigma: l.GetSigma()}
	}
	counts := m.GetCounts()
	switch m.GetKind() {
	case driftv1.FeatureKind_FEATURE_KIND_NUMERIC:
		f.Kind = profile.Numeric
		if len(counts) != len(m.GetEdges())+1 {
			return f
		}
	case driftv1.FeatureKind_FEATURE_KIND_CATEGORY:
		f.Kind = profile.Category
		if len(counts) != len(m.GetCategories()) {
			return f
		}
	case driftv1.FeatureKind_FEATURE_KIND_UNSPECIFIED: // Validate refuses it
		return f
	}
	total := uint64(0)
	for _, n := range counts {
		total += n
	}
	lower := math.Inf(-1)
	for i, n := range counts {
		bin := profile.Bin{ID: i, Count: n, Proportion: profile.Share(n, total)}
		if total == 0 && i < len(m.GetProportions()) {
			bin.Proportion = m.GetProportions()[i]
		}
		if f.Kind == profile.Category {
			bin.Category = m.GetCategories()[i]
		} else {
			bin.ID, bin.Lower, bin.Upper = i+1, lower, math.Inf(1)
			if i < len(m.GetEdges()) {
				bin.Upper = m.GetEdges()[i]
			}
			lower = bin.Upper
		}
		f.Bins = append(f.Bins, bin)
	}
	return f
}
