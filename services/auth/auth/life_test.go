package auth_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/identity/authcheck"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/auth"
)

// gate checks credentials as a gateway does that hears what is revoked.
func (r *running) gate() *authcheck.Checker {
	r.t.Helper()
	c, err := authcheck.New(r.connect(signer(r.t, meshSecret).Credentials("auth")), "gateway", "")
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	require.Eventually(r.t, func() bool { return c.Ready(r.t.Context()) == nil }, 10*time.Second, 5*time.Millisecond)
	return c
}

// within is how soon everybody has to know what was revoked.
const within = 5 * time.Second

// requireRevoked waits until every gate refuses, which must be soon.
func requireRevoked(t *testing.T, gates []*authcheck.Checker, authorization, reason string) {
	t.Helper()
	begun := time.Now()
	for _, gate := range gates {
		require.Eventually(t, func() bool {
			_, err := gate.Authenticate(t.Context(), authorization, "")
			return err != nil && fault.Of(err).Reason() == reason
		}, within-time.Since(begun), 5*time.Millisecond, reason)
	}
}

func requireGood(t *testing.T, gates []*authcheck.Checker, authorization string) {
	t.Helper()
	for _, gate := range gates {
		_, err := gate.Authenticate(t.Context(), authorization, "")
		require.NoError(t, err)
	}
}

// What becomes of an account, over two replicas of auth and two gateways.
func TestAccountsLiveAndEnd(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		first, second := start(t, url, config()), start(t, url, config())
		client, other := first.gateway(), second.gateway()
		gates := []*authcheck.Checker{first.gate(), second.gate()}
		boss := as(t, meshAdmin)
		_, err := client.CreateTenant(boss, &authv1.CreateTenantRequest{Name: "acme"})
		require.NoError(t, err)
		_, err = client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: "acme", Username: "bob", Password: "a fine password", Role: "editor"})
		require.NoError(t, err)
		login := func(password string) (*authv1.LoginResponse, error) {
			return client.Login(t.Context(), &authv1.LoginRequest{Tenant: "acme", Username: "bob", Password: password})
		}
		must := func(l *authv1.LoginResponse, err error) string {
			t.Helper()
			require.NoError(t, err)
			return "Bearer " + l.GetToken()
		}

		// Refresh, on another replica; and logout, which ends that session only.
		begun, err := login("a fine password")
		require.NoError(t, err)
		next, err := other.RefreshToken(t.Context(), &authv1.RefreshTokenRequest{RefreshToken: begun.GetRefreshToken()})
		require.NoError(t, err)
		one, two := "Bearer "+next.GetToken(), must(login("a fine password"))
		requireGood(t, gates, one)
		requireGood(t, gates, two)
		_, err = other.Logout(t.Context(), &authv1.LogoutRequest{RefreshToken: next.GetRefreshToken()})
		require.NoError(t, err)
		requireRevoked(t, gates, one, identity.ReasonRevoked)
		requireGood(t, gates, two)
		_, err = client.RefreshToken(t.Context(), &authv1.RefreshTokenRequest{RefreshToken: next.GetRefreshToken()})
		requireCode(t, err, "SESSION_ENDED")

		// A password changed by its owner ends the other sessions.
		changed, err := client.ChangePassword(t.Context(), &authv1.ChangePasswordRequest{
			Tenant: "acme", Username: "bob", Password: "a fine password", NewPassword: "a finer password"})
		require.NoError(t, err)
		requireRevoked(t, gates, two, identity.ReasonRevoked)
		requireGood(t, gates, "Bearer "+changed.GetLogin().GetToken())
		_, err = login("a fine password")
		requireCode(t, err, "LOGIN_REFUSED")
		_, err = client.ChangePassword(t.Context(), &authv1.ChangePasswordRequest{
			Tenant: "acme", Username: "bob", Password: "a finer password", NewPassword: "password1"})
		requireCode(t, err, "PASSWORD_WEAK")

		// Reset: the password that comes of it is good for choosing another.
		reset, err := client.ResetPassword(as(t, acmeAdmin), &authv1.ResetPasswordRequest{Username: "bob"})
		require.NoError(t, err)
		requireRevoked(t, gates, "Bearer "+changed.GetLogin().GetToken(), identity.ReasonRevoked)
		_, err = login(reset.GetPassword())
		requireCode(t, err, "PASSWORD_CHANGE_REQUIRED")
		changed, err = other.ChangePassword(t.Context(), &authv1.ChangePasswordRequest{
			Tenant: "acme", Username: "bob", Password: reset.GetPassword(), NewPassword: "yet another one"})
		require.NoError(t, err)
		requireGood(t, gates, "Bearer "+changed.GetLogin().GetToken())

		// Disabled and enabled.
		_, err = client.SetUserDisabled(as(t, acmeAdmin), &authv1.SetUserDisabledRequest{Username: "bob", Disabled: true})
		require.NoError(t, err)
		requireRevoked(t, gates, "Bearer "+changed.GetLogin().GetToken(), identity.ReasonRevoked)
		_, err = login("yet another one")
		requireCode(t, err, "ACCOUNT_DISABLED")
		_, err = client.SetUserDisabled(as(t, acmeAdmin), &authv1.SetUserDisabledRequest{Username: "bob"})
		require.NoError(t, err)
		again := must(login("yet another one"))
		requireGood(t, gates, again)

		// A disabled tenant has no good token and no good key; an enabled one has its
		// keys again.
		key, err := client.CreateAPIKey(as(t, acmeAdmin), &authv1.CreateAPIKeyRequest{Name: "ci"})
		require.NoError(t, err)
		requireGood(t, gates, "Bearer "+key.GetKey())
		_, err = client.SetTenantDisabled(boss, &authv1.SetTenantDisabledRequest{Name: "acme", Disabled: true})
		require.NoError(t, err)
		requireRevoked(t, gates, again, identity.ReasonRevoked)
		requireRevoked(t, gates, "Bearer "+key.GetKey(), identity.ReasonAPIKeyRefused)
		_, err = client.SetTenantDisabled(boss, &authv1.SetTenantDisabledRequest{Name: "acme"})
		require.NoError(t, err)
		for _, gate := range gates {
			require.Eventually(t, func() bool {
				_, err := gate.Authenticate(t.Context(), "", key.GetKey())
				return err == nil
			}, 10*time.Second, 10*time.Millisecond)
		}
		_, err = client.DeleteUser(as(t, acmeAdmin), &authv1.DeleteUserRequest{Username: "bob"})
		require.NoError(t, err)
		_, err = login("yet another one")
		requireCode(t, err, "LOGIN_REFUSED")
		_, err = client.DeleteTenant(boss, &authv1.DeleteTenantRequest{Name: "acme"})
		require.NoError(t, err)
		requireRevoked(t, gates, "Bearer "+key.GetKey(), identity.ReasonAPIKeyRefused)
		_, err = client.CreateTenant(boss, &authv1.CreateTenantRequest{Name: "acme"})
		requireCode(t, err, "TENANT_EXISTS")
	})
}

