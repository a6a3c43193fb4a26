package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
)

func TestARefusalNamesThePermission(t *testing.T) {
	of := func(tenant string, g policy.Grant) identity.Identity {
		return identity.Identity{Tenant: tenant, Subject: "s", Kind: identity.User, Grant: g}
	}
	for text, id := range map[string]identity.Identity{
		"this needs the permission traces.read, which the role ingest does not have":              of("acme", policy.As(policy.Ingest)),
		"this needs the permission traces.read, which is not among those given":                   of("acme", policy.Grant{Role: policy.Viewer, Only: policy.OnlyOf(policy.AlertsRead)}),
		"this needs the permission traces.read, which nobody has who is for certain spaces only":  of("acme", policy.Grant{Role: policy.Viewer, Spaces: "a"}),
		"this needs the permission traces.read: what is the mesh's own is for its administrators": of(identity.MeshTenant, policy.As(policy.Operator)),
	} {
		err := identity.Authorize(identity.With(t.Context(), id), policy.TracesRead)
		require.ErrorIs(t, err, fault.Denied)
		require.Equal(t, text, fault.Of(err).Message())
		require.Equal(t, identity.ReasonDenied, fault.Of(err).Reason())
	}
	err := identity.Authorize(identity.With(t.Context(), identity.ForService("drift", "acme")), policy.RecordsWrite)
	require.Equal(t, "this needs the permission records.write, which the role service does not have", fault.Of(err).Message())
	admin := of(identity.MeshTenant, policy.As(policy.Admin))
	require.NoError(t, admin.Authorize(policy.TracesRead))
	require.ErrorIs(t, admin.Authorize(0), fault.Denied, "what says nothing is for nobody")
	require.ErrorIs(t, admin.Authorize(policy.ServiceCall), fault.Denied)
	require.NoError(t, identity.ForService("gateway", identity.MeshTenant).Authorize(policy.ServiceCall))
	require.NoError(t, identity.Authorize(t.Context(), policy.PublicCall))
	require.ErrorIs(t, identity.Authorize(t.Context(), policy.KnownCall), fault.Unauthenticated)
}

// BenchmarkAuthorize is what the policy costs a call.
func BenchmarkAuthorize(b *testing.B) {
	for name, g := range map[string]policy.Grant{
		"role": policy.As(policy.Ingest), "narrowed": {Role: policy.Editor, Only: policy.OnlyOf(policy.SpansWrite), Spaces: ""},
	} {
		b.Run(name, func(b *testing.B) {
			ctx := identity.With(b.Context(), identity.Identity{Tenant: "acme", Subject: "k1", Kind: identity.Key, Grant: g})
			b.ReportAllocs()
			for b.Loop() {
				if identity.Authorize(ctx, policy.SpansWrite) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
