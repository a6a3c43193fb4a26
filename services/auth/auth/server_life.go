package auth

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

// oneTimeLife is how long a password is good that somebody else chose.
const oneTimeLife = 24 * time.Hour

// ResetPassword implements AuthService.
func (s *server) ResetPassword(ctx context.Context, req *authv1.ResetPasswordRequest) (*authv1.ResetPasswordResponse, error) {
	who, err := s.over(ctx, req.GetTenant(), req.GetUsername())
	if err != nil {
		return nil, err
	}
	password := account.NewPassword()
	hash, err := s.hasher.Hash(ctx, who.place(), password)
	if err != nil {
		return nil, err
	}
	ends := moment().Add(oneTimeLife)
	if err := s.store.SetPassword(ctx, who.about, req.GetUsername(), store.Password{Hash: hash, OneTime: true, Ends: ends}); err != nil {
		return nil, err
	}
	return &authv1.ResetPasswordResponse{Password: password, ExpireTime: timestamppb.New(ends)}, nil
}

// SetUserDisabled implements AuthService.
func (s *server) SetUserDisabled(ctx context.Context, req *authv1.SetUserDisabledRequest) (*authv1.SetUserDisabledResponse, error) {
	who, err := s.over(ctx, req.GetTenant(), req.GetUsername())
	if err != nil {
		return nil, err
	}
	return &authv1.SetUserDisabledResponse{}, s.store.DisableUser(ctx, who.about, req.GetUsername(), since(req.GetDisabled()))
}

// SetUserRole implements AuthService.
func (s *server) SetUserRole(ctx context.Context, req *authv1.SetUserRoleRequest) (*authv1.SetUserRoleResponse, error) {
	who, err := s.over(ctx, req.GetTenant(), req.GetUsername())
	if err != nil {
		return nil, err
	}
	if req.GetRole() == "" {
		return nil, fault.Invalid.New("role: is missing").WithReason("FIELD_INVALID")
	}
	grant, err := who.grant(asked{role: req.GetRole(), spaces: req.GetSpaces()}, "")
	if err != nil {
		return nil, err
	}
	user, err := s.store.SetGrant(ctx, who.about, req.GetUsername(), grant)
	if err != nil {
		return nil, err
	}
	return &authv1.SetUserRoleResponse{User: userToProto(user)}, nil
}

// DeleteUser implements AuthService.
func (s *server) DeleteUser(ctx context.Context, req *authv1.DeleteUserRequest) (*authv1.DeleteUserResponse, error) {
	who, err := s.over(ctx, req.GetTenant(), req.GetUsername())
	if err != nil {
		return nil, err
	}
	return &authv1.DeleteUserResponse{}, s.store.DeleteUser(ctx, who.about, req.GetUsername(), moment())
}

// over tells whether the caller may change an account: one that may do no more
// than the caller, or changing it would be a way to do more, and not its own, so
// that nobody is locked out by mistake.
func (s *server) over(ctx context.Context, tenant, name string) (caller, error) {
	who, err := authorize(ctx, policy.UsersWrite, tenant)
	if err != nil {
		return caller{}, err
	}
	if who.Kind == identity.User && who.Tenant == who.about && who.Subject == name {
		return caller{}, fault.Precondition.New("this is your own account: another administrator has to do it").WithReason("OWN_ACCOUNT")
	}
	user, err := s.store.User(ctx, who.about, name)
	if errors.Is(err, fault.NotFound) {
		return caller{}, fault.NotFound.Wrap(err, "user %q of tenant %q does not exist", name, who.about).WithReason("USER_MISSING")
	}
	if err != nil {
		return caller{}, err
	}
	if !user.Grant.Within(who.Grant, who.about == identity.MeshTenant) {
		return caller{}, fault.Denied.New("the account may do more than you").WithReason(identity.ReasonDenied)
	}
	return who, nil
}

// place is where a caller stands in line for the hash of a password.
func (c caller) place() account.Place { return account.Place{Known: true, Source: c.name()} }

func since(disabled bool) time.Time {
	if !disabled {
		return time.Time{}
	}
	return moment()
}

// SetTenantDisabled implements AuthService.
func (s *server) SetTenantDisabled(ctx context.Context, req *authv1.SetTenantDisabledRequest) (*authv1.SetTenantDisabledResponse, error) {
	if err := changeable(ctx, req.GetName()); err != nil {
		return nil, err
	}
	return &authv1.SetTenantDisabledResponse{}, s.store.DisableTenant(ctx, req.GetName(), since(req.GetDisabled()))
}

// DeleteTenant implements AuthService.
func (s *server) DeleteTenant(ctx context.Context, req *authv1.DeleteTenantRequest) (*authv1.DeleteTenantResponse, error) {
	if err := changeable(ctx, req.GetName()); err != nil {
		return nil, err
	}
	return &authv1.DeleteTenantResponse{}, s.store.DeleteTenant(ctx, req.GetName(), moment())
}

// changeable tells whether the caller may change a tenant, and whether anybody
// may.
func changeable(ctx context.Context, name string) error {
	if _, err := authorize(ctx, policy.TenantsWrite, ""); err != nil {
		return err
	}
	if name == identity.DefaultTenant || name == identity.MeshTenant {
		return fault.Precondition.New("the tenant %q is always there", name).WithReason("TENANT_PERMANENT")
	}
	return identity.ValidTenant(name)
}

// RotateSigningKeys implements AuthService.
func (s *server) RotateSigningKeys(ctx context.Context, _ *authv1.RotateSigningKeysRequest) (*authv1.RotateSigningKeysResponse, error) {
	if _, err := authorize(ctx, policy.SigningKeysRotate, ""); err != nil {
		return nil, err
	}
	id, signs, err := s.ring.Rotate(ctx)
	if err != nil {
		return nil, err
	}
	return &authv1.RotateSigningKeysResponse{KeyId: id, SignTime: optional(signs)}, nil
}
