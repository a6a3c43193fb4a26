package identity_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
)

func TestTenantComesFromTheContextAlone(t *testing.T) {
	_, err := identity.Tenant(t.Context())
	requireRefused(t, err, identity.ReasonMissing)

	ann := identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User}
	ctx := identity.With(t.Context(), ann)
	tenant, err := identity.Tenant(ctx)
	require.NoError(t, err)
	require.Equal(t, "acme", tenant)
	got, ok := identity.From(ctx)
	require.True(t, ok)
	require.Equal(t, ann, got)
}

func TestMeshAdminNeedsBothTenantAndRight(t *testing.T) {
	require.True(t, identity.Identity{Tenant: identity.MeshTenant, Grant: policy.As(policy.Admin)}.MeshAdmin())
	require.False(t, identity.Identity{Tenant: "acme", Grant: policy.As(policy.Admin)}.MeshAdmin())
	require.False(t, identity.ForService("drift", identity.MeshTenant).MeshAdmin())
}

func TestValidTenant(t *testing.T) {
	for _, good := range []string{"a", "0", "default", "a-b", "a--b", strings.Repeat("x", 63)} {
		require.NoError(t, identity.ValidTenant(good), good)
	}
	for _, bad := range []string{"", "-a", "a-", "-", "A", "a_b", "a.b", "a/b", "ä", "a b", "a\x00", strings.Repeat("x", 64)} {
		err := identity.ValidTenant(bad)
		require.ErrorIs(t, err, fault.Invalid, "%q", bad)
		require.Contains(t, err.Error(), "tenant name: want 1 to 63 of a-z")
	}
	err := identity.ValidTenant(identity.MeshTenant)
	require.ErrorIs(t, err, fault.Invalid)
	require.Contains(t, err.Error(), "reserved")
}

func requireRefused(t *testing.T, err error, reason string) {
	t.Helper()
	require.ErrorIs(t, err, fault.Unauthenticated)
	require.Equal(t, reason, fault.Of(err).Reason(), "%v", err)
}

func requireUnverifiable(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, fault.Unavailable)
	require.Equal(t, identity.ReasonNotVerifiable, fault.Of(err).Reason())
	require.Positive(t, fault.Of(err).RetryAfter())
}

var background = context.Background()
