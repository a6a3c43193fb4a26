package drift

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// maxTraces bounds the traces that an alert names.
const maxTraces = 16

// profileOf reads a profile off the wire and validates it: fault.Invalid names
// every feature and rule that is broken.
func profileOf(m *driftv1.Profile) (*profile.Profile, error) {
	if m == nil {
		return nil, fault.Invalid.New("profile is missing").WithReason("INVALID_PROFILE")
	}
	p := &profile.Profile{
		Space: m.GetSpace(), Name: m.GetName(), Version: m.GetVersion(), DriftType: profile.PSIDrift,
		Features: make([]profile.Feature, len(m.GetFeatures())),
		Alert: profile.Alert{
			Schedule: m.GetSchedule(), MinSample: m.GetMinSample(), Lookback: m.GetLookback().AsDuration(), OnClose: m.GetOnWindowClose(),
			Threshold: thresholdOf(m.GetThreshold()),
		},
	}
	if p.Alert.Schedule == "" {
		p.Alert.Schedule = profile.DefaultSchedule
	}
	for i, f := range m.GetFeatures() {
		p.Features[i] = featureOf(f, m.GetReferenceRows())
	}
	if err := p.Validate(); err != nil {
		return nil, fault.Invalid.New("the profile is not valid: %v", err).WithReason("INVALID_PROFILE")
	}
	return p, nil
}

func thresholdOf(m *driftv1.Threshold) profile.Threshold {
	switch kind := m.GetKind().(type) {
	case *driftv1.Threshold_Fixed:
		return profile.Threshold{Limit: profile.Fixed, Value: kind.Fixed}
	case *driftv1.Threshold_NormalAlpha:
		return profile.Threshold{Limit: profile.Normal, Alpha: kind.NormalAlpha}
	case *driftv1.Threshold_ChiSquareAlpha:
		return profile.Threshold{Limit: profile.ChiSquare, Alpha: kind.ChiSquareAlpha}
	}
	return profile.Threshold{Limit: profile.ChiSquare, Alpha: profile.DefaultAlpha}
}

// featureOf makes the bins of a feature. Counts that are too few or too many for
// its edges or categories leave bins that Validate refuses.
func featureOf(m *driftv1.FeatureProfile, rows uint64) profile.Feature {
	f := profile.Feature{Name: m.GetName(), Type: profile.ValueType(m.GetType())}
	f.Baseline.Rows = rows
	f.Baseline.Special[profile.Missing] = m.GetMissing()
	f.Baseline.Special[profile.NaN] = m.GetNotFinite()
	total := uint64(0)
	for _, n := range m.GetCounts() {
		total += n
	}
	bin := func(id int, n uint64) profile.Bin {
		return profile.Bin{ID: id, Count: n, Proportion: profile.Share(n, total)}
	}
	switch m.GetKind() {
	case driftv1.FeatureKind_FEATURE_KIND_NUMERIC:
		f.Kind = profile.Numeric
		edges := m.GetEdges()
		if len(m.GetCounts()) != len(edges)+1 {
			return f
		}
		lower := math.Inf(-1)
		for i, n := range m.GetCounts() {
			b := bin(i+1, n)
			b.Lower, b.Upper = lower, math.Inf(1)
			if i < len(edges) {
				b.Upper = edges[i]
			}
			lower = b.Upper
			f.Bins = append(f.Bins, b)
		}
	case driftv1.FeatureKind_FEATURE_KIND_CATEGORY:
		f.Kind = profile.Category
		if len(m.GetCounts()) != len(m.GetCategories()) {
			return f
		}
		for i, n := range m.GetCounts() {
			b := bin(i, n)
			b.Category = m.GetCategories()[i]
			f.Bins = append(f.Bins, b)
		}
	case driftv1.FeatureKind_FEATURE_KIND_UNSPECIFIED: // Validate refuses it
	}
	return f
}

// profileMessage puts a registered profile on the wire, with its features or
// without.
func profileMessage(r *store.Registered, whole bool) *driftv1.Profile {
	m := headMessage(r.Profile)
	if whole {
		m = ProfileMessage(r.Profile)
	}
	m.Uid, m.CreateTime, m.Active = r.UID, timestamppb.New(r.Created), r.Active
	return m
}

// ProfileMessage puts a profile on the wire, as CreateProfile takes it.
func ProfileMessage(p *profile.Profile) *driftv1.Profile {
	m := headMessage(p)
	for i := range p.Features {
		m.Features = append(m.Features, featureMessage(&p.Features[i]))
	}
	return m
}