func TestWhoMayChangeWhom(t *testing.T) {
	client := start(t, sqltest.SQLite(t), config()).gateway()
	_, err := client.CreateTenant(as(t, meshAdmin), &authv1.CreateTenantRequest{Name: "acme"})
	require.NoError(t, err)
	for _, name := range []string{"ann", "amy"} {
		_, err = client.CreateUser(as(t, meshAdmin), &authv1.CreateUserRequest{Tenant: "acme", Username: name, Password: "a fine password", Role: "admin"})
		require.NoError(t, err)
	}
	only, err := policy.ParseOnly([]string{"users.write", "keys.write"})
	require.NoError(t, err)
	clerk := identity.Identity{Tenant: "acme", Subject: "k", Kind: identity.Key, Grant: policy.Grant{Role: policy.Admin, Only: only}}
	reset := func(by identity.Identity, tenant, name string) error {
		_, err := client.ResetPassword(as(t, by), &authv1.ResetPasswordRequest{Tenant: tenant, Username: name})
		return err
	}
	require.NoError(t, reset(acmeAdmin, "", "amy"))
	requireCode(t, reset(acmeAdmin, "", "ann"), "OWN_ACCOUNT")
	requireCode(t, reset(clerk, "", "amy"), "NOT_ALLOWED")
	requireCode(t, reset(acmeAdmin, "driftmesh", "admin"), "NOT_ALLOWED")
	requireCode(t, reset(acmeAdmin, "", "nobody"), "USER_MISSING")
	key, err := client.CreateAPIKey(as(t, acmeAdmin), &authv1.CreateAPIKeyRequest{Name: "all", Role: "admin"})
	require.NoError(t, err)
	_, err = client.RotateAPIKey(as(t, clerk), &authv1.RotateAPIKeyRequest{Id: key.GetApiKey().GetId()})
	requireCode(t, err, "NOT_ALLOWED")
	_, err = client.RotateAPIKey(as(t, betaAdmin), &authv1.RotateAPIKeyRequest{Id: key.GetApiKey().GetId()})
	requireCode(t, err, "API_KEY_MISSING")
	for _, name := range []string{identity.DefaultTenant, identity.MeshTenant} {
		_, err = client.DeleteTenant(as(t, meshAdmin), &authv1.DeleteTenantRequest{Name: name})
		requireCode(t, err, "TENANT_PERMANENT")
	}
}

