package store_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Main(m)) }

func open(t *testing.T, url string) *store.Store {
	t.Helper()
	db, err := sqlstate.Open(t.Context(), url, store.Schema)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	migrations, err := store.Migrations()
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), migrations))
	return store.New(db)
}

var day = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func withTenants(t *testing.T, url string) *store.Store {
	t.Helper()
	s := open(t, url)
	for _, name := range []string{"beta", "acme"} {
		require.NoError(t, s.AddTenant(t.Context(), account.Tenant{Name: name, Created: day}))
	}
	return s
}

func TestTenants(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, s := t.Context(), withTenants(t, url)
		err := s.AddTenant(ctx, account.Tenant{Name: "acme", Created: day.Add(time.Hour)})
		require.ErrorIs(t, err, fault.Exists)
		require.Equal(t, `tenant "acme" exists already`, fault.Of(err).Message())
		require.NoError(t, s.EnsureTenant(ctx, account.Tenant{Name: "acme", Created: day.Add(time.Hour)}))
		require.NoError(t, s.EnsureTenant(ctx, account.Tenant{Name: "default", Created: day}))
		all, err := s.Tenants(ctx)
		require.NoError(t, err)
		require.Equal(t, []account.Tenant{{Name: "acme", Created: day}, {Name: "beta", Created: day}, {Name: "default", Created: day}}, all)
	})
}

func TestUsers(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, s := t.Context(), withTenants(t, url)
		ann := account.User{Tenant: "acme", Name: "ann", Grant: policy.As(policy.Admin), Hash: "h1", Created: day}
		bob := account.User{Tenant: "acme", Name: "Bob", Grant: policy.Grant{Role: policy.Editor, Spaces: "fraud,risk"}, Hash: "h2", Created: day}
		other := account.User{Tenant: "beta", Name: "ann", Grant: policy.As(policy.Viewer), Hash: "h3", Created: day}
		for _, u := range []account.User{ann, bob, other} {
			require.NoError(t, s.AddUser(ctx, u, "test"))
		}
		require.ErrorIs(t, s.AddUser(ctx, ann, "test"), fault.Exists)
		err := s.AddUser(ctx, account.User{Tenant: "nobody", Name: "ann", Hash: "h"}, "test")
		require.ErrorIs(t, err, fault.NotFound)
		require.Equal(t, `tenant "nobody" does not exist`, fault.Of(err).Message())

		got, err := s.User(ctx, "beta", "ann")
		require.NoError(t, err)
		require.Equal(t, other, got)
		_, err = s.User(ctx, "beta", "Bob")
		require.ErrorIs(t, err, fault.NotFound)
		_, err = s.User(ctx, "acme", "ANN")
		require.ErrorIs(t, err, fault.NotFound)
		all, err := s.Users(ctx, "acme")
		require.NoError(t, err)
		require.ElementsMatch(t, []account.User{bob, ann}, all)

		require.NoError(t, s.SetHash(ctx, ann, "h4"))
		require.NoError(t, s.SetHash(ctx, ann, "h5"), "the old hash is gone, so this changes nothing")
		got, err = s.User(ctx, "acme", "ann")
		require.NoError(t, err)
		require.Equal(t, "h4", got.Hash)
	})
}

func TestOnlyOneFirstUser(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, replicas := t.Context(), []*store.Store{withTenants(t, url), open(t, url), open(t, url)}
		has, err := replicas[0].HasUsers(ctx, "acme")
		require.NoError(t, err)
		require.False(t, has)
		var mu sync.Mutex
		var wg sync.WaitGroup
		made := 0
		for _, s := range replicas {
			wg.Go(func() {
				added, err := s.AddFirstUser(ctx, account.User{Tenant: "acme", Name: "admin", Hash: "h", Created: day}, "test")
				if err != nil {
					t.Errorf("add first user: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				if added {
					made++
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, made)
		has, err = replicas[0].HasUsers(ctx, "acme")
		require.NoError(t, err)
		require.True(t, has)
		has, err = replicas[0].HasUsers(ctx, "beta")
		require.NoError(t, err)
		require.False(t, has)
	})
}

func TestAPIKeys(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, s := t.Context(), withTenants(t, url)
		old := account.Key{ID: "k1", Tenant: "acme", Name: "ci", Grant: policy.Grant{Role: policy.Ingest, Only: policy.OnlyOf(policy.SpansWrite)}, Hash: []byte{0, 1, 255}, Created: day}
		young := account.Key{ID: "k2", Tenant: "acme", Name: "ci", Grant: policy.As(policy.Admin), Hash: []byte{2}, Created: day.Add(1000), Expires: day.Add(time.Hour)}
		other := account.Key{ID: "k3", Tenant: "beta", Name: "ci", Grant: policy.As(policy.Ingest), Hash: []byte{3}, Created: day}
		for _, k := range []account.Key{old, young, other} {
			require.NoError(t, s.AddKey(ctx, k))
		}
		require.ErrorIs(t, s.AddKey(ctx, old), fault.Exists)
		require.ErrorIs(t, s.AddKey(ctx, account.Key{ID: "k4", Tenant: "nobody", Hash: []byte{1}}), fault.NotFound)

		got, err := s.Key(ctx, "k2")
		require.NoError(t, err)
		require.Equal(t, young, got)
		_, err = s.Key(ctx, "k9")
		require.ErrorIs(t, err, fault.NotFound)
		all, err := s.Keys(ctx, "acme")
		require.NoError(t, err)
		require.Equal(t, []account.Key{young, old}, all)

		require.ErrorIs(t, s.RevokeKey(ctx, "beta", "k1", day), fault.NotFound, "not beta's")
		require.NoError(t, s.RevokeKey(ctx, "acme", "k1", day.Add(time.Minute)))
		require.NoError(t, s.RevokeKey(ctx, "acme", "k1", day.Add(time.Hour)))
		got, err = s.Key(ctx, "k1")
		require.NoError(t, err)
		require.Equal(t, day.Add(time.Minute), got.Revoked)
		all, err = s.Keys(ctx, "acme")
		require.NoError(t, err)
		require.Equal(t, []account.Key{young}, all)
	})
}

func TestReplicasShareOneSigningKey(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, secret := t.Context(), secrets(t, "s")
		replicas := []*store.Store{open(t, url), open(t, url), open(t, url)}
		sets := make([]string, len(replicas))
		var wg sync.WaitGroup
		for i, s := range replicas {
			wg.Go(func() {
				ring, err := token.Load(ctx, s, secret, token.Rotation{})
				if err != nil {
					t.Errorf("load: %v", err)
					return
				}
				sets[i] = ring.JWKS()
			})
		}
		wg.Wait()
		require.NotEmpty(t, sets[0])
		require.Equal(t, sets[0], sets[1])
		require.Equal(t, sets[0], sets[2])
	})
}
