package drift

import (
	"context"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/lift"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// Bounds of an explanation.
const (
	defaultSlices = 10
	maxSlices     = 100
	// maxExplained bounds the range, whose rows are all read.
	maxExplained = 31 * 24 * time.Hour
	// unseenNames is how many new values of each category feature are slices of
	// their own.
	unseenNames = 32
)

// question is a shift to explain.
type question struct {
	p           *known
	feature     int
	monitor     string // whose finding it is; empty where nobody said
	first, last int64  // minutes; the last is exclusive
}

// Explain says which slices of the records of a range carry a feature's shift.
func (s *server) Explain(ctx context.Context, req *driftv1.ExplainRequest) (*driftv1.ExplainResponse, error) {
	q, err := s.question(ctx, req)
	if err != nil {
		return nil, err
	}
	leave, err := s.turn(ctx, q.p)
	if err != nil {
		return nil, err
	}
	defer leave()
	result, err := s.evaluate(ctx, q.p, q.first, q.last, work{})
	if err != nil {
		return nil, err
	}
	f := &q.p.Features[q.feature]
	resp := &driftv1.ExplainResponse{
		Profile: q.p.UID, ProfileName: q.p.Title(), Feature: f.Name, Records: result.Records,
		StartTime: timestamppb.New(result.Start), EndTime: timestamppb.New(result.End),
	}
	var finding *score.Score
	for i := range result.Scores {
		one := &result.Scores[i]
		if one.Feature != q.feature {
			continue
		}
		report := one.Report(q.p.Registered.Profile, result.Exemplars[q.feature])
		resp.Scores = append(resp.Scores, scoreMessage(&report))
		if one.Monitor == q.monitor || q.monitor == "" && finding == nil && one.Verdict == score.Drift {
			finding = one
		}
	}
	if finding == nil && q.monitor != "" {
		return nil, fault.NotFound.New("monitor %.100q does not judge feature %s of profile %s", q.monitor, f.Name, q.p.Title()).WithReason("MONITOR_NOT_FOUND")
	}
	if finding != nil {
		resp.Monitor, resp.Moved = finding.Monitor, finding.Verdict == score.Drift
	}
	limit := defaultSlices
	if req.GetLimit() > 0 {
		limit = int(min(req.GetLimit(), maxSlices))
	}
	return resp, s.slice(ctx, q, finding, resp, limit)
}

// question reads what is asked: an alert's shift, or a feature's in a range.
func (s *server) question(ctx context.Context, req *driftv1.ExplainRequest) (q question, err error) {
	ref, name, start, end := req.GetProfile(), req.GetFeature(), req.GetStartTime(), req.GetEndTime()
	q.monitor = req.GetMonitor()
	if req.GetAlert() != "" {
		tenant, err := identity.Tenant(ctx)
		if err != nil {
			return q, err
		}
		a, err := s.state.Alert(ctx, tenant, req.GetAlert())
		if err != nil {
			return q, err
		}
		if ref = a.Profile; name == "" && len(a.Scores) > 0 {
			name = a.Scores[0].Most()
		}
		// Of what several features show together, one feature has a part and no finding.
		if q.monitor == "" && slices.ContainsFunc(a.Scores, func(s score.Report) bool { return s.Feature == name }) {
			q.monitor = a.Monitor
		}
		if start == nil {
			start = timestamppb.New(a.RangeStart)
		}
		if end == nil {
			end = timestamppb.New(a.RangeEnd)
		}
	}
	if q.p, err = s.find(ctx, ref); err != nil {
		return q, err
	}
	q.feature = slices.IndexFunc(q.p.Features, func(f profile.Feature) bool { return f.Name == name })
	if q.feature < 0 {
		return q, fault.NotFound.New("profile %s has no feature %.100q", q.p.Title(), name).WithReason("FEATURE_NOT_FOUND")
	}
	from, to, err := s.requested(start, end)
	if err != nil {
		return q, err
	}
	if to.Sub(from) > maxExplained {
		return q, fault.Invalid.New("the range is longer than %d days, whose records would all be read", int(maxExplained.Hours()/24)).WithReason("INVALID_RANGE")
	}
	q.first, q.last = minuteOf(from), minuteOf(to.Add(time.Minute-1))
	return q, nil
}

// cells are those that a shift is between.
type cells struct {
	target    window.Target
	labels    []string
	expected  []float64
	reference uint64 // rows
}

// aspects are what detectors that judge by what came true are about.
var aspects = map[string]window.Aspect{
	"accuracy": window.ByRight, "precision": window.ByPredicted, "recall": window.ByActual, "f1": window.ByRelevant,
	"auc": window.ByScore, "calibration": window.ByScore, "mae": window.ByError, "rmse": window.ByError,
}

// estimated is the detector that goes by the scores alone.
const estimated = "cbpe_accuracy"

// cellsOf are the cells of a finding: of the feature's values, or of how predictions
// compare with what came true.
func cellsOf(p *profile.Profile, feature int, finding *score.Score) cells {
	if finding != nil && finding.Detector == estimated {
		feature = p.Feature(p.Outcome.Score)
	}
	f := &p.Features[feature]
	if finding != nil {
		aspect := aspects[finding.Detector]
		if labels, counts := aspect.Cells(p); len(labels) > 0 {
			c := cells{target: window.Target{Feature: feature, Aspect: aspect}, labels: labels, expected: make([]float64, len(labels))}
			for _, n := range counts {
				c.reference += n
			}
			for i, n := range counts {
				c.expected[i] = profile.Share(n, c.reference)
			}
			return c
		}
	}
	c := cells{target: window.Target{Feature: feature}, labels: make([]string, f.Cells()), expected: expectedShares(f), reference: f.Baseline.Rows}
	for i := range c.labels {
		c.labels[i] = score.Label(f, i)
	}
	return c
}

// slice fills in the shares by cell, and the slices where the feature moved.
func (s *server) slice(ctx context.Context, q question, finding *score.Score, resp *driftv1.ExplainResponse, limit int) error {
	p, r := q.p.Registered.Profile, store.Range{Tenant: q.p.Tenant, Profile: q.p.UID, Start: q.first, End: q.last}
	of := cellsOf(p, q.feature, finding)
	counts, examples, err := s.cells.Examples(ctx, r, p, of.target, len(of.labels))
	if err != nil {
		return err
	}
	shift := lift.New(counts, of.expected, of.reference)
	resp.Shift = shift.Distance
	bins := make([]score.Bin, len(counts))
	for cell, n := range counts {
		bins[cell] = score.Bin{
			Label: of.labels[cell], Expected: shift.Expected[cell], Observed: shift.Observed[cell], Count: n,
			Contribution: math.Abs(shift.Observed[cell]-shift.Expected[cell]) / 2, Exemplars: examples[cell],
		}
	}
	resp.Cells = binMessages(bins)
	if !resp.GetMoved() {
		return nil
	}
	var names store.Names
	if slices.ContainsFunc(p.Features, func(f profile.Feature) bool { return f.Kind == profile.Category }) {
		if names, err = s.cells.Unseen(ctx, r, p, unseenNames); err != nil {
			return err
		}
	}
	wide := names.With(p, of.target.Feature)
	cross, err := s.cells.Cross(ctx, r, wide, of.target, len(of.labels))
	if err != nil {
		return err
	}
	var among []lift.Slice
	for feature := range cross {
		if feature == of.target.Feature {
			continue // it is what moved
		}
		for cell, by := range cross[feature] {
			if by != nil {
				among = append(among, lift.Slice{Feature: feature, Value: cell, Counts: by})
			}
		}
	}
	found, tried := shift.Rank(among)
	resp.Tried = uint32(tried) //nolint:gosec // cells
	for i := range found[:min(len(found), limit)] {
		resp.Slices = append(resp.Slices, sliceMessage(p, wide, &found[i]))
	}
	return nil
}

// expectedShares are the reference's shares of all values, those in no bin
// included; of no value is other than the reference knew.
func expectedShares(f *profile.Feature) []float64 {
	shares := make([]float64, f.Cells())
	inBins := 1.0
	for state := range profile.Special(profile.Specials) {
		share := profile.Share(f.Baseline.Special[state], f.Baseline.Rows)
		shares[f.SpecialCell(state)] = share
		inBins -= share
	}
	for i := range f.Bins {
		shares[i] = f.Bins[i].Proportion * inBins
	}
	return shares
}

// sliceMessage puts a slice on the wire; wide knows the new categories that p does
// not.
func sliceMessage(p, wide *profile.Profile, f *lift.Found) *driftv1.Slice {
	known, all := &p.Features[f.Feature], &wide.Features[f.Feature]
	return &driftv1.Slice{
		Feature: known.Name, Value: score.Label(all, f.Value), Records: f.Records, Share: f.Share, Moved: f.Moved, ShiftShare: f.ShiftShare,
		Lift: f.Lift, PValue: f.P, AdjustedPValue: f.Adjusted,
		Unseen: f.Value >= len(known.Bins) && f.Value < len(all.Bins) || f.Value == all.SpecialCell(profile.Other),
	}
}
