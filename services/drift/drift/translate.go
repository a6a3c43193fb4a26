package drift

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// maxTraces bounds the traces that an alert names.
const maxTraces = 16

// profileOf reads a profile off the wire: fault.Invalid names every feature,
// monitor and rule that is broken, and what there is instead.
func profileOf(m *driftv1.Profile) (*profile.Profile, error) {
	p, err := wire.Profile(m)
	if err != nil {
		return nil, fault.Invalid.New("the profile is not valid: %v", err).WithReason("INVALID_PROFILE")
	}
	if problems := Check(p); len(problems) > 0 {
		return nil, fault.Invalid.New("the profile is not valid: %s", strings.Join(problems, "; ")).WithReason("INVALID_PROFILE")
	}
	p.UID = "" // ours to make
	return p, nil
}

// unknownRoutes says which routes the profile names that there are not: its alerts
// go where those go that name none. That is no mistake of the profile's, which may
// come from a mesh that has them.
func unknownRoutes(p *profile.Profile, routes *route.Table) (warnings []string) {
	for i := range p.Monitors {
		for _, name := range p.Monitors[i].Routes {
			if known, _ := routes.Route(name); known == nil {
				warnings = append(warnings, fmt.Sprintf("monitor %s: there is no route %s here, but %s", p.Monitors[i].Name, name, strings.Join(routes.Names(), ", ")))
			}
		}
	}
	return warnings
}

// profileMessage puts a registered profile on the wire, with its features or
// without.
func profileMessage(r *store.Registered, whole bool) *driftv1.Profile {
	m := wire.Outline(r.Profile)
	if whole {
		m = wire.Message(r.Profile)
	}
	m.CreateTime, m.Active = timestamppb.New(r.Created), r.Active
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
	order := make(map[string]int, len(p.Monitors))
	for i := range p.Monitors {
		order[p.Monitors[i].Name] = i
	}
	scores := slices.Clone(e.Scores)
	slices.SortStableFunc(scores, func(a, b score.Score) int {
		return cmp.Or(cmp.Compare(order[a.Monitor], order[b.Monitor]), cmp.Compare(a.Feature, b.Feature))
	})
	for i := range scores {
		s := &scores[i]
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
	return &driftv1.Score{
		Monitor: r.Monitor, Feature: r.Feature, Detector: r.Detector, Verdict: verdicts[r.Verdict], Value: r.Value, Threshold: r.Threshold,
		LowerThreshold: r.Lower, Judged: r.Judged, Method: r.Method, Caveats: r.Caveats, PValue: r.P, AdjustedPValue: r.Adjusted, FalseAlarmRate: r.Rate,
		Sample: r.Sample, Reference: r.Reference, MinSample: r.Minimum, Bins: binMessages(r.Bins), States: binMessages(r.States),
	}
}

func binMessages(bins []score.Bin) []*driftv1.BinScore {
	out := make([]*driftv1.BinScore, len(bins))
	for i := range bins {
		b := &bins[i]
		out[i] = &driftv1.BinScore{Label: b.Label, Expected: b.Expected, Observed: b.Observed, Count: b.Count, Contribution: b.Contribution}
		for _, x := range b.Exemplars {
			out[i].Exemplars = append(out[i].Exemplars, &driftv1.Exemplar{RecordId: x.Record, TraceId: x.Trace, SpanId: x.Span})
		}
	}
	return out
}

func alertMessage(p *known, a *alert.Alert, cfg Config) *driftv1.Alert {
	m := &driftv1.Alert{
		Id: a.ID, Profile: a.Profile, ProfileName: p.Title(), Monitor: a.Monitor, Detector: a.Detector, Trigger: a.Trigger,
		RangeStart: timestamppb.New(a.RangeStart), RangeEnd: timestamppb.New(a.RangeEnd), RaiseTime: timestamppb.New(a.Raised),
		RepeatTime: optional(a.Repeated), ResolveTime: optional(a.Resolved), ResolveReason: a.Reason, Late: a.Late, Finding: a.Finding, AcknowledgeTime: optional(a.Acknowledged),
		AcknowledgedBy: a.AcknowledgedBy, Occurrences: a.Occurrences, MovedCount: uint32(max(a.Moved, 0)), //nolint:gosec // features
		ExemplarTraceIds: score.Traces(a.Scores, maxTraces), Moved: make([]*driftv1.Score, len(a.Scores)),
	}
	if o := p.Monitor(a.Monitor); o != nil {
		m.Severity = wire.Severity(o.Severity)
	} else {
		m.Severity = driftv1.Severity_SEVERITY_WARNING
	}
	for i := range a.Scores {
		m.Moved[i] = scoreMessage(&a.Scores[i])
	}
	if links := alert.Links(cfg.TraceURL, m.ExemplarTraceIds); cfg.TraceURL != "" && len(links) > 0 {
		m.Link = links[0]
	}
	if cfg.AlertURL != "" {
		m.Page = strings.ReplaceAll(cfg.AlertURL, "{alert}", a.ID)
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
