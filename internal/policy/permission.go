package policy

import (
	"math/bits"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	policyv1 "github.com/driftmesh/driftmesh/proto/driftmesh/policy/v1"
)

// Permission is one thing that a role may allow. The zero value is allowed to
// nobody.
type Permission policyv1.Permission

// The permissions; policy.proto says what each is.
const (
	PublicCall         = Permission(policyv1.Permission_PERMISSION_PUBLIC_CALL)
	KnownCall          = Permission(policyv1.Permission_PERMISSION_KNOWN_CALL)
	ServiceCall        = Permission(policyv1.Permission_PERMISSION_SERVICE_CALL)
	SpansWrite         = Permission(policyv1.Permission_PERMISSION_SPANS_WRITE)
	RecordsWrite       = Permission(policyv1.Permission_PERMISSION_RECORDS_WRITE)
	TracesRead         = Permission(policyv1.Permission_PERMISSION_TRACES_READ)
	TailRead           = Permission(policyv1.Permission_PERMISSION_TAIL_READ)
	SQLQuery           = Permission(policyv1.Permission_PERMISSION_SQL_QUERY)
	ProfilesRead       = Permission(policyv1.Permission_PERMISSION_PROFILES_READ)
	ProfilesWrite      = Permission(policyv1.Permission_PERMISSION_PROFILES_WRITE)
	ScoresRead         = Permission(policyv1.Permission_PERMISSION_SCORES_READ)
	ScoresCompute      = Permission(policyv1.Permission_PERMISSION_SCORES_COMPUTE)
	ProfilesRun        = Permission(policyv1.Permission_PERMISSION_PROFILES_RUN)
	AlertsRead         = Permission(policyv1.Permission_PERMISSION_ALERTS_READ)
	AlertsAcknowledge  = Permission(policyv1.Permission_PERMISSION_ALERTS_ACKNOWLEDGE)
	AlertsSilence      = Permission(policyv1.Permission_PERMISSION_ALERTS_SILENCE)
	LedgerRead         = Permission(policyv1.Permission_PERMISSION_LEDGER_READ)
	DeadLettersRead    = Permission(policyv1.Permission_PERMISSION_DEAD_LETTERS_READ)
	DeadLettersRedrive = Permission(policyv1.Permission_PERMISSION_DEAD_LETTERS_REDRIVE)
	UsersRead          = Permission(policyv1.Permission_PERMISSION_USERS_READ)
	UsersWrite         = Permission(policyv1.Permission_PERMISSION_USERS_WRITE)
	KeysRead           = Permission(policyv1.Permission_PERMISSION_KEYS_READ)
	KeysWrite          = Permission(policyv1.Permission_PERMISSION_KEYS_WRITE)
	TenantsRead        = Permission(policyv1.Permission_PERMISSION_TENANTS_READ)
	TenantsWrite       = Permission(policyv1.Permission_PERMISSION_TENANTS_WRITE)
	SettingsRead       = Permission(policyv1.Permission_PERMISSION_SETTINGS_READ)
	TopicsRead         = Permission(policyv1.Permission_PERMISSION_TOPICS_READ)
	AuditRead          = Permission(policyv1.Permission_PERMISSION_AUDIT_READ)
	AuditExport        = Permission(policyv1.Permission_PERMISSION_AUDIT_EXPORT)
	SigningKeysRotate  = Permission(policyv1.Permission_PERMISSION_SIGNING_KEYS_ROTATE)
	LimitsWrite        = Permission(policyv1.Permission_PERMISSION_LIMITS_WRITE)
	RecordsRead        = Permission(policyv1.Permission_PERMISSION_RECORDS_READ)
)

// names has the name of every permission by its number, made once.
var names = func() (out [64]string) {
	for number, name := range policyv1.Permission_name {
		if number == 0 {
			continue
		}
		name = strings.ToLower(strings.TrimPrefix(name, "PERMISSION_"))
		if i := strings.LastIndexByte(name, '_'); i >= 0 {
			name = strings.ReplaceAll(name[:i], "_", "-") + "." + name[i+1:]
		}
		out[number] = name
	}
	return out
}()

// String is the name for people, such as dead-letters.read.
func (p Permission) String() string {
	if p > 0 && int(p) < len(names) && names[p] != "" {
		return names[p]
	}
	return "nobody"
}

// ParsePermission is the inverse of String. It gives fault.Invalid for a name
// that no permission has.
func ParsePermission(name string) (Permission, error) {
	for p, known := range names {
		if known != "" && known == name {
			return Permission(p), nil
		}
	}
	return 0, fault.Invalid.New("permission %.100q does not exist; there are %s", name, strings.Join(All.Names(), ", ")).
		WithReason("PERMISSION_UNKNOWN")
}

// Set is a set of permissions.
type Set uint64

// All is every permission that there is.
var All = func() (all Set) {
	for p, name := range names {
		if name != "" {
			all |= 1 << p
		}
	}
	return all
}()

// Of makes a set.
func Of(permissions ...Permission) (s Set) {
	for _, p := range permissions {
		s |= 1 << p
	}
	return s
}

// Has reports whether p is in the set. The zero permission never is.
func (s Set) Has(p Permission) bool { return p > 0 && p < 64 && s&(1<<p) != 0 }

// Within reports whether other has all of the set.
func (s Set) Within(other Set) bool { return s&^other == 0 }

// Without gives what of the set other does not have, the mark of a narrowed
// scope aside.
func (s Set) Without(other Set) Set { return s &^ other &^ Set(narrowed) }

// Names are those of the set's permissions, in the order of their numbers.
func (s Set) Names() []string {
	out := make([]string, 0, bits.OnesCount64(uint64(s)))
	for p, name := range names {
		if name != "" && s&(1<<p) != 0 {
			out = append(out, name)
		}
	}
	return out
}
