package policy_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/mesh/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/topic/v1"
	_ "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// The page is made by make generate.
func TestThePageIsFresh(t *testing.T) {
	page, err := policy.Markdown()
	require.NoError(t, err)
	there, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	require.Equal(t, page, string(there), "run make generate")
}

// A method without an option is allowed to nobody, and here it is named.
func TestEveryMethodSaysWhatItAsksFor(t *testing.T) {
	all := policy.Methods()
	require.Greater(t, len(all), 40)
	for _, m := range all {
		require.True(t, policy.All.Has(m.Permission), "%s: no option (driftmesh.policy.v1.permission)", m.Name)
	}
	require.Zero(t, policy.MethodOf("/driftmesh.auth.v1.AuthService/Nothing").Permission)
	require.True(t, policy.MethodOf("/driftmesh.auth.v1.AuthService/CheckAPIKey").Inner)
}

func TestEveryRouteSaysWhatItAsksFor(t *testing.T) {
	all, err := policy.Routes()
	require.NoError(t, err)
	require.Greater(t, len(all), 80)
	inner := map[string]bool{}
	for _, m := range policy.Methods() {
		inner[m.Name] = m.Inner
	}
	for _, r := range all {
		require.True(t, policy.All.Has(r.Permission), "%s %s", r.Door, r.Pattern())
		if r.RPC != "" {
			public, is := inner[r.RPC]
			require.True(t, is && !public, "%s stands for %s", r.Pattern(), r.RPC)
		}
		require.Equal(t, r.Permission, policy.RouteOf(r.Door, r.Pattern()))
	}
	require.Zero(t, policy.RouteOf(policy.HTTP, "GET /nothing"))
}

func TestEachRoleMayWhatTheOneBeforeMay(t *testing.T) {
	roles := policy.Roles()[1:]
	for i, role := range roles[1:] {
		require.True(t, roles[i].Permissions(false).Within(role.Permissions(false)), role)
		require.NotEqual(t, roles[i].Permissions(false), role.Permissions(false))
	}
}

// These are promises to people; the rest of the table stands in docs/security.md.
func TestWhatRolesMayNot(t *testing.T) {
	require.Equal(t, []string{"known.call", "spans.write", "records.write"}, policy.Ingest.Permissions(false).Names())
	for _, p := range []policy.Permission{policy.SpansWrite, policy.RecordsWrite, policy.SQLQuery, policy.DeadLettersRead, policy.ProfilesWrite} {
		require.False(t, policy.Viewer.Permissions(false).Has(p), p)
	}
	for _, p := range []policy.Permission{policy.DeadLettersRead, policy.DeadLettersRedrive, policy.ProfilesRun, policy.KeysWrite} {
		require.False(t, policy.Editor.Permissions(false).Has(p), p)
	}
	for _, p := range []policy.Permission{policy.UsersRead, policy.UsersWrite, policy.KeysRead, policy.KeysWrite} {
		require.False(t, policy.Operator.Permissions(false).Has(p), p)
		require.True(t, policy.Admin.Permissions(false).Has(p), p)
	}
	ofMesh := policy.Of(policy.TenantsRead, policy.TenantsWrite, policy.TopicsRead, policy.SettingsRead)
	for _, role := range policy.Roles() {
		require.Equal(t, ofMesh, ofMesh.Without(role.Permissions(false)), role)
		if role != policy.Admin {
			require.Equal(t, []string{"known.call"}, role.Permissions(true).Names(), "what is the mesh's own is for its administrators")
		}
		require.False(t, role.Permissions(false).Has(policy.ServiceCall))
		require.False(t, role.Permissions(true).Has(policy.ServiceCall))
	}
	require.True(t, ofMesh.Within(policy.Admin.Permissions(true)))
	require.False(t, policy.Service.Permissions(false).Has(policy.ServiceCall), "only on its own account")
	require.Zero(t, policy.Role("root").Permissions(true))
	require.Zero(t, policy.Grant{}.Permissions(false))
}

