package drift

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Bounds of series.
const (
	defaultPoints = 100
	maxPoints     = 1000
	// maxSeries bounds the points of one answer, all series together: some 20 MB.
	maxSeries = 200_000
	// defaultSeries is the range when the caller names no start.
	defaultSeries = 30 * 24 * time.Hour
)

// QuerySeries gives statistics over time.
func (s *server) QuerySeries(ctx context.Context, req *driftv1.QuerySeriesRequest) (*driftv1.QuerySeriesResponse, error) {
	p, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return nil, err
	}
	q, err := s.seriesQuery(p, req)
	if err != nil {
		return nil, err
	}
	leave, err := s.turn(ctx, p)
	if err != nil {
		return nil, err
	}
	defer leave()
	points, err := s.cells.QuerySeries(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &driftv1.QuerySeriesResponse{}
	for i := range points {
		at := &points[i]
		if at.Feature >= score.Subjects(p.Registered.Profile) {
			continue
		}
		name := score.Subject(p.Registered.Profile, at.Feature)
		last := len(resp.GetSeries()) - 1
		if last < 0 || resp.GetSeries()[last].GetMonitor() != at.Monitor || resp.GetSeries()[last].GetFeature() != name {
			resp.Series = append(resp.Series, &driftv1.Series{Monitor: at.Monitor, Feature: name, Detector: at.Detector})
			last++
		}
		resp.Series[last].Points = append(resp.Series[last].Points, pointMessage(at))
	}
	order := make(map[string]int, len(p.Monitors))
	for i := range p.Monitors {
		order[p.Monitors[i].Name] = i
	}
	slices.SortStableFunc(resp.Series, func(a, b *driftv1.Series) int { return cmp.Compare(order[a.GetMonitor()], order[b.GetMonitor()]) })
	return resp, nil
}

func (s *server) seriesQuery(p *known, req *driftv1.QuerySeriesRequest) (store.SeriesQuery, error) {
	q := store.SeriesQuery{
		Tenant: p.Tenant, Profile: p.UID, Monitor: req.GetMonitor(), Feature: -1, Points: int(min(req.GetPoints(), maxPoints)),
		Trigger: cmp.Or(req.GetTrigger(), store.TriggerSchedule), End: s.now(),
	}
	q.Points = cmp.Or(q.Points, defaultPoints)
	if q.Trigger != store.TriggerSchedule && q.Trigger != store.TriggerClose {
		return q, fault.Invalid.New("trigger %.50q is not %s or %s", q.Trigger, store.TriggerSchedule, store.TriggerClose).WithReason("INVALID_TRIGGER")
	}
	if q.Monitor != "" && p.Monitor(q.Monitor) == nil {
		return q, fault.NotFound.New("profile %s has no monitor %.150q", p.Title(), q.Monitor)
	}
	if name := req.GetFeature(); name != "" {
		if q.Feature = score.SubjectOf(p.Registered.Profile, name); q.Feature < 0 {
			return q, fault.NotFound.New("profile %s has no feature %.250q", p.Title(), name)
		}
	}
	for _, t := range []*timestamppb.Timestamp{req.GetStartTime(), req.GetEndTime()} {
		if t != nil && !t.IsValid() {
			return q, fault.Invalid.New("start_time or end_time is no time").WithReason("INVALID_TIME")
		}
	}
	if req.GetEndTime() != nil {
		q.End = req.GetEndTime().AsTime()
	}
	q.Start = q.End.Add(-defaultSeries)
	if req.GetStartTime() != nil {
		q.Start = req.GetStartTime().AsTime()
	}
	if !q.Start.Before(q.End) || q.Start.Unix() < 0 || q.End.Unix() > math.MaxUint32 {
		return q, fault.Invalid.New("the range is empty, or not between 1970 and 2106").WithReason("INVALID_RANGE")
	}
	monitors, features := len(p.Monitors), score.Subjects(p.Registered.Profile)
	if q.Monitor != "" {
		monitors = 1
	}
	if q.Feature >= 0 {
		features = 1
	}
	if n := monitors * features * q.Points; n > maxSeries {
		return q, fault.Invalid.New("%d monitors of %d features in %d points are more than %d: name a monitor or a feature, or ask for fewer points",
			monitors, features, q.Points, maxSeries).WithReason("TOO_MANY_POINTS")
	}
	return q, nil
}

func pointMessage(p *store.SeriesPoint) *driftv1.SeriesPoint {
	return &driftv1.SeriesPoint{
		FirstSlot: timestamppb.New(p.First), LastSlot: timestamppb.New(p.Last),
		Slots: narrow(p.Slots), Drifted: narrow(p.Drifted), Insufficient: narrow(p.Insufficient), Sample: p.Sample,
		Min: known64(p.Min), Mean: known64(p.Mean), Max: known64(p.Max), Threshold: known64(p.Threshold), LowerThreshold: known64(p.Lower),
		Verdict: verdicts[p.Verdict()],
	}
}

func narrow(n uint64) uint32 { return uint32(min(n, math.MaxUint32)) }

// known64 is nil for a number that there is not, and for an infinite one.
func known64(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