// What a user may do changes at once; nobody gives more than it has, nor changes who may
// do more, or itself.
func TestRolesOfUsersChange(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		r := start(t, url, config())
		client, gates := r.gateway(), []*authcheck.Checker{r.gate()}
		boss := as(t, meshAdmin)
		_, err := client.CreateTenant(boss, &authv1.CreateTenantRequest{Name: "acme"})
		require.NoError(t, err)
		for name, role := range map[string]string{"bob": "editor", "ann": "admin", "amy": "admin"} {
			_, err = client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: "acme", Username: name, Password: "a fine password", Role: role})
			require.NoError(t, err)
		}
		_, err = client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: "acme", Username: "robot", ServiceAccount: true})
		require.NoError(t, err)
		login := func() *authv1.LoginResponse {
			got, err := client.Login(t.Context(), &authv1.LoginRequest{Tenant: "acme", Username: "bob", Password: "a fine password"})
			require.NoError(t, err)
			return got
		}
		before := login()
		requireGood(t, gates, "Bearer "+before.GetToken())
		set := func(by identity.Identity, name, role string, spaces ...string) error {
			_, err := client.SetUserRole(as(t, by), &authv1.SetUserRoleRequest{Tenant: "acme", Username: name, Role: role, Spaces: spaces})
			return err
		}
		require.NoError(t, set(acmeAdmin, "bob", "viewer", "fraud"))
		requireRevoked(t, gates, "Bearer "+before.GetToken(), identity.ReasonRevoked)
		_, err = client.RefreshToken(t.Context(), &authv1.RefreshTokenRequest{RefreshToken: before.GetRefreshToken()})
		requireCode(t, err, "SESSION_ENDED")
		id, err := gates[0].Authenticate(t.Context(), "Bearer "+login().GetToken(), "")
		require.NoError(t, err)
		require.Equal(t, policy.Grant{Role: policy.Viewer, Spaces: "fraud"}, id.Grant)

		operator := identity.Identity{Tenant: "acme", Subject: "op", Kind: identity.User, Grant: policy.As(policy.Operator)}
		only, err := policy.ParseOnly([]string{"users.write", "traces.read"})
		require.NoError(t, err)
		clerk := identity.Identity{Tenant: "acme", Subject: "k", Kind: identity.Key, Grant: policy.Grant{Role: policy.Admin, Only: only}}
		requireCode(t, set(operator, "bob", "viewer"), identity.ReasonDenied)
		requireCode(t, set(betaAdmin, "bob", "viewer"), identity.ReasonDenied)
		requireCode(t, set(clerk, "bob", "admin"), identity.ReasonDenied)
		requireCode(t, set(clerk, "amy", "viewer"), identity.ReasonDenied)
		requireCode(t, set(acmeAdmin, "ann", "viewer"), "OWN_ACCOUNT")
		requireCode(t, set(acmeAdmin, "nobody", "viewer"), "USER_MISSING")
		requireCode(t, set(acmeAdmin, "bob", "service"), "ROLE_UNKNOWN")
		requireCode(t, set(acmeAdmin, "bob", ""), "FIELD_INVALID")
		requireCode(t, set(acmeAdmin, "robot", "viewer"), "ROLE_BY_KEYS")
		id, err = gates[0].Authenticate(t.Context(), "Bearer "+login().GetToken(), "")
		require.NoError(t, err)
		require.Equal(t, policy.Grant{Role: policy.Viewer, Spaces: "fraud"}, id.Grant)
	})
}

