package policy

import (
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Grant is what somebody was given: a role, which scopes may narrow. It is a
// value, comparable. The zero value allows nothing.
type Grant struct {
	Role   Role
	Only   Only   // permissions; the zero value narrows nothing
	Spaces Spaces // whose data is seen and changed; the zero value narrows nothing
}

// As is the grant of a role, not narrowed.
func As(role Role) Grant { return Grant{Role: role} }

// Permissions is all that the grant allows, to somebody of the mesh's own tenant
// or of another. What is about data without a space is not among it when the
// grant is for certain spaces: who may see one space's data may not see it
// beside that of all others.
func (g Grant) Permissions(ofMesh bool) Set {
	all := g.Role.Permissions(ofMesh)
	if g.Only != 0 {
		all &= Set(g.Only) | known
	}
	if g.Spaces != "" {
		all &= spaced
	}
	return all
}

// Within reports whether other allows everything that g does, to somebody of the
// same tenant.
func (g Grant) Within(other Grant, ofMesh bool) bool {
	return g.Permissions(ofMesh).Within(other.Permissions(ofMesh)) && g.Spaces.within(other.Spaces)
}

// Only are the permissions that a grant is narrowed to.
type Only Set

// narrowed tells a scope whose permissions are all unknown here, and which
// therefore allows nothing, from none.
const narrowed Only = 1

// OnlyOf narrows to these; to everything when there are none.
func OnlyOf(permissions ...Permission) Only {
	if len(permissions) == 0 {
		return 0
	}
	return Only(Of(permissions...)) | narrowed
}

// ParseOnly reads the names of permissions, of which there may be none. It gives
// fault.Invalid for one that does not exist, and for one that nobody can be
// given.
func ParseOnly(names []string) (Only, error) {
	permissions := make([]Permission, 0, len(names))
	for _, name := range names {
		p, err := ParsePermission(name)
		if err != nil {
			return 0, err
		}
		if !given.Has(p) {
			return 0, fault.Invalid.New("permission %s cannot be given", name).WithReason("PERMISSION_UNKNOWN")
		}
		permissions = append(permissions, p)
	}
	return OnlyOf(permissions...), nil
}

// given is what some role that can be given allows.
var given = (admin | mesh) &^ known

// KnownOnly is ParseOnly for what was checked before, perhaps by a newer
// release: names that do not exist here allow nothing.
func KnownOnly(names []string) Only {
	if len(names) == 0 {
		return 0
	}
	only := narrowed
	for _, name := range names {
		if p, err := ParsePermission(name); err == nil {
			only |= Only(Of(p))
		}
	}
	return only
}

// nothing stands in the names of a scope that allows nothing: without a name it
// would narrow nothing.
const nothing = "nothing"

// Names are those of the permissions, nil when nothing is narrowed. KnownOnly
// reads them.
func (o Only) Names() []string {
	switch o {
	case 0:
		return nil
	case narrowed:
		return []string{nothing}
	}
	return Set(o).Names()
}

// Spaces are the spaces that a grant is for, sorted and joined by commas; empty
// is all. Make them with ParseSpaces.
type Spaces string

const (
	maxSpaces = 32
	maxSpace  = 128
)

// ParseSpaces reads the names of spaces, of which there may be none. It gives
// fault.Invalid for one that no profile can have.
func ParseSpaces(names []string) (Spaces, error) {
	if len(names) > maxSpaces {
		return "", fault.Invalid.New("spaces: there are %d, want at most %d", len(names), maxSpaces).WithReason("FIELD_INVALID")
	}
	for _, name := range names {
		if !spaceName(name) {
			return "", fault.Invalid.New("space %.140q: want 1 to %d letters, digits, dots, dashes and underscores", name, maxSpace).
				WithReason("FIELD_INVALID")
		}
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	return Spaces(strings.Join(names, ",")), nil
}

// List gives the names, nil for all.
func (s Spaces) List() []string {
	if s == "" {
		return nil
	}
	return strings.Split(string(s), ",")
}

// Has reports whether a space is among them.
func (s Spaces) Has(space string) bool {
	if s == "" {
		return true
	}
	for one := range strings.SplitSeq(string(s), ",") {
		if one == space {
			return true
		}
	}
	return false
}

func (s Spaces) within(other Spaces) bool {
	if s == "" || other == "" {
		return other == ""
	}
	return !slices.ContainsFunc(s.List(), func(space string) bool { return !other.Has(space) })
}

// spaceName has the alphabet of a profile's space.
func spaceName(name string) bool {
	if name == "" || len(name) > maxSpace {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}