// headMessage is a profile without its features.
func headMessage(p *profile.Profile) *driftv1.Profile {
	m := &driftv1.Profile{
		Space: p.Space, Name: p.Name, Version: p.Version, Schedule: p.Alert.Schedule, OnWindowClose: p.Alert.OnClose,
		MinSample: p.Alert.MinSample, Threshold: thresholdMessage(p.Alert.Threshold),
	}
	if p.Alert.Lookback > 0 {
		m.Lookback = durationpb.New(p.Alert.Lookback)
	}
	for i := range p.Features {
		m.ReferenceRows = max(m.ReferenceRows, p.Features[i].Baseline.Rows)
	}
	return m
}

func thresholdMessage(t profile.Threshold) *driftv1.Threshold {
	switch t.Limit {
	case profile.Fixed:
		return &driftv1.Threshold{Kind: &driftv1.Threshold_Fixed{Fixed: t.Value}}
	case profile.Normal:
		return &driftv1.Threshold{Kind: &driftv1.Threshold_NormalAlpha{NormalAlpha: t.Alpha}}
	default: // ChiSquare, also what none means
		return &driftv1.Threshold{Kind: &driftv1.Threshold_ChiSquareAlpha{ChiSquareAlpha: t.Alpha}}
	}
}

func featureMessage(f *profile.Feature) *driftv1.FeatureProfile {
	m := &driftv1.FeatureProfile{
		Name: f.Name, Type: string(f.Type), Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC,
		Edges: f.Edges(), Categories: f.Categories(), Counts: make([]uint64, len(f.Bins)),
		Missing: f.Baseline.Special[profile.Missing],
		NotFinite: f.Baseline.Special[profile.NaN] + f.Baseline.Special[profile.PosInf] +
			f.Baseline.Special[profile.NegInf],
	}
	if f.Kind == profile.Category {
		m.Kind = driftv1.FeatureKind_FEATURE_KIND_CATEGORY
	}
	for i := range f.Bins {
		m.Counts[i] = f.Bins[i].Count
	}
	return m
}

func evaluationMessage(p *known, e *store.Evaluation) *driftv1.Evaluation {
	m := &driftv1.Evaluation{
		Profile: p.UID, ProfileName: p.Title(), StartTime: timestamppb.New(e.Start), EndTime: timestamppb.New(e.End),
		Records: e.Records, Scores: make([]*driftv1.Score, len(e.Scores)),
	}
	if !e.Slot.IsZero() {
		m.Slot = timestamppb.New(e.Slot)
	}
	for i := range e.Scores {
		s := &e.Scores[i]
		r := s.Report(p.Registered.Profile, e.Exemplars[s.Feature])
		m.Scores[i] = scoreMessage(&r)
	}
	return m
}

// verdicts are the words for verdicts on the wire.
var verdicts = map[score.Verdict]driftv1.Verdict{
	score.OK:           driftv1.Verdict_VERDICT_OK,
	score.Drift:        driftv1.Verdict_VERDICT_DRIFT,
	score.Insufficient: driftv1.Verdict_VERDICT_INSUFFICIENT,
}

func scoreMessage(r *score.Report) *driftv1.Score {
	m := &driftv1.Score{
		Feature: r.Feature, Detector: r.Detector, Verdict: verdicts[r.Verdict], Value: r.Value, Threshold: r.Threshold, Sample: r.Sample,
		Missing: r.Special[profile.Missing], Nan: r.Special[profile.NaN],
		Infinite: r.Special[profile.PosInf] + r.Special[profile.NegInf], Unknown: r.Special[profile.Other],
		Bins: make([]*driftv1.BinScore, len(r.Bins)),
	}
	for i := range r.Bins {
		b := &r.Bins[i]
		m.Bins[i] = &driftv1.BinScore{Label: b.Label, Expected: b.Expected, Observed: b.Observed, Count: b.Count, Contribution: b.Contribution}
		for _, x := range b.Exemplars {
			m.Bins[i].Exemplars = append(m.Bins[i].Exemplars, &driftv1.Exemplar{RecordId: x.Record, TraceId: x.Trace, SpanId: x.Span})
		}
	}
	return m
}

func alertMessage(title string, a *alert.Alert, traceURL string) *driftv1.Alert {
	m := &driftv1.Alert{
		Id: a.ID, Profile: a.Profile, ProfileName: title, Score: scoreMessage(&a.Score),
		RangeStart: timestamppb.New(a.RangeStart), RangeEnd: timestamppb.New(a.RangeEnd), RaiseTime: timestamppb.New(a.Raised),
		RepeatTime: optional(a.Repeated), ResolveTime: optional(a.Resolved), AcknowledgeTime: optional(a.Acknowledged),
		AcknowledgedBy: a.AcknowledgedBy, Occurrences: a.Occurrences, ExemplarTraceIds: a.Score.Traces(maxTraces),
	}
	if links := alert.Links(traceURL, m.ExemplarTraceIds); traceURL != "" && len(links) > 0 {
		m.Link = links[0]
	}
	return m
}

// optional is nil for a time that never was.
func optional(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
