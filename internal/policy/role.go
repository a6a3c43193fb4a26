package policy

import (
	"slices"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Role is what somebody is to a tenant.
type Role string

// The roles. Each from viewer to admin may do what the one before may.
const (
	Ingest   Role = "ingest"   // sends spans and records, and nothing else
	Viewer   Role = "viewer"   // reads, but neither runs SQL nor sees dead letters
	Editor   Role = "editor"   // works with models: sends, registers profiles, answers alerts
	Operator Role = "operator" // runs the tenant's part of the mesh: dead letters, evaluations
	Admin    Role = "admin"    // administers the tenant; of the mesh's own tenant, the mesh
)

// Roles that nobody can be given.
const (
	Service Role = "service" // a service of the mesh, on its own account
	Local   Role = "local"   // whoever calls without credentials a mesh that only this machine reaches
)

// Roles are those that can be given, from least to most.
func Roles() []Role { return []Role{Ingest, Viewer, Editor, Operator, Admin} }

// ParseRole gives the role of a name, or fault.Invalid when nobody can be given
// such a role.
func ParseRole(name string) (Role, error) {
	if r := Role(name); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fault.Invalid.New("role %.100q does not exist; there are admin, operator, editor, viewer and ingest", name).
		WithReason("ROLE_UNKNOWN")
}

var (
	known  = Of(KnownCall)
	ingest = known | Of(SpansWrite, RecordsWrite)
	viewer = known | Of(TracesRead, RecordsRead, TailRead, ProfilesRead, ScoresRead, AlertsRead, LedgerRead)
	editor = viewer | ingest | Of(SQLQuery, ProfilesWrite, ScoresCompute, AlertsAcknowledge, AlertsSilence)
	// operator is what a user without a role could do before there were roles.
	operator = editor | Of(ProfilesRun, DeadLettersRead, DeadLettersRedrive)
	admin    = operator | Of(UsersRead, UsersWrite, KeysRead, KeysWrite, AuditRead)
	// mesh is what is about the mesh and not about a tenant.
	mesh = Of(TenantsRead, TenantsWrite, TopicsRead, SettingsRead, AuditExport, SigningKeysRotate, LimitsWrite)

	local = operator | Of(TopicsRead)
	// service is what services ask each other on nobody's behalf.
	service = known | Of(ProfilesRead, TracesRead)

	// spaced is what is about data that has a space.
	spaced = known | Of(RecordsWrite, RecordsRead, TailRead, ProfilesRead, ProfilesWrite, ScoresRead, ScoresCompute, ProfilesRun,
		AlertsRead, AlertsAcknowledge, AlertsSilence)
)

// Permissions is all that a role allows: to somebody of the mesh's own tenant,
// whose data is for administrators of the mesh alone, or to somebody of another.
func (r Role) Permissions(ofMesh bool) Set {
	if ofMesh {
		switch r {
		case Admin:
			return admin | mesh
		case Service:
			return service | Of(ServiceCall)
		case Ingest, Viewer, Editor, Operator:
			return known
		case Local: // is of the tenant default
		}
		return 0
	}
	switch r {
	case Ingest:
		return ingest
	case Viewer:
		return viewer
	case Editor:
		return editor
	case Operator:
		return operator
	case Admin:
		return admin
	case Local:
		return local
	case Service:
		return service
	}
	return 0
}
