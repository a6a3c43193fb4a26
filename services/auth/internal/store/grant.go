package store

import (
	"strings"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// grantColumns hold what somebody may do. admin stands beside role for replicas
// of a release that knows no roles.
const grantColumns = `admin, role, permissions, spaces`

// grantOf is grantColumns of a table that has a name in the query.
func grantOf(table string) string {
	return table + "." + strings.ReplaceAll(grantColumns, ", ", ", "+table+".")
}

// grantRow is these columns. A role that is empty was stored by such a replica.
type grantRow struct {
	admin                     bool
	role, permissions, spaces string
}

func (r *grantRow) into() []any { return []any{&r.admin, &r.role, &r.permissions, &r.spaces} }

func (r *grantRow) grant(kind identity.Kind) (policy.Grant, error) {
	return identity.GrantClaims{
		Admin: r.admin, Role: r.role, Permissions: list(r.permissions), Spaces: list(r.spaces),
	}.Grant(kind)
}

func grantValues(g policy.Grant) []any {
	said := identity.ClaimsOf(g)
	return []any{said.Admin, said.Role, strings.Join(said.Permissions, ","), strings.Join(said.Spaces, ",")}
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