func TestServiceAccountsHaveKeysAlone(t *testing.T) {
	r := start(t, sqltest.SQLite(t), config())
	client, gates := r.gateway(), []*authcheck.Checker{r.gate()}
	boss := as(t, meshAdmin)
	_, err := client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: "default", Username: "robot", ServiceAccount: true, Password: "a fine password"})
	require.ErrorIs(t, err, fault.Invalid)
	made, err := client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: "default", Username: "robot", ServiceAccount: true})
	require.NoError(t, err)
	require.True(t, made.GetUser().GetServiceAccount())
	_, err = client.Login(t.Context(), &authv1.LoginRequest{Username: "robot", Password: "a fine password"})
	requireCode(t, err, "LOGIN_REFUSED")
	_, err = client.ResetPassword(boss, &authv1.ResetPasswordRequest{Tenant: "default", Username: "robot"})
	requireCode(t, err, "NO_PASSWORD")

	_, err = client.CreateAPIKey(boss, &authv1.CreateAPIKeyRequest{Name: "x", Tenant: "default", ServiceAccount: "nobody"})
	requireCode(t, err, "ACCOUNT_MISSING")
	key, err := client.CreateAPIKey(boss, &authv1.CreateAPIKeyRequest{Name: "x", Tenant: "default", ServiceAccount: "robot"})
	require.NoError(t, err)
	requireGood(t, gates, "Bearer "+key.GetKey())
	_, err = client.SetUserDisabled(boss, &authv1.SetUserDisabledRequest{Tenant: "default", Username: "robot", Disabled: true})
	require.NoError(t, err)
	requireRevoked(t, gates, "Bearer "+key.GetKey(), identity.ReasonAPIKeyRefused)
}

func TestKeysAreRotatedWithAnOverlap(t *testing.T) {
	r := start(t, sqltest.SQLite(t), config())
	client, gates := r.gateway(), []*authcheck.Checker{r.gate()}
	boss := as(t, meshAdmin)
	made, err := client.CreateAPIKey(boss, &authv1.CreateAPIKeyRequest{Name: "ci", Tenant: "default", Role: "viewer"})
	require.NoError(t, err)
	requireGood(t, gates, "Bearer "+made.GetKey())
	rotated, err := client.RotateAPIKey(boss, &authv1.RotateAPIKeyRequest{Id: made.GetApiKey().GetId(), Overlap: durationpb.New(2 * time.Second)})
	require.NoError(t, err)
	require.Equal(t, "viewer", rotated.GetApiKey().GetRole())
	require.Equal(t, "ci", rotated.GetApiKey().GetName())
	requireGood(t, gates, "Bearer "+rotated.GetKey())
	requireGood(t, gates, "Bearer "+made.GetKey())
	requireRevoked(t, gates, "Bearer "+made.GetKey(), identity.ReasonAPIKeyRefused)
	requireGood(t, gates, "Bearer "+rotated.GetKey())
	list, err := client.ListAPIKeys(boss, &authv1.ListAPIKeysRequest{})
	require.NoError(t, err)
	require.Empty(t, list.GetApiKeys(), "they are those of default")
}

// The last use of a key is written when the service stops, at the latest.
func TestTheLastUseOfAKeyIsNoted(t *testing.T) {
	url := sqltest.SQLite(t)
	r := start(t, url, config())
	made, err := r.gateway().CreateAPIKey(as(t, meshAdmin), &authv1.CreateAPIKeyRequest{Name: "ci", Role: "admin"})
	require.NoError(t, err)
	for range 10 {
		_, err = keyOwner(t, r.gateway(), made.GetKey())
		require.NoError(t, err)
	}
	r.stop()
	list, err := start(t, url, config()).gateway().ListAPIKeys(as(t, meshAdmin), &authv1.ListAPIKeysRequest{})
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), list.GetApiKeys()[0].GetLastUseTime().AsTime(), time.Minute)
}

// Signing keys take turns under load, and no request fails.
func TestSigningKeysRotateWithoutAFailure(t *testing.T) {
	cfg := config()
	cfg.SigningKeyLead = 3 * time.Second // gates hear of it within one
	r := start(t, sqltest.SQLite(t), cfg)
	client, gate := r.gateway(), r.gate()
	login := &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: adminPassword}
	before, err := client.Login(t.Context(), login)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	kids := map[string]bool{}
	wg.Go(func() {
		refresh := before.GetRefreshToken()
		for ctx.Err() == nil {
			next, err := client.RefreshToken(t.Context(), &authv1.RefreshTokenRequest{RefreshToken: refresh})
			if err != nil {
				t.Errorf("refresh: %v", err)
				return
			}
			refresh = next.GetRefreshToken()
			for _, token := range []string{next.GetToken(), before.GetToken()} {
				if _, err := gate.Authenticate(t.Context(), "Bearer "+token, ""); err != nil {
					t.Errorf("verify: %v", err)
					return
				}
			}
			head, _, _ := strings.Cut(next.GetToken(), ".")
			mu.Lock()
			kids[head] = true
			mu.Unlock()
		}
	})
	seen := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(kids)
	}
	for turn := range 2 {
		require.Eventually(t, func() bool { return seen() == turn+1 }, 20*time.Second, 5*time.Millisecond)
		_, err := client.RotateSigningKeys(as(t, meshAdmin), &authv1.RotateSigningKeysRequest{})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return seen() == 3 }, 20*time.Second, 5*time.Millisecond)
	stop()
	wg.Wait()
}

