package auth

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// server answers the calls of AuthService.
type server struct {
	authv1.UnimplementedAuthServiceServer

	cfg      Config
	stopping context.Context //nolint:containedctx // its end is that of the service
	store    *store.Store
	hasher   *account.Hasher
	login    *account.Login
	recall   *account.Recall
	standing *token.Standing
	ring     *token.Ring
	devices  *token.Devices
	used     *usage
	outside  *outside
	metrics  *metrics
	log      *slog.Logger
}

// checkTenant is identity.ValidTenant, except that the mesh's own tenant is one
// that callers may name, though not make.
func checkTenant(name string) error {
	if name == identity.MeshTenant {
		return nil
	}
	return identity.ValidTenant(name)
}

// ListKeys implements AuthService.
func (s *server) ListKeys(ctx context.Context, _ *authv1.ListKeysRequest) (*authv1.ListKeysResponse, error) {
	if _, err := authorize(ctx, policy.PublicCall, ""); err != nil {
		return nil, err
	}
	return &authv1.ListKeysResponse{Jwks: s.ring.JWKS()}, nil
}

// WhoAmI implements AuthService.
func (s *server) WhoAmI(ctx context.Context, _ *authv1.WhoAmIRequest) (*authv1.WhoAmIResponse, error) {
	who, err := authorize(ctx, policy.KnownCall, "")
	if err != nil {
		return nil, err
	}
	said := identity.ClaimsOf(who.Grant)
	return &authv1.WhoAmIResponse{
		Tenant: who.Tenant, Subject: who.Subject, Kind: string(who.Kind), Admin: said.Admin,
		Role: said.Role, Permissions: who.Permissions().Names(), Spaces: said.Spaces,
	}, nil
}

// CreateTenant implements AuthService.
func (s *server) CreateTenant(ctx context.Context, req *authv1.CreateTenantRequest) (*authv1.CreateTenantResponse, error) {
	if _, err := authorize(ctx, policy.TenantsWrite, ""); err != nil {
		return nil, err
	}
	if err := identity.ValidTenant(req.GetName()); err != nil {
		return nil, err
	}
	tenant := account.Tenant{Name: req.GetName(), Created: moment()}
	if err := s.store.AddTenant(ctx, tenant); err != nil {
		return nil, err
	}
	return &authv1.CreateTenantResponse{Tenant: tenantToProto(tenant)}, nil
}

// ListTenants implements AuthService.
func (s *server) ListTenants(ctx context.Context, _ *authv1.ListTenantsRequest) (*authv1.ListTenantsResponse, error) {
	if _, err := authorize(ctx, policy.TenantsRead, ""); err != nil {
		return nil, err
	}
	all, err := s.store.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	return &authv1.ListTenantsResponse{Tenants: each(all, tenantToProto)}, nil
}

// CreateUser implements AuthService.
func (s *server) CreateUser(ctx context.Context, req *authv1.CreateUserRequest) (*authv1.CreateUserResponse, error) {
	who, err := authorize(ctx, policy.UsersWrite, req.GetTenant())
	if err != nil {
		return nil, err
	}
	if err := account.All(checkTenant(who.about), account.CheckNewUsername(req.GetUsername()),
		checkPasswordOf(req, who.about)); err != nil {
		return nil, err
	}
	grant, err := who.grant(asked{role: req.GetRole(), admin: req.GetAdmin(), spaces: req.GetSpaces()}, policy.Viewer)
	if err != nil {
		return nil, err
	}
	hash := ""
	if !req.GetServiceAccount() {
		if hash, err = s.hasher.Hash(ctx, who.place(), req.GetPassword()); err != nil {
			return nil, err
		}
	}
	user := account.User{
		Tenant: who.about, Name: req.GetUsername(), Grant: grant, Hash: hash, Created: moment(),
		Service: req.GetServiceAccount(),
	}
	if err := s.store.AddUser(ctx, user, who.name()); err != nil {
		return nil, err
	}
	return &authv1.CreateUserResponse{User: userToProto(user)}, nil
}

// checkPasswordOf checks the password of a user that is to be made.
func checkPasswordOf(req *authv1.CreateUserRequest, tenant string) error {
	if !req.GetServiceAccount() {
		return account.CheckNewPassword(req.GetPassword(), tenant, req.GetUsername())
	}
	if req.GetPassword() != "" {
		return fault.Invalid.New("password: a service account has none").WithReason("FIELD_INVALID")
	}
	return nil
}

// ListUsers implements AuthService.
func (s *server) ListUsers(ctx context.Context, _ *authv1.ListUsersRequest) (*authv1.ListUsersResponse, error) {
	who, err := authorize(ctx, policy.UsersRead, "")
	if err != nil {
		return nil, err
	}
	all, err := s.store.Users(ctx, who.about)
	if err != nil {
		return nil, err
	}
	return &authv1.ListUsersResponse{Users: each(all, userToProto)}, nil
}

// moment is now as the store keeps it, so that what a method returns is what a
// list will show.
func moment() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func tenantToProto(t account.Tenant) *authv1.Tenant {
	return &authv1.Tenant{Name: t.Name, CreateTime: timestamppb.New(t.Created), DisableTime: optional(t.Disabled)}
}

func userToProto(u account.User) *authv1.User {
	said := identity.ClaimsOf(u.Grant)
	return &authv1.User{
		Tenant: u.Tenant, Username: u.Name, Admin: said.Admin, CreateTime: timestamppb.New(u.Created),
		Role: said.Role, Spaces: said.Spaces,
		ServiceAccount: u.Service, DisableTime: optional(u.Disabled), LastLoginTime: optional(u.LastLogin), MustChangePassword: u.OneTime,
		Issuer: u.Issuer, Subject: u.Subject,
	}
}

func each[From, To any](all []From, convert func(From) To) []To {
	out := make([]To, len(all))
	for i, one := range all {
		out[i] = convert(one)
	}
	return out
}

// optional is a time as proto says it: absent rather than zero.
func optional(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// optionalTime is the inverse of optional. It gives fault.Invalid, naming the
// field, for a timestamp out of range.
func optionalTime(field string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, fault.Invalid.Wrap(err, "%s: not a valid time", field).WithReason("FIELD_INVALID")
	}
	return t.AsTime().Truncate(time.Microsecond), nil
}
