package drift

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Bounds of a silence.
const (
	maxReason = 1000 // letters
	// maxSilence is how long one may last: whoever wants more must say so again.
	maxSilence = 400 * 24 * time.Hour
)

// ListDeliveries says who was told what.
func (s *server) ListDeliveries(ctx context.Context, req *driftv1.ListDeliveriesRequest) (*driftv1.ListDeliveriesResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	after, err := afterID(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	of := store.Deliveries{
		Tenant: id.Tenant, Within: id.Spaces, Alert: req.GetAlert(), Route: req.GetRoute(), After: after, Limit: pageSize(req.GetPageSize(), maxPage),
	}
	if req.GetState() != driftv1.DeliveryState_DELIVERY_STATE_UNSPECIFIED {
		for state, number := range deliveryStates {
			if number == req.GetState() {
				of.State = state
			}
		}
		if of.State == "" {
			return nil, fault.Invalid.New("state %d is none", req.GetState()).WithReason("INVALID_STATE")
		}
	}
	found, err := s.state.ListDeliveries(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	resp := &driftv1.ListDeliveriesResponse{}
	for _, d := range found {
		resp.Deliveries = append(resp.Deliveries, deliveryMessage(d))
	}
	if len(found) == of.Limit {
		resp.NextPageToken = found[of.Limit-1].ID
	}
	return resp, nil
}

// deliveryStates are the words for states on the wire.
var deliveryStates = map[alert.State]driftv1.DeliveryState{
	alert.Waiting:   driftv1.DeliveryState_DELIVERY_STATE_WAITING,
	alert.Sent:      driftv1.DeliveryState_DELIVERY_STATE_SENT,
	alert.Failed:    driftv1.DeliveryState_DELIVERY_STATE_FAILED,
	alert.Withheld:  driftv1.DeliveryState_DELIVERY_STATE_SILENCED,
	alert.Overtaken: driftv1.DeliveryState_DELIVERY_STATE_OVERTAKEN,
}

func deliveryMessage(d *alert.Delivery) *driftv1.Delivery {
	m := &driftv1.Delivery{
		Id: d.ID, Alert: d.AlertID, Event: d.Event, Change: string(d.Change), Route: d.Route, State: deliveryStates[d.State],
		CreateTime: optional(d.Created), SettleTime: optional(d.Settled), Error: d.Error, Sequence: d.Sequence,
		Attempts: uint32(max(d.Attempts, 0)), //nolint:gosec // attempts
	}
	if d.State == alert.Waiting {
		m.DueTime = optional(d.Due)
	}
	return m
}

// CreateSilence keeps alerts from being told for a while.
func (s *server) CreateSilence(ctx context.Context, req *driftv1.CreateSilenceRequest) (*driftv1.CreateSilenceResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	silence, err := silenceOf(req.GetSilence(), s.now())
	if err != nil {
		return nil, err
	}
	if !id.Spaces.Has(silence.Match.Space) {
		return nil, fault.Denied.New("the space must be one of yours, and no pattern").WithReason(identity.ReasonDenied)
	}
	silence.Tenant, silence.By = id.Tenant, id.Subject
	made, err := s.state.CreateSilence(ctx, *silence)
	if err != nil {
		return nil, err
	}
	return &driftv1.CreateSilenceResponse{Silence: silenceMessage(made, s.now())}, nil
}

// silenceOf reads a silence off the wire: fault.Invalid names every rule that is
// broken.
func silenceOf(m *driftv1.Silence, now time.Time) (*alert.Silence, error) {
	silence := &alert.Silence{
		Match:  alert.Match{Space: m.GetSpace(), Profile: m.GetProfile(), Monitor: m.GetMonitor(), Feature: m.GetFeature()},
		Reason: strings.TrimSpace(m.GetReason()), Start: now.Truncate(time.Microsecond).UTC(), Created: now.Truncate(time.Microsecond).UTC(),
	}
	bad := func(format string, args ...any) error {
		return fault.Invalid.New(format, args...).WithReason("INVALID_SILENCE")
	}
	if t := m.GetStartTime(); t != nil {
		if !t.IsValid() {
			return nil, bad("start_time is no time")
		}
		silence.Start = t.AsTime()
	}
	if t := m.GetEndTime(); t == nil || !t.IsValid() {
		return nil, bad("end_time must be given: a silence without end is forgotten, and so is what it hides")
	}
	silence.End = m.GetEndTime().AsTime()
	switch {
	case !silence.End.After(silence.Start) || !silence.End.After(now):
		return nil, bad("end_time must be after start_time and in the future")
	case silence.End.Sub(silence.Start) > maxSilence:
		return nil, bad("a silence may last %d days", int(maxSilence.Hours()/24))
	case silence.Reason == "":
		return nil, bad("reason must be given: whoever finds the silence should know why")
	case utf8.RuneCountInString(silence.Reason) > maxReason:
		return nil, bad("reason is longer than %d letters", maxReason)
	}
	return silence, silence.Match.Check()
}

func silenceMessage(s *alert.Silence, now time.Time) *driftv1.Silence {
	return &driftv1.Silence{
		Id: s.ID, Space: s.Match.Space, Profile: s.Match.Profile, Monitor: s.Match.Monitor, Feature: s.Match.Feature,
		StartTime: timestamppb.New(s.Start), EndTime: timestamppb.New(s.End), Reason: s.Reason, CreatedBy: s.By, CreateTime: timestamppb.New(s.Created),
		ExpireTime: optional(s.Expired), ExpiredBy: s.ExpiredBy, Active: s.Active(now),
	}
}

// ListSilences lists silences.
func (s *server) ListSilences(ctx context.Context, req *driftv1.ListSilencesRequest) (*driftv1.ListSilencesResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	after, err := afterID(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	limit := pageSize(req.GetPageSize(), maxPage)
	found, err := s.state.ListSilences(ctx, id.Tenant, !req.GetAll(), s.now(), after, limit)
	if err != nil {
		return nil, fmt.Errorf("list silences: %w", err)
	}
	resp := &driftv1.ListSilencesResponse{}
	for _, one := range found {
		if !id.Spaces.Has(one.Match.Space) {
			continue // a page may be short
		}
		resp.Silences = append(resp.Silences, silenceMessage(one, s.now()))
	}
	if len(found) == limit {
		resp.NextPageToken = found[limit-1].ID
	}
	return resp, nil
}

// ExpireSilence ends a silence before its time.
func (s *server) ExpireSilence(ctx context.Context, req *driftv1.ExpireSilenceRequest) (*driftv1.ExpireSilenceResponse, error) {
	id, ok := identity.From(ctx)
	if !ok {
		return nil, errNobody()
	}
	found, err := s.state.ExpireSilence(ctx, id, req.GetId(), s.now())
	if err != nil {
		return nil, err
	}
	return &driftv1.ExpireSilenceResponse{Silence: silenceMessage(found, s.now())}, nil
}

// describe puts alerts on the wire, with what silences them.
func (s *server) describe(ctx context.Context, tenant string, alerts ...*alert.Alert) ([]*driftv1.Alert, error) {
	now := s.now()
	silences, err := s.state.Silences(ctx, tenant, now)
	if err != nil {
		return nil, fmt.Errorf("look up silences: %w", err)
	}
	messages := make([]*driftv1.Alert, len(alerts))
	for i, a := range alerts {
		p, err := s.profiles.get(ctx, tenant, a.Profile)
		if err != nil {
			return nil, err
		}
		messages[i] = alertMessage(p, a, s.cfg)
		if silence := store.SilencedBy(silences, p.Registered, a, now); silence != nil && a.Resolved.IsZero() {
			messages[i].SilencedBy = silence.ID
		}
	}
	return messages, nil
}
