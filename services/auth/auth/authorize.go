package auth

import (
	"context"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// caller is who calls, and the tenant that the call is about.
type caller struct {
	identity.Identity
	about string
}

// name is how a caller stands in what it has made.
func (c caller) name() string { return string(c.Kind) + ":" + c.Tenant + "/" + c.Subject }

// authorize tells whether the caller in ctx may do what asks for a permission to
// a tenant; empty means the caller's own, and another one is for administrators
// of the mesh. It is the one gate of this service: every method passes it first.
// It gives fault.Unauthenticated or fault.Denied, and reveals nothing about the
// tenant.
func authorize(ctx context.Context, p policy.Permission, tenant string) (caller, error) {
	if err := identity.Authorize(ctx, p); err != nil {
		return caller{}, err
	}
	id, _ := identity.From(ctx)
	if tenant == "" {
		tenant = id.Tenant
	}
	if p != policy.PublicCall && tenant != id.Tenant && !id.MeshAdmin() {
		return caller{}, fault.Denied.New("another tenant than your own is for administrators of the mesh").
			WithReason(identity.ReasonDenied)
	}
	return caller{id, tenant}, nil
}

// asked is what a caller wants somebody to be allowed.
type asked struct {
	role        string
	admin       bool // role admin, as said before there were roles
	permissions []string
	spaces      []string
}

// grant is what the caller gives somebody of the tenant that the call is about:
// without a role, least. It gives fault.Invalid for what does not exist, and
// fault.Denied for more than the caller has.
func (c caller) grant(want asked, least policy.Role) (g policy.Grant, err error) {
	switch {
	case want.role != "":
		if g.Role, err = policy.ParseRole(want.role); err != nil {
			return g, err
		}
		if want.admin && g.Role != policy.Admin {
			return g, fault.Invalid.New("admin and the role %s contradict each other", g.Role).WithReason("FIELD_INVALID")
		}
	case want.admin:
		g.Role = policy.Admin
	default:
		g.Role = least
	}
	if g.Only, err = policy.ParseOnly(want.permissions); err != nil {
		return g, err
	}
	if g.Spaces, err = policy.ParseSpaces(want.spaces); err != nil {
		return g, err
	}
	ofMesh := c.about == identity.MeshTenant
	if lacks := policy.Set(g.Only).Without(g.Role.Permissions(ofMesh)); lacks != 0 {
		return g, fault.Invalid.New("the role %s does not have the permission %s", g.Role, lacks.Names()[0]).WithReason("FIELD_INVALID")
	}
	if !g.Within(c.Grant, ofMesh) {
		return g, fault.Denied.New("nobody gives more than it has: the role %s, here, is more", g.Role).WithReason(identity.ReasonDenied)
	}
	return g, nil
}
