package auth_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/identity/authcheck"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// A client that logs in once and keeps nothing but its token goes on for as long as
// its user may: past the token's end, a restart, the end of the key that signed it;
// and no longer.
func TestStandingSessionsGoOnAndEnd(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		first := start(t, url, config())
		client, boss := first.gateway(), as(t, meshAdmin)
		ours := identity.With(t.Context(), gateway)
		_, err := client.CreateTenant(boss, &authv1.CreateTenantRequest{Name: "acme"})
		require.NoError(t, err)
		_, err = client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: "acme", Username: "bob", Password: "a fine password", Role: "editor"})
		require.NoError(t, err)
		in, err := client.LoginStanding(ours, &authv1.LoginStandingRequest{Tenant: "acme", Username: "bob", Password: "a fine password"})
		require.NoError(t, err)
		_, err = client.LoginStanding(ours, &authv1.LoginStandingRequest{Tenant: "acme", Username: "bob", Password: "another password"})
		requireCode(t, err, "LOGIN_REFUSED")
		// Only the gateway may ask.
		_, err = client.RenewToken(t.Context(), &authv1.RenewTokenRequest{Token: in.GetToken()})
		require.Error(t, err)
		_, err = client.LoginStanding(boss, &authv1.LoginStandingRequest{Tenant: "acme", Username: "bob", Password: "a fine password"})
		require.Error(t, err)
		first.stop()

		// As after a month: the keys that signed are gone.
		state, err := sqlstate.Open(t.Context(), url, "auth")
		require.NoError(t, err)
		_, err = state.Exec(t.Context(), `DELETE FROM signing_keys`)
		require.NoError(t, err)
		require.NoError(t, state.Close())
		second := start(t, url, config())
		client = second.gateway()
		gates := []*authcheck.Checker{second.gate()}
		next, err := client.RenewToken(ours, &authv1.RenewTokenRequest{Token: in.GetToken()})
		require.NoError(t, err)
		requireGood(t, gates, "Bearer "+next.GetToken())

		// What is changed in a token is no token, and what an ordinary login gave is none
		// of these.
		_, err = client.RenewToken(ours, &authv1.RenewTokenRequest{Token: forged(t, next.GetToken())})
		requireCode(t, err, "TOKEN_NOT_RENEWABLE")
		ordinary, err := client.Login(t.Context(), &authv1.LoginRequest{Tenant: "acme", Username: "bob", Password: "a fine password"})
		require.NoError(t, err)
		_, err = client.RenewToken(ours, &authv1.RenewTokenRequest{Token: ordinary.GetToken()})
		requireCode(t, err, "TOKEN_NOT_RENEWABLE")
		for _, text := range []string{"", "a.b.c", strings.Repeat("x", 1<<14)} {
			_, err = client.RenewToken(ours, &authv1.RenewTokenRequest{Token: text})
			requireCode(t, err, "TOKEN_NOT_RENEWABLE")
		}

		// A role that was changed ends it; a user who is disabled does not come back.
		_, err = client.SetUserRole(boss, &authv1.SetUserRoleRequest{Tenant: "acme", Username: "bob", Role: "viewer"})
		require.NoError(t, err)
		requireRevoked(t, gates, "Bearer "+next.GetToken(), identity.ReasonRevoked)
		_, err = client.RenewToken(ours, &authv1.RenewTokenRequest{Token: next.GetToken()})
		requireCode(t, err, "SESSION_ENDED")
		again, err := client.LoginStanding(ours, &authv1.LoginStandingRequest{Tenant: "acme", Username: "bob", Password: "a fine password"})
		require.NoError(t, err)
		_, err = client.SetUserDisabled(as(t, acmeAdmin), &authv1.SetUserDisabledRequest{Username: "bob", Disabled: true})
		require.NoError(t, err)
		_, err = client.RenewToken(ours, &authv1.RenewTokenRequest{Token: again.GetToken()})
		requireCode(t, err, "SESSION_ENDED")
		_, err = client.LoginStanding(ours, &authv1.LoginStandingRequest{Tenant: "acme", Username: "bob", Password: "a fine password"})
		requireCode(t, err, "ACCOUNT_DISABLED")
	})
}

