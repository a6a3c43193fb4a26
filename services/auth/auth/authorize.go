package auth

import (
	"context"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
)

// action is something a caller may want.
type action string

const (
	actLogin        action = "login"
	actListKeys     action = "list-keys"
	actWhoAmI       action = "who-am-i"
	actCheckKey     action = "check-api-key"
	actCreateTenant action = "create-tenant"
	actListTenants  action = "list-tenants"
	actCreateUser   action = "create-user"
	actListUsers    action = "list-users"
	actCreateKey    action = "create-api-key"
	actListAPIKeys  action = "list-api-keys"
	actRevokeKey    action = "revoke-api-key"
)

// need is what a caller must be. The zero value lets nobody in.
type need int

const (
	_               need = iota
	needNothing          // anybody, also without a token
	needCaller           // anybody with a token
	needService          // a service on its own account
	needTenantAdmin      // an administrator of the tenant it is about, or of the mesh
	needMeshAdmin        // an administrator of the mesh
)

// needs is the whole table of who may do what.
func needs(act action) need {
	switch act {
	case actLogin, actListKeys:
		return needNothing
	case actWhoAmI:
		return needCaller
	case actCheckKey:
		return needService
	case actCreateTenant, actListTenants:
		return needMeshAdmin
	case actCreateUser, actListUsers, actCreateKey, actListAPIKeys, actRevokeKey:
		return needTenantAdmin
	}
	return 0
}

// caller is who calls, and the tenant that the call is about.
type caller struct {
	identity.Identity
	about string
}

// name is how a caller stands in what it has made.
func (c caller) name() string { return string(c.Kind) + ":" + c.Tenant + "/" + c.Subject }

// authorize tells whether the caller in ctx may do act to a tenant; empty means
// the caller's own. It is the one gate of this service: every method passes it
// first, so roles and audit find their place here. It gives
// fault.Unauthenticated or fault.Denied, and reveals nothing about the tenant.
func authorize(ctx context.Context, act action, tenant string) (caller, error) {
	want := needs(act)
	id, ok := identity.From(ctx)
	switch {
	case want == needNothing:
		return caller{about: tenant}, nil
	case !ok:
		return caller{}, fault.Unauthenticated.New("credentials are missing").WithReason(identity.ReasonMissing)
	}
	if tenant == "" {
		tenant = id.Tenant
	}
	if !want.met(id, tenant) {
		return caller{}, fault.Denied.New("%s: not allowed for you", act).WithReason("NOT_ALLOWED")
	}
	return caller{id, tenant}, nil
}

func (n need) met(id identity.Identity, tenant string) bool {
	switch n {
	case needNothing, needCaller:
		return true
	case needService:
		return id.Kind == identity.Service && id.Tenant == identity.MeshTenant
	case needTenantAdmin:
		return id.MeshAdmin() || (id.Admin && id.Tenant == tenant)
	case needMeshAdmin:
		return id.MeshAdmin()
	}
	return false
}
