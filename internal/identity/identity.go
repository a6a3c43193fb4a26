package identity

import (
	"context"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// Tenants that exist without being made.
const (
	// DefaultTenant is the tenant of callers who name none.
	DefaultTenant = "default"
	// MeshTenant owns what the mesh says about itself, and its administrators.
	MeshTenant = event.Mesh
)

// Kind says what sort of caller an identity is.
type Kind string

// The kinds.
const (
	User      Kind = "user"      // somebody who logged in
	Key       Kind = "key"       // a holder of an API key
	Service   Kind = "service"   // a service of the mesh, on its own account
	Anonymous Kind = "anonymous" // nobody known; only where that is allowed
)

func (k Kind) valid() bool {
	switch k {
	case User, Key, Service, Anonymous:
		return true
	}
	return false
}

// Identity is a verified caller. It is a value, comparable, and holds no
// secret.
type Identity struct {
	// Tenant owns the data that the caller may see.
	Tenant string
	// Subject is the user's name, the key's id or the service's name.
	Subject string
	// Kind says which of these.
	Kind Kind
	// Grant is what the caller may do; see May.
	policy.Grant
}

// ForService is the identity under which a service works for a tenant without
// anybody having called, for example on a schedule.
func ForService(service, tenant string) Identity {
	return Identity{Tenant: tenant, Subject: service, Kind: Service, Grant: policy.As(policy.Service)}
}

// Principal names the caller in books and accounts: the kind, the tenant and the
// subject, as "key:acme/3f0c2a41".
func (id Identity) Principal() string {
	return string(id.Kind) + ":" + id.Tenant + "/" + id.Subject
}

// Permissions is all that the caller may do.
func (id Identity) Permissions() policy.Set { return id.Grant.Permissions(id.Tenant == MeshTenant) }

// May reports whether the caller may do what asks for a permission.
func (id Identity) May(p policy.Permission) bool {
	return p == policy.PublicCall || id.Permissions().Has(p)
}

// Authorize tells whether the caller in ctx may do what asks for a permission.
// It gives fault.Unauthenticated when ctx carries no identity, and fault.Denied,
// naming the permission, when the caller may not.
func Authorize(ctx context.Context, p policy.Permission) error {
	if p == policy.PublicCall {
		return nil
	}
	id, ok := From(ctx)
	if !ok {
		return errMissing()
	}
	return id.Authorize(p)
}

// Authorize gives fault.Denied, naming the permission, when the caller may not do
// what asks for it.
func (id Identity) Authorize(p policy.Permission) error {
	switch {
	case id.May(p):
		return nil
	case p == 0:
		return fault.Denied.New("nobody may do this").WithReason(ReasonDenied)
	case id.Spaces != "" && id.Role.Permissions(id.Tenant == MeshTenant).Has(p):
		return fault.Denied.New("this needs the permission %s, which nobody has who is for certain spaces only", p).WithReason(ReasonDenied)
	case id.Tenant == MeshTenant && id.Role != policy.Admin:
		return fault.Denied.New("this needs the permission %s: what is the mesh's own is for its administrators", p).WithReason(ReasonDenied)
	case id.Only != 0:
		return fault.Denied.New("this needs the permission %s, which is not among those given", p).WithReason(ReasonDenied)
	}
	return fault.Denied.New("this needs the permission %s, which the role %s does not have", p, id.Role).WithReason(ReasonDenied)
}

// MeshAdmin reports whether the caller may administer every tenant: an
// administrator of the mesh's own tenant may.
func (id Identity) MeshAdmin() bool { return id.Role == policy.Admin && id.Tenant == MeshTenant }

// check refuses identities that no proof should ever carry.
func (id Identity) check() error {
	switch {
	case !wellFormedTenant(id.Tenant):
		return fault.Invalid.New("identity: tenant %q is not a tenant name", id.Tenant)
	case id.Subject == "" || len(id.Subject) > maxSubject:
		return fault.Invalid.New("identity: subject has %d bytes, want 1 to %d", len(id.Subject), maxSubject)
	case !id.Kind.valid():
		return fault.Invalid.New("identity: unknown kind %q", id.Kind)
	case (id.Kind == Service) != (id.Role == policy.Service), (id.Kind == Anonymous) && id.Spaces != "",
		id.Role == policy.Local && id.Kind != Anonymous:
		return fault.Invalid.New("identity: a %s with the role %q", id.Kind, id.Role)
	}
	return nil
}

// maxSubject bounds a subject in bytes; user names, the longest, have up to 128.
const maxSubject = 256

type contextKey struct{}

// With returns a context that carries id, and whose spans are about its tenant.
// Only code that has verified id calls it.
func With(ctx context.Context, id Identity) context.Context {
	return context.WithValue(telemetry.WithTenant(ctx, id.Tenant), contextKey{}, id)
}

// From returns the identity that ctx carries, and whether it carries one.
func From(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(contextKey{}).(Identity)
	return id, ok
}

// Tenant returns the tenant of the caller, or fault.Unauthenticated when ctx
// carries no identity.
func Tenant(ctx context.Context) (string, error) {
	id, ok := From(ctx)
	if !ok {
		return "", errMissing()
	}
	return id.Tenant, nil
}

// ValidTenant tells whether a tenant may be made under this name: 1 to 63 of
// a-z, 0-9 and "-", not starting or ending with "-", and not reserved. The
// error is fault.Invalid and names the field and the rule.
func ValidTenant(name string) error {
	if !wellFormedTenant(name) {
		return fault.Invalid.New(
			`tenant name: want 1 to 63 of a-z, 0-9 and "-", not starting or ending with "-"`).
			WithReason("TENANT_NAME_INVALID")
	}
	if name == MeshTenant {
		return fault.Invalid.New("tenant name: %q is reserved for the mesh itself", name).
			WithReason("TENANT_NAME_RESERVED")
	}
	return nil
}

// maxTenant is the length of a DNS label (RFC 1035), so that a tenant can name
// a host, a database or a bucket.
const maxTenant = 63

func wellFormedTenant(name string) bool {
	if len(name) == 0 || len(name) > maxTenant || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
