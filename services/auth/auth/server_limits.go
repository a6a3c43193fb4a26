package auth

import (
	"context"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// GetLimits implements AuthService.
func (s *server) GetLimits(ctx context.Context, req *authv1.GetLimitsRequest) (*authv1.GetLimitsResponse, error) {
	who, err := authorize(ctx, policy.KnownCall, req.GetTenant())
	if err != nil {
		return nil, err
	}
	own, err := s.store.Limits(ctx, who.about)
	if err != nil {
		return nil, err
	}
	return &authv1.GetLimitsResponse{Tenant: who.about, Limits: s.limits().With(own).Message(), Overrides: own.Message()}, nil
}

// SetLimits implements AuthService.
func (s *server) SetLimits(ctx context.Context, req *authv1.SetLimitsRequest) (*authv1.SetLimitsResponse, error) {
	who, err := authorize(ctx, policy.LimitsWrite, req.GetTenant())
	if err != nil {
		return nil, err
	}
	if req.GetTenant() == "" {
		return nil, fault.Invalid.New("tenant: name one").WithReason("FIELD_INVALID")
	}
	set, err := quota.OwnOf(req.GetLimits())
	if err != nil {
		return nil, err
	}
	var reset []quota.Name
	for _, text := range req.GetToDefault() {
		name, err := quota.ParseName(text)
		if err != nil {
			return nil, err
		}
		reset = append(reset, name)
	}
	own, err := s.store.ChangeLimits(ctx, who.about, func(own quota.Own) {
		for _, name := range reset {
			delete(own, name)
		}
		for name, value := range set {
			own[name] = value
		}
	})
	if err != nil {
		return nil, err
	}
	return &authv1.SetLimitsResponse{Limits: s.limits().With(own).Message(), Overrides: own.Message()}, nil
}

func (s *server) limits() quota.Limits { return s.cfg.Limits.Limits() }

// WatchLimits implements AuthService.
func (s *server) WatchLimits(req *authv1.WatchLimitsRequest, stream authv1.AuthService_WatchLimitsServer) error {
	ctx := stream.Context()
	if _, err := authorize(ctx, policy.ServiceCall, ""); err != nil {
		return err
	}
	after := req.GetAfter()
	return s.keepTelling(ctx, func() (more bool, err error) {
		changed, err := s.store.ChangedLimits(ctx, after, watchBatch)
		if err != nil {
			return false, err
		}
		message := &authv1.WatchLimitsResponse{Defaults: s.limits().Message()}
		for _, c := range changed {
			message.Tenants = append(message.Tenants, &authv1.TenantLimits{Tenant: c.Tenant, Overrides: c.Own.Message()})
			after = c.Number
		}
		message.Head = after
		return len(changed) == watchBatch, stream.Send(message)
	})
}
