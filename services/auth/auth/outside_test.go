package auth

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc"
)

// Each login at a provider is an entry of the account for ever: who comes without end is
// told to wait before anything is kept of it.
func TestNobodyFillsTheAccountWithLogins(t *testing.T) {
	providers, err := oidc.New(oidc.Configs{"corp": {
		Issuer: "https://login.example.com", Audiences: []string{"workloads"},
		Rules: []oidc.Rule{{Condition: oidc.Condition{Claim: "sub", Value: "ann"}, Tenant: "acme", Role: "ingest"}},
	}})
	require.NoError(t, err)
	o := &outside{providers: providers, changes: quota.NewBook(quota.Limits{})} // and no store, which nobody reaches
	for range 5000 {
		_ = o.changes.Of("acme").Change(time.Now()) // is refused in the end
	}
	claims := oidc.Claims{Issuer: "https://login.example.com", Subject: "ann", All: map[string]any{"sub": "ann"}}
	_, err = o.arrive(t.Context(), providers.All()[0], claims)
	require.ErrorIs(t, err, fault.Exhausted)
	_, err = o.admit(t.Context(), providers.All()[0], claims)
	require.ErrorIs(t, err, fault.Exhausted)
	require.Equal(t, "CHANGES_THROTTLED", fault.Of(err).Reason())
	require.NoError(t, o.changes.Of("beta").Change(time.Now()), "another tenant")
}
