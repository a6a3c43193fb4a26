package drift

import (
	"cmp"
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/identity"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Bounds of statuses.
const (
	maxStatuses   = 200
	defaultOfEach = 100
	maxOfEach     = 1000
	// maxOfAll bounds the scores of a page: some 4 MB.
	maxOfAll = 20_000
)

// ListProfileStatuses gives how the active profiles stand.
func (s *server) ListProfileStatuses(ctx context.Context, req *driftv1.ListProfileStatusesRequest) (*driftv1.ListProfileStatusesResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	after, err := afterID(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	each := int(min(cmp.Or(req.GetScores(), defaultOfEach), maxOfEach))
	limit := pageSize(req.GetPageSize(), min(maxStatuses, maxOfAll/each))
	leave, err := s.turns.EnterFor(ctx, s.tenants.Of(id.Tenant), longestTurn)
	if err != nil {
		return nil, err
	}
	defer leave()
	profiles, err := s.state.ListProfiles(ctx, store.Profiles{
		Tenant: id.Tenant, Space: req.GetSpace(), Within: id.Spaces, ActiveOnly: true, After: after, Limit: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	resp := &driftv1.ListProfileStatusesResponse{}
	if len(profiles) == 0 {
		return resp, nil
	}
	uids := make([]string, len(profiles))
	for i, p := range profiles {
		uids[i] = p.UID
	}
	latest, err := s.cells.LatestScores(ctx, id.Tenant, uids, each)
	if err != nil {
		return nil, err
	}
	watches, err := s.state.Watches(ctx, id.Tenant, uids)
	if err != nil {
		return nil, err
	}
	for _, p := range profiles {
		resp.Statuses = append(resp.Statuses, statusMessage(p, latest[p.UID], watches[p.UID]))
	}
	if len(profiles) == limit {
		resp.NextPageToken = uids[limit-1]
	}
	return resp, nil
}

// statusMessage puts on the wire how a profile stands; latest is nil when it has not
// been judged yet.
func statusMessage(p *store.Registered, latest *store.Latest, watch store.Watch) *driftv1.ProfileStatus {
	m := &driftv1.ProfileStatus{
		Profile: profileMessage(p, false), OpenAlerts: watch.Open, NewestAlert: watch.Newest, DataTime: optional(watch.Came),
	}
	if latest == nil {
		return m
	}
	m.StartTime, m.EndTime, m.Slot, m.Records = timestamppb.New(latest.Start), timestamppb.New(latest.End), timestamppb.New(latest.Slot), latest.Records
	m.Moved, m.Ok, m.Insufficient = narrow(latest.Moved), narrow(latest.OK), narrow(latest.Insufficient)
	m.Scores = outlines(p.Profile, latest.Scores)
	return m
}

// outlines puts scores on the wire without their bins and states.
func outlines(p *profile.Profile, scores []score.Score) []*driftv1.Score {
	messages := make([]*driftv1.Score, 0, len(scores))
	for i := range scores {
		s := &scores[i]
		if s.Feature >= score.Subjects(p) {
			continue
		}
		messages = append(messages, &driftv1.Score{
			Monitor: s.Monitor, Feature: score.Subject(p, s.Feature), Detector: s.Detector, Verdict: verdicts[s.Verdict],
			Value: known64(s.Value), Threshold: known64(s.Threshold), LowerThreshold: known64(s.Lower), Judged: known64(s.Judged), Method: s.Method, Caveats: s.Caveats,
			PValue: known64(s.P), AdjustedPValue: known64(s.Adjusted), FalseAlarmRate: known64(s.Rate), Sample: s.Sample, Reference: s.Reference, MinSample: s.Minimum,
		})
	}
	return messages
}
