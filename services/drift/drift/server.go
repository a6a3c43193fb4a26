package drift

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/pagetoken"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/cron"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// server answers other services; the tenant is that of the caller's identity.
type server struct {
	driftv1.UnimplementedDriftServiceServer
	*engine
	routes  *route.Table
	sched   *scheduler
	tenants *quota.Book
	turns   *quota.Turns
	topics  lags
}

// Pages.
const (
	defaultPage = 50
	maxPage     = 1000
	// maxAlerts and maxScores bound pages whose items are large: an alert holds
	// its bins and exemplars, an evaluation a score for each feature.
	maxAlerts = 200
	maxScores = 2000
	// maxRange bounds what one call may evaluate.
	maxRange = 400 * 24 * time.Hour
	// defaultRange is evaluated when the caller names no start.
	defaultRange = 24 * time.Hour
)

func pageSize(asked uint32, limit int) int {
	if asked == 0 {
		asked = defaultPage
	}
	return min(int(min(asked, maxPage)), max(limit, 1))
}

// CreateProfile registers a profile.
func (s *server) CreateProfile(ctx context.Context, req *driftv1.CreateProfileRequest) (*driftv1.CreateProfileResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	if len(req.GetRequestId()) > 128 {
		return nil, fault.Invalid.New("request_id is longer than 128 bytes").WithReason("INVALID_REQUEST_ID")
	}
	p, err := profileOf(req.GetProfile())
	if err != nil {
		return nil, err
	}
	origin, err := originOf(req.GetOrigin())
	if err != nil {
		return nil, err
	}
	if err := mayKeep(ctx, p); err != nil {
		return nil, err
	}
	if _, err := newChecks(p); err != nil {
		return nil, err
	}
	schedule, err := cron.Parse(p.Schedule.Cron, p.Schedule.Zone)
	if err != nil {
		return nil, err
	}
	if err := s.mayRun(tenant, schedule); err != nil {
		return nil, err
	}
	uid, err := keptUID(req.GetUid())
	if err != nil {
		return nil, err
	}
	now := s.now()
	registered, err := s.state.CreateProfile(ctx, store.NewProfile{
		Tenant: tenant, Active: req.GetProfile().GetActive(), Request: req.GetRequestId(), Now: now, First: schedule.Following(now),
		Room: s.room(tenant), Profile: p, Origin: origin, UID: uid,
	})
	if err != nil {
		return nil, err
	}
	return &driftv1.CreateProfileResponse{Profile: profileMessage(registered, true), Warnings: append(unknownRoutes(registered.Profile, s.routes), neverRun(registered.Profile)...)}, nil
}

// GetProfile gives one profile.
func (s *server) GetProfile(ctx context.Context, req *driftv1.GetProfileRequest) (*driftv1.GetProfileResponse, error) {
	p, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return nil, err
	}
	resp := &driftv1.GetProfileResponse{Profile: profileMessage(p.Registered, true)}
	if !req.GetOrigin() {
		return resp, nil
	}
	origin, err := s.state.Origin(ctx, p.UID)
	if err == nil && origin != nil {
		resp.Origin = &driftv1.Origin{Format: origin.Format, Document: origin.Document}
	}
	return resp, err
}

const (
	maxOriginFormat   = 64
	maxOriginDocument = 4 << 20
)

// keptUID is the uid that a profile brings, as all write it; "" for none.
func keptUID(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	uid, err := uuid.Parse(text)
	if err != nil || uid == uuid.Nil {
		return "", fault.Invalid.New("uid: %.80q is not a UUID", text).WithReason("FIELD_INVALID")
	}
	return uid.String(), nil
}

// originOf is what a profile was made from, nil for nothing.
func originOf(o *driftv1.Origin) (*store.Origin, error) {
	switch {
	case o == nil:
		return nil, nil //nolint:nilnil // it was made from nothing
	case o.GetFormat() == "" || len(o.GetFormat()) > maxOriginFormat || len(o.GetDocument()) > maxOriginDocument:
		return nil, fault.Invalid.New("origin: want a format of 1 to %d bytes, and a document of at most %d", maxOriginFormat, maxOriginDocument).
			WithReason("INVALID_ORIGIN")
	}
	return &store.Origin{Format: o.GetFormat(), Document: o.GetDocument()}, nil
}

func (s *server) find(ctx context.Context, ref string) (*known, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.profiles.find(ctx, tenant, ref)
	if id, _ := identity.From(ctx); err == nil && !id.Spaces.Has(p.Space) {
		return nil, store.NoProfile(ref) // nor does the caller learn that there is one
	}
	return p, err
}