// forged is the token of another user, as somebody makes it who knows one of its own.
func forged(t *testing.T, text string) string {
	t.Helper()
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(text, claims)
	require.NoError(t, err)
	claims["sub"] = "ann"
	made, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("mine"))
	require.NoError(t, err)
	return made
}

// Twenty that log in at the same moment, with the hash that production has, are all
// let in at once; there is one session, and one hash.
func TestManyLoginsAtOnceCostOneHash(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		cfg := config()
		cfg.Hashing.MemoryKiB, cfg.Hashing.Passes = 64<<10, 3
		r := start(t, url, cfg)
		client := r.gateway()
		const many = 20
		login := func() error {
			_, err := client.LoginStanding(identity.With(context.WithoutCancel(t.Context()), gateway),
				&authv1.LoginStandingRequest{Tenant: identity.MeshTenant, Username: "admin", Password: adminPassword})
			return err
		}
		var all sync.WaitGroup
		errs := make([]error, many)
		for i := range many {
			all.Go(func() { errs[i] = login() })
		}
		all.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		state, err := sqlstate.Open(t.Context(), url, "auth")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, state.Close()) })
		var sessions int
		require.NoError(t, state.QueryRow(t.Context(), `SELECT COUNT(*) FROM sessions WHERE standing = ?`, true).Scan(&sessions))
		require.LessOrEqual(t, sessions, many)
		if strings.HasPrefix(url, "sqlite:") {
			require.Equal(t, 1, sessions)
		}
		begun := time.Now()
		for range many {
			require.NoError(t, login())
		}
		t.Logf("%d logins after the first took %v", many, time.Since(begun))
	})
}

// The accounts that everybody knows are there where the operator says so, and can do
// no more than an editor.
func TestWellKnownAccounts(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ours := identity.With(t.Context(), gateway)
		guest := &authv1.LoginStandingRequest{Username: "guest", Password: "guest"}
		closed := start(t, url, config())
		_, err := closed.gateway().LoginStanding(ours, guest)
		require.Error(t, err)
		closed.stop()
		cfg := config()
		cfg.ScouterAccounts = true
		client := start(t, url, cfg).gateway()
		for _, name := range []string{"guest", "admin"} {
			in, err := client.LoginStanding(ours, &authv1.LoginStandingRequest{Username: name, Password: name})
			require.NoError(t, err)
			id, err := verifier(client).Verify(t.Context(), in.GetToken())
			require.NoError(t, err)
			require.Equal(t, identity.Identity{Tenant: identity.DefaultTenant, Subject: name, Kind: identity.User, Grant: policy.As(policy.Editor)}, id)
			_, err = client.Login(t.Context(), &authv1.LoginRequest{Username: name, Password: name})
			require.Error(t, err, "they are for clients of Scouter's alone")
			_, err = client.LoginStanding(ours, &authv1.LoginStandingRequest{Tenant: identity.MeshTenant, Username: name, Password: name})
			require.Error(t, err)
		}
		// Somebody's own account of such a name has its own password.
		boss := as(t, meshAdmin)
		_, err = client.DeleteUser(boss, &authv1.DeleteUserRequest{Tenant: identity.DefaultTenant, Username: "guest"})
		require.NoError(t, err)
		_, err = client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: identity.DefaultTenant, Username: "guest", Password: "a fine password"})
		require.NoError(t, err)
		_, err = client.LoginStanding(ours, guest)
		require.Error(t, err)
		_, err = client.LoginStanding(ours, &authv1.LoginStandingRequest{Username: "guest", Password: "a fine password"})
		require.NoError(t, err)
	})
}
