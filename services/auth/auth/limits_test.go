package auth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// Limits are set by administrators of the mesh alone; a tenant sees its own, and
// every process hears of a change within seconds, also one that was away.
func TestLimits(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		cfg := config()
		cfg.Limits = quota.Config{Tails: 32, IngestRate: 1 << 20}
		r := start(t, url, cfg)
		client := r.gateway()
		for _, tenant := range []string{"acme", "beta"} {
			_, err := client.CreateTenant(as(t, meshAdmin), &authv1.CreateTenantRequest{Name: tenant})
			require.NoError(t, err)
		}
		book := quota.NewBook(quota.Limits{})
		followed := make(chan error, 2)
		conn := r.connect(signer(t, meshSecret).Credentials("auth"))
		go func() { followed <- book.Follow(t.Context(), conn, "gateway") }()
		becomes := func(tenant string, name quota.Name, want int64) {
			t.Helper()
			require.Eventually(t, func() bool { return book.Of(tenant).Limits()[name] == want }, 5*time.Second, 5*time.Millisecond)
		}
		becomes("acme", quota.Tails, 32)

		set, err := client.SetLimits(as(t, meshAdmin), &authv1.SetLimitsRequest{Tenant: "acme",
			Limits: &authv1.Limits{Tails: proto.Uint64(3), IngestRate: proto.Uint64(0), QuerySeconds: proto.Uint64(5)}})
		require.NoError(t, err)
		require.Equal(t, uint64(3), set.GetLimits().GetTails())
		becomes("acme", quota.Tails, 3)
		becomes("acme", quota.IngestRate, 0)
		becomes("acme", quota.QueryTime, 5)
		becomes("beta", quota.Tails, 32)

		_, err = client.SetLimits(as(t, meshAdmin), &authv1.SetLimitsRequest{Tenant: "acme",
			Limits: &authv1.Limits{Queries: proto.Uint64(2)}, ToDefault: []string{"tails", "query_seconds"}})
		require.NoError(t, err)
		becomes("acme", quota.Tails, 32)
		becomes("acme", quota.Queries, 2)
		own, err := client.GetLimits(as(t, acmeUser), &authv1.GetLimitsRequest{})
		require.NoError(t, err)
		require.True(t, proto.Equal(&authv1.Limits{Queries: proto.Uint64(2), IngestRate: proto.Uint64(0)}, own.GetOverrides()), "%s", own)
		require.Equal(t, "acme", own.GetTenant())
		require.Equal(t, uint64(32), own.GetLimits().GetTails())

		_, err = client.GetLimits(as(t, acmeAdmin), &authv1.GetLimitsRequest{Tenant: "beta"})
		require.ErrorIs(t, err, fault.Denied)
		_, err = client.SetLimits(as(t, acmeAdmin), &authv1.SetLimitsRequest{Tenant: "acme", Limits: &authv1.Limits{Tails: proto.Uint64(0)}})
		require.ErrorIs(t, err, fault.Denied, "nobody gives itself more")
		theirs, err := client.GetLimits(as(t, meshAdmin), &authv1.GetLimitsRequest{Tenant: "beta"})
		require.NoError(t, err)
		require.Equal(t, uint64(1<<20), theirs.GetLimits().GetIngestRate())
		for _, bad := range []*authv1.SetLimitsRequest{
			{Tenant: "acme", Limits: &authv1.Limits{Tails: proto.Uint64(1 << 60)}}, {Tenant: "acme", ToDefault: []string{"tail"}}, {},
		} {
			_, err = client.SetLimits(as(t, meshAdmin), bad)
			require.ErrorIs(t, err, fault.Invalid, "%s", bad)
		}
		_, err = client.SetLimits(as(t, meshAdmin), &authv1.SetLimitsRequest{Tenant: "nowhere", Limits: &authv1.Limits{Tails: proto.Uint64(1)}})
		require.ErrorIs(t, err, fault.NotFound)

		late := quota.NewBook(quota.Limits{})
		go func() { followed <- late.Follow(t.Context(), conn, "gateway") }()
		require.Eventually(t, func() bool { return late.Of("acme").Limits()[quota.Queries] == 2 }, 5*time.Second, 5*time.Millisecond,
			"a process that starts later hears of all there are")
	})
}
