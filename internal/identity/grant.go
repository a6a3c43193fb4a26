package identity

import (
	"cmp"

	"github.com/driftmesh/driftmesh/internal/policy"
)

// GrantClaims is what a token says of what its holder may do.
type GrantClaims struct {
	// Admin is all that was said before there were roles, and stays for services
	// and clients that know none.
	Admin       bool     `json:"admin,omitempty"`
	Role        string   `json:"role,omitempty"`
	Permissions []string `json:"permissions,omitempty"` // of those of the role; none for all
	Spaces      []string `json:"spaces,omitempty"`      // none for all
}

// nobody is what is said of a grant without a role: to say nothing is to say what
// was said before there were roles.
const nobody = "nobody"

// ClaimsOf says a grant.
func ClaimsOf(g policy.Grant) GrantClaims {
	role := cmp.Or(string(g.Role), nobody)
	return GrantClaims{
		Admin: g.Role == policy.Admin, Role: role, Permissions: g.Only.Names(), Spaces: g.Spaces.List(),
	}
}

// Grant reads what ClaimsOf says, and what was said before there were roles, to
// somebody of a kind. A role that is not known allows nothing; spaces that
// cannot be are an error.
func (c GrantClaims) Grant(kind Kind) (policy.Grant, error) {
	spaces, err := policy.ParseSpaces(c.Spaces)
	role := policy.Role(c.Role)
	if role == "" {
		role = c.formerRole(kind)
	}
	return policy.Grant{Role: role, Only: policy.KnownOnly(c.Permissions), Spaces: spaces}, err
}

// formerRole is the role of somebody of whom nothing is said but whether it is an
// administrator. Others go on sending, reading and registering profiles, and no
// longer see dead letters or send them on their way.
func (c GrantClaims) formerRole(kind Kind) policy.Role {
	switch {
	case kind == Service:
		return policy.Service
	case kind == Anonymous:
		return policy.Operator
	case c.Admin:
		return policy.Admin
	}
	return policy.Editor
}