func TestScopesNarrow(t *testing.T) {
	only, err := policy.ParseOnly([]string{"spans.write", "dead-letters.read"})
	require.NoError(t, err)
	g := policy.Grant{Role: policy.Ingest, Only: only}
	require.Equal(t, []string{"known.call", "spans.write"}, g.Permissions(false).Names(), "never more than the role")
	require.Equal(t, []string{"spans.write", "dead-letters.read"}, only.Names())
	require.Equal(t, only, policy.KnownOnly(only.Names()))

	// A newer release may know permissions that this one does not.
	future := policy.KnownOnly([]string{"moon.fly"})
	require.Equal(t, []string{"known.call"}, policy.Grant{Role: policy.Admin, Only: future}.Permissions(false).Names())
	require.Equal(t, future, policy.KnownOnly(future.Names()))

	spaces, err := policy.ParseSpaces([]string{"risk", "fraud", "risk"})
	require.NoError(t, err)
	require.Equal(t, []string{"fraud", "risk"}, spaces.List())
	require.True(t, spaces.Has("risk") && !spaces.Has("ris") && !spaces.Has("") && !spaces.Has("fraud,risk"))
	require.True(t, policy.Spaces("").Has("anything"))
	spaced := policy.Grant{Role: policy.Admin, Spaces: spaces}.Permissions(false)
	for _, p := range []policy.Permission{policy.TracesRead, policy.SpansWrite, policy.SQLQuery, policy.LedgerRead, policy.DeadLettersRead, policy.KeysWrite} {
		require.False(t, spaced.Has(p), p)
	}
	require.True(t, spaced.Has(policy.ProfilesWrite) && spaced.Has(policy.RecordsWrite))

	for _, bad := range [][]string{{"a,b"}, {""}, {"a b"}, {"ä"}, make([]string, 33)} {
		_, err := policy.ParseSpaces(bad)
		require.ErrorIs(t, err, fault.Invalid, bad)
	}
	for _, bad := range []string{"", "nobody", "public.call", "known.call", "service.call", "spans.wrote"} {
		_, err := policy.ParseOnly([]string{bad})
		require.ErrorIs(t, err, fault.Invalid, bad)
	}
	for _, bad := range []string{"", "root", "service", "local", "Admin"} {
		_, err := policy.ParseRole(bad)
		require.ErrorIs(t, err, fault.Invalid, bad)
	}
}

func TestNobodyGivesMoreThanItHas(t *testing.T) {
	narrow := policy.Grant{Role: policy.Admin, Only: policy.OnlyOf(policy.KeysWrite)}
	here := policy.Grant{Role: policy.Editor, Spaces: "fraud,risk"}
	for _, row := range []struct {
		give, have policy.Grant
		ofMesh, ok bool
	}{
		{policy.As(policy.Admin), policy.As(policy.Admin), false, true},
		{policy.As(policy.Viewer), policy.As(policy.Operator), false, true},
		{policy.As(policy.Ingest), policy.As(policy.Viewer), false, false},
		{policy.As(policy.Admin), policy.As(policy.Operator), false, false},
		{policy.As(policy.Viewer), narrow, false, false},
		{policy.Grant{Role: policy.Admin, Only: policy.OnlyOf(policy.KeysWrite)}, narrow, false, true},
		{policy.As(policy.Admin), policy.As(policy.Admin), true, true},
		{policy.Grant{Role: policy.Viewer, Spaces: "risk"}, here, false, true},
		{policy.Grant{Role: policy.Viewer, Spaces: "risk,sales"}, here, false, false},
		{policy.Grant{Role: policy.Editor}, here, false, false},
	} {
		require.Equal(t, row.ok, row.give.Within(row.have, row.ofMesh), "%v by %v", row.give, row.have)
	}
}

func TestNamesOfPermissions(t *testing.T) {
	require.Equal(t, "dead-letters.redrive", policy.DeadLettersRedrive.String())
	require.Equal(t, "sql.query", policy.SQLQuery.String())
	require.Equal(t, "nobody", policy.Permission(0).String())
	require.Equal(t, "nobody", policy.Permission(-1).String())
	require.Equal(t, "nobody", policy.Permission(99).String())
	for _, name := range policy.All.Names() {
		p, err := policy.ParsePermission(name)
		require.NoError(t, err)
		require.Equal(t, name, p.String())
	}
	require.False(t, policy.All.Has(0))
	require.False(t, policy.All.Has(64))
}