// mayKeep tells whether the caller may register, or try, such a profile: one of a
// space of its own, and of spans, or with checks of traces, only when it may read those.
func mayKeep(ctx context.Context, p *profile.Profile) error {
	id, _ := identity.From(ctx)
	if !id.Spaces.Has(p.Space) {
		return fault.Denied.New("the space %.100q is none of yours", p.Space).WithReason(identity.ReasonDenied)
	}
	ofTraces := p.Checks != nil && slices.ContainsFunc(p.Checks.All, func(c profile.Check) bool { return c.Of == profile.OfTrace })
	if s := p.Source; s != nil && (s.Of == "" || s.Of == profile.Spans) || ofTraces {
		return identity.Authorize(ctx, policy.TracesRead)
	}
	return nil
}

// ListProfiles lists profiles.
func (s *server) ListProfiles(ctx context.Context, req *driftv1.ListProfilesRequest) (*driftv1.ListProfilesResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	after, err := afterID(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	limit := pageSize(req.GetPageSize(), maxPage)
	found, err := s.state.ListProfiles(ctx, store.Profiles{
		Tenant: id.Tenant, Space: req.GetSpace(), Within: id.Spaces, After: after, Limit: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	resp := &driftv1.ListProfilesResponse{}
	for _, p := range found {
		resp.Profiles = append(resp.Profiles, profileMessage(p, false))
	}
	if len(found) == limit {
		resp.NextPageToken = found[limit-1].UID
	}
	return resp, nil
}

// SetProfileActive switches the schedule of a profile on or off.
func (s *server) SetProfileActive(ctx context.Context, req *driftv1.SetProfileActiveRequest) (*driftv1.SetProfileActiveResponse, error) {
	p, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return nil, err
	}
	now := s.now()
	if req.GetActive() {
		if err := s.mayRun(p.Tenant, p.schedule); err != nil {
			return nil, err
		}
	}
	to := store.Switch{Active: req.GetActive(), Now: now, First: p.schedule.Following(now), Room: s.room(p.Tenant)}
	if err := s.state.SetActive(ctx, p.Registered, to); err != nil {
		return nil, err
	}
	changed := *p.Registered
	changed.Active = req.GetActive()
	return &driftv1.SetProfileActiveResponse{Profile: profileMessage(&changed, false)}, nil
}

// Evaluate computes the scores of a range now.
func (s *server) Evaluate(ctx context.Context, req *driftv1.EvaluateRequest) (*driftv1.EvaluateResponse, error) {
	e, err := s.evaluateRange(ctx, req, nil)
	if err != nil {
		return nil, err
	}
	return &driftv1.EvaluateResponse{Evaluation: e}, nil
}

// EvaluateRange does the same, and tells how far it is.
func (s *server) EvaluateRange(req *driftv1.EvaluateRangeRequest, stream grpc.ServerStreamingServer[driftv1.EvaluateRangeResponse]) error {
	if err := s.settle(stream, req); err != nil {
		return err
	}
	e, err := s.evaluateRange(stream.Context(), &driftv1.EvaluateRequest{
		Profile: req.GetProfile(), StartTime: req.GetStartTime(), EndTime: req.GetEndTime(), Alert: req.GetAlert(),
	}, func(done, total int) error {
		p := &driftv1.Progress{Done: uint64(done), Total: uint64(total), Unit: "windows"} //nolint:gosec // positive
		return stream.Send(&driftv1.EvaluateRangeResponse{Answer: &driftv1.EvaluateRangeResponse_Progress{Progress: p}})
	})
	if err != nil {
		return err
	}
	return stream.Send(&driftv1.EvaluateRangeResponse{Answer: &driftv1.EvaluateRangeResponse_Evaluation{Evaluation: e}})
}

func (s *server) evaluateRange(ctx context.Context, req *driftv1.EvaluateRequest, progress func(done, total int) error) (*driftv1.Evaluation, error) {
	if req.GetAlert() { // stores scores, and alerts
		if err := identity.Authorize(ctx, policy.ProfilesRun); err != nil {
			return nil, err
		}
	}
	p, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return nil, err
	}
	start, end, err := s.requested(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	leave, err := s.turn(ctx, p)
	if err != nil {
		return nil, err
	}
	defer leave()
	result, err := s.evaluate(ctx, p, minuteOf(start), minuteOf(end.Add(time.Minute-1)), work{progress: progress})
	if err == nil && req.GetAlert() {
		// No later than now, or it would outrank the slots to come.
		at := end
		if now := s.now(); at.After(now) {
			at = now
		}
		err = s.conclude(ctx, p, store.Conclusion{Result: result, Trigger: store.TriggerSchedule, At: at})
	}
	s.metrics.evaluated(triggerRequest, err, 1)
	if err != nil {
		return nil, err
	}
	return evaluationMessage(p, result), nil
}

// requested is the range between two times, either of which may be absent.
func (s *server) requested(from, to *timestamppb.Timestamp) (start, end time.Time, err error) {
	end = s.now()
	if to != nil {
		end = to.AsTime()
	}
	start = end.Add(-defaultRange)
	if from != nil {
		start = from.AsTime()
	}
	for _, t := range []*timestamppb.Timestamp{from, to} {
		if t != nil && !t.IsValid() {
			return start, end, fault.Invalid.New("start_time or end_time is no time").WithReason("INVALID_TIME")
		}
	}
	if start.Unix() < 0 || end.Unix() > 1<<32-1 || end.Sub(start) > maxRange {
		return start, end, fault.Invalid.New("the range is longer than %d days, or not between 1970 and 2106", int(maxRange.Hours()/24)).WithReason("INVALID_RANGE")
	}
	return start, end, nil
}

// RunNow evaluates a profile now as its schedule would.
func (s *server) RunNow(ctx context.Context, req *driftv1.RunNowRequest) (*driftv1.RunNowResponse, error) {
	p, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return nil, err
	}
	leave, err := s.turn(ctx, p)
	if err != nil {
		return nil, err
	}
	defer leave()
	at, err := s.sched.runNow(ctx, p)
	if err != nil {
		return nil, err
	}
	// As it is stored, so that who asks twice is answered twice the same.
	found, err := s.cells.ListScores(ctx, p.Tenant, p.UID, store.After{Slot: at.Add(time.Microsecond)}, 1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fault.Precondition.New("no minute has ended since the profile %s was switched on", p.Title()).WithReason("NOTHING_TO_JUDGE")
	}
	return &driftv1.RunNowResponse{Evaluation: evaluationMessage(p, found[0])}, nil
}

// ListScores gives stored evaluations.
func (s *server) ListScores(ctx context.Context, req *driftv1.ListScoresRequest) (*driftv1.ListScoresResponse, error) {
	p, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return nil, err
	}
	after, err := parseAfter(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	limit := pageSize(req.GetPageSize(), maxScores/(len(p.Features)*len(p.Monitors)))
	found, err := s.cells.ListScores(ctx, p.Tenant, p.UID, after, limit)
	if err != nil {
		return nil, err
	}
	resp := &driftv1.ListScoresResponse{}
	for _, e := range found {
		resp.Evaluations = append(resp.Evaluations, evaluationMessage(p, e))
	}
	if len(found) == limit {
		last := found[limit-1]
		resp.NextPageToken = pagetoken.Of(last.Slot.UnixMicro(), last.Trigger)
	}
	return resp, nil
}

func parseAfter(token string) (after store.After, err error) {
	if token == "" {
		return after, nil
	}
	micros, trigger, err := pagetoken.Parse(token, 1)
	if err != nil {
		return after, err
	}
	return store.After{Slot: time.UnixMicro(micros), Trigger: trigger[0]}, nil
}

// afterID reads a token that is the id of the last item of a page, a UUID.
func afterID(token string) (string, error) {
	if token == "" || len(token) == 36 && uuid.Validate(token) == nil {
		return token, nil
	}
	return "", pagetoken.Unknown()
}

// ListAlerts lists alerts.
func (s *server) ListAlerts(ctx context.Context, req *driftv1.ListAlertsRequest) (*driftv1.ListAlertsResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	uid := ""
	if req.GetProfile() != "" {
		p, err := s.find(ctx, req.GetProfile())
		if err != nil {
			return nil, err
		}
		uid = p.UID
	}
	after, err := afterID(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	limit := pageSize(req.GetPageSize(), maxAlerts)
	found, err := s.state.ListAlerts(ctx, store.Alerts{
		Tenant: id.Tenant, Profile: uid, Within: id.Spaces, OpenOnly: req.GetOpenOnly(), After: after, Limit: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	resp := &driftv1.ListAlertsResponse{}
	if resp.Alerts, err = s.describe(ctx, id.Tenant, found...); err != nil {
		return nil, err
	}
	if len(found) == limit {
		resp.NextPageToken = found[limit-1].ID
	}
	return resp, nil
}

// GetAlert gives one alert.
func (s *server) GetAlert(ctx context.Context, req *driftv1.GetAlertRequest) (*driftv1.GetAlertResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	a, err := s.state.Alert(ctx, id.Tenant, req.GetId())
	if err != nil {
		return nil, err
	}
	p, err := s.profiles.get(ctx, id.Tenant, a.Profile)
	if err != nil {
		return nil, err
	}
	if !id.Spaces.Has(p.Space) {
		return nil, store.NoAlert(req.GetId()) // nor does the caller learn that there is one
	}
	described, err := s.describe(ctx, id.Tenant, a)
	if err != nil {
		return nil, err
	}
	return &driftv1.GetAlertResponse{Alert: described[0]}, nil
}

// AcknowledgeAlert says that the caller takes an alert on.
func (s *server) AcknowledgeAlert(ctx context.Context, req *driftv1.AcknowledgeAlertRequest) (*driftv1.AcknowledgeAlertResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	a, err := s.state.Acknowledge(ctx, id, req.GetId(), s.now())
	if err != nil {
		return nil, err
	}
	described, err := s.describe(ctx, id.Tenant, a)
	if err != nil {
		return nil, err
	}
	return &driftv1.AcknowledgeAlertResponse{Alert: described[0]}, nil
}

func errNobody() error { return fault.Unauthenticated.New("nobody is calling") }