// from is a login that the gateway says comes from an address.
func from(ctx context.Context, address string) context.Context {
	return metadata.AppendToOutgoingContext(identity.With(ctx, gateway), identity.HeaderSource, address)
}

// An attacker neither keeps an owner out nor fills the queue: threads that guess,
// from one place or many, and the owner who logs in meanwhile.
func TestAttacksDoNotKeepOwnersOut(t *testing.T) {
	cfg := config()
	cfg.Hashing.MemoryKiB, cfg.Hashing.Passes = 4<<10, 3
	r := start(t, sqltest.SQLite(t), cfg)
	client := r.gateway()
	owner := &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: adminPassword}
	known, err := client.Login(from(t.Context(), "192.0.2.1"), owner)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			// The first half are one source that sprays names, the second half are many
			// sources that guess the owner's password.
			guess, source := &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: "wrong horse"}, "2001:db8:0:"+string(rune('0'+i%10))+"::1"
			if i < 32 {
				guess.Username, source = strings.Repeat("x", i+1), "198.51.100.1"
			}
			for ctx.Err() == nil {
				_, err := client.Login(from(ctx, source), guess)
				if err == nil {
					t.Error("a guess was right")
				}
			}
		})
	}
	owner.Device = known.GetDevice()
	for range 10 {
		bounded, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := client.Login(from(bounded, "203.0.113.7"), owner)
		cancel()
		require.NoError(t, err)
	}
	stop()
	wg.Wait()
}

// Somebody who calls past the gateway cannot choose a source.
func TestSourcesAreBelievedOfServicesOnly(t *testing.T) {
	client := start(t, sqltest.SQLite(t), config()).dial(nil)
	guess := &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: "wrong horse"}
	for i := range 5 {
		ctx := metadata.AppendToOutgoingContext(t.Context(), identity.HeaderSource, "192.0.2."+string(rune('1'+i)))
		_, err := client.Login(ctx, guess)
		requireCode(t, err, "LOGIN_REFUSED")
	}
	_, err := client.Login(metadata.AppendToOutgoingContext(t.Context(), identity.HeaderSource, "192.0.2.9"), guess)
	requireCode(t, err, "LOGIN_THROTTLED")
}

// The way back in of whoever has the machine.
func TestBreakGlass(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		r := start(t, url, config())
		client := r.gateway()
		before, err := client.Login(t.Context(), &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: adminPassword})
		require.NoError(t, err)
		gates := []*authcheck.Checker{r.gate()}
		requireGood(t, gates, "Bearer "+before.GetToken())
		password, ends, err := auth.BreakGlass(t.Context(), url, "driftmesh", "admin")
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(time.Hour), ends, time.Minute)
		requireRevoked(t, gates, "Bearer "+before.GetToken(), identity.ReasonRevoked)
		_, err = client.Login(t.Context(), &authv1.LoginRequest{Tenant: "driftmesh", Username: "admin", Password: password})
		requireCode(t, err, "PASSWORD_CHANGE_REQUIRED")
		_, err = client.ChangePassword(t.Context(), &authv1.ChangePasswordRequest{
			Tenant: "driftmesh", Username: "admin", Password: password, NewPassword: "a fine password"})
		require.NoError(t, err)
		_, _, err = auth.BreakGlass(t.Context(), url, "driftmesh", "nobody")
		requireCode(t, err, "USER_MISSING")
		_, err = client.DeleteUser(as(t, identity.Identity{Tenant: "driftmesh", Subject: "k", Kind: identity.Key, Grant: policy.As(policy.Admin)}),
			&authv1.DeleteUserRequest{Username: "admin"})
		require.NoError(t, err)
		password, _, err = auth.BreakGlass(t.Context(), url, "driftmesh", "admin")
		require.NoError(t, err)
		_, err = client.ChangePassword(t.Context(), &authv1.ChangePasswordRequest{
			Tenant: "driftmesh", Username: "admin", Password: password, NewPassword: "a finer password"})
		require.NoError(t, err, "the first administrator is made anew")
		done, err := auditv1.NewAuditServiceClient(r.connect(signer(t, meshSecret).Credentials("auth"))).
			ListEntries(as(t, meshAdmin), &auditv1.ListEntriesRequest{Action: "reset-password"})
		require.NoError(t, err)
		require.Len(t, done.GetEntries(), 3, "also the one that was of nobody")
		require.Equal(t, "username=admin", done.GetEntries()[0].GetObject())
		require.NotEmpty(t, done.GetEntries()[0].GetActor())
	})
}
