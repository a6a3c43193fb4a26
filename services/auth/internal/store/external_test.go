package store_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

func visitor(issuer, subject string) account.User {
	return account.User{
		Tenant: "acme", Name: account.ExternalName("corp", subject), Grant: policy.As(policy.Viewer), Issuer: issuer, Subject: subject, Created: day,
	}
}

// Whoever comes from a provider is a user of its own, whatever others are called, also
// when several come at once; names are such as users have.
func TestWhoArrivesIsNobodyElse(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		s := withTenants(t, url)
		// Made before there were users of providers: today the name is refused.
		local := account.User{Tenant: "acme", Name: "oidc:corp:ann", Hash: "her hash", Grant: policy.As(policy.Admin), Created: day}
		require.NoError(t, s.AddUser(t.Context(), local, "test"))
		arrive := func(issuer, subject string) account.User {
			t.Helper()
			u, err := s.Arrive(t.Context(), visitor(issuer, subject), account.ExternalNameAt("corp", issuer, subject))
			require.NoError(t, err)
			again, err := s.Arrive(t.Context(), visitor(issuer, subject), account.ExternalNameAt("corp", issuer, subject))
			require.NoError(t, err)
			require.Equal(t, u, again)
			require.NoError(t, account.CheckUsername(u.Name))
			require.Equal(t, issuer+" "+subject, u.Issuer+" "+u.Subject)
			return u
		}
		ann := arrive("https://one", "ann")
		require.NotEqual(t, local.Name, ann.Name)
		require.EqualValues(t, "viewer", ann.Grant.Role)
		kept, err := s.User(t.Context(), "acme", local.Name)
		require.NoError(t, err)
		require.Equal(t, local.Hash+"admin", kept.Hash+string(kept.Grant.Role), "untouched")
		require.Equal(t, "oidc:corp:bob", arrive("https://one", "bob").Name)
		names := map[string]bool{}
		for _, u := range []account.User{
			arrive("https://two", "bob"), arrive("https://one", strings.Repeat("x", 255)), arrive("https://one", strings.Repeat("x", 254)),
			arrive("https://one", "a\nb"), arrive("https://one", "a b"), arrive("https://one", " a"), arrive("https://one", "a\x1b[2J"),
		} {
			require.False(t, names[u.Name], u.Name)
			names[u.Name] = true
		}

		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, err := s.Arrive(t.Context(), visitor("https://one", "zoe"), account.ExternalNameAt("corp", "https://one", "zoe"))
				if !fair(err) {
					t.Errorf("%v", err)
				}
			})
		}
		all.Wait()
		users, err := s.Users(t.Context(), "acme")
		require.NoError(t, err)
		found := 0
		for _, u := range users {
			if u.Subject == "zoe" {
				found++
			}
		}
		require.Equal(t, 1, found)
		_, err = s.Arrive(t.Context(), func() account.User { u := visitor("https://one", "bob"); u.Tenant = "nowhere"; return u }(), "x")
		require.ErrorIs(t, err, fault.NotFound)
	})
}

// fair reports whether one of several at once may end so: it won, or lost too often.
func fair(err error) bool { return err == nil || fault.KindOf(err) == fault.Conflict }

// A login is finished once, and remembered no longer than it could be.
func TestALoginIsFinishedOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		s := withTenants(t, url)
		require.NoError(t, s.FinishLogin(t.Context(), "a", time.Now().Add(time.Minute)))
		require.ErrorIs(t, s.FinishLogin(t.Context(), "a", time.Now().Add(time.Minute)), fault.Exists)
		require.NoError(t, s.FinishLogin(t.Context(), "b", time.Now().Add(-time.Minute)))
		require.NoError(t, s.FinishLogin(t.Context(), "c", time.Now().Add(time.Minute)))
		require.NoError(t, s.FinishLogin(t.Context(), "b", time.Now().Add(time.Minute)), "forgotten")
	})
}

// A session is not opened with what somebody could do when its password was checked and
// cannot any more.
func TestNoSessionWithAnOldRole(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		s, _ := withUsers(t, url)
		bob, err := s.User(t.Context(), "acme", "bob")
		require.NoError(t, err)
		_, err = s.SetGrant(t.Context(), "acme", "bob", policy.As(policy.Viewer))
		require.NoError(t, err)
		id := token.NewSession()
		_, hash := token.NewRefresh(id)
		err = s.OpenSession(t.Context(), bob, account.Session{ID: id, Tenant: "acme", User: "bob", Created: day, Ends: day.Add(time.Hour)}, hash)
		require.Equal(t, "ACCOUNT_CHANGED", fault.Of(err).Reason())
	})
}
