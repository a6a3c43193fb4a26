package drift

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Summarize gives what was counted over time.
func (s *server) Summarize(ctx context.Context, req *driftv1.SummarizeRequest) (*driftv1.SummarizeResponse, error) {
	p, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return nil, err
	}
	start, end, err := s.requested(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	r := store.Range{Tenant: p.Tenant, Profile: p.UID, Start: minuteOf(start), End: minuteOf(end.Add(time.Minute - 1))}
	if r.End <= r.Start {
		return nil, fault.Invalid.New("the range is empty").WithReason("EMPTY_RANGE")
	}
	step := (r.End - r.Start) * 60
	if req.GetStep() != nil {
		given := req.GetStep().AsDuration()
		if step = int64(given / time.Second); given < time.Minute || given%time.Second != 0 {
			return nil, fault.Invalid.New("step: want whole seconds, and at least a minute").WithReason("INVALID_STEP")
		}
		if n := ((r.End-r.Start)*60/step + 2) * int64(len(p.Features)); n > maxSeries {
			return nil, fault.Invalid.New("%d steps of all features are more than %d: ask for longer steps", n, maxSeries).WithReason("TOO_MANY_POINTS")
		}
	}
	leave, err := s.turn(ctx, p)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := s.catchUp(ctx, p, r.Start, r.End, work{}); err != nil {
		return nil, err
	}
	steps, err := s.cells.Steps(ctx, r, p.Registered.Profile, step)
	if err != nil {
		return nil, err
	}
	resp := &driftv1.SummarizeResponse{}
	for _, one := range steps {
		last := len(resp.GetSteps()) - 1
		if at := timestamppb.New(one.Start); last < 0 || !resp.GetSteps()[last].GetStartTime().AsTime().Equal(one.Start) {
			if req.GetStep() == nil { // the one step is the range
				at = timestamppb.New(timeOf(r.Start))
			}
			resp.Steps = append(resp.Steps, &driftv1.StepSummary{StartTime: at})
			last++
		}
		resp.Steps[last].Features = append(resp.Steps[last].Features, &driftv1.FeatureSummary{
			Name: p.Features[one.Feature].Name, Counts: one.Counts, Number: one.Number, Mean: one.Mean, StdDev: one.StdDev, States: states(one.States),
		})
	}
	return resp, nil
}

// states names the special bins that hold something.
func states(counts []uint64) map[string]uint64 {
	named := map[string]uint64{}
	for i, n := range counts {
		if n > 0 && i < profile.Specials {
			named[profile.Special(i).String()] = n
		}
	}
	return named
}
