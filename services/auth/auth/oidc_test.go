package auth_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/credentials"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/identity/authcheck"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/auth"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc/oidctest"
)

const callback = "http://127.0.0.1:4711/callback"

// atCorp are settings whose users also come from a provider.
func atCorp(issuer string) auth.Config {
	rule := func(group, tenant, role string) oidc.Rule {
		return oidc.Rule{Condition: oidc.Condition{Claim: "groups", Value: group}, Tenant: tenant, Role: role}
	}
	root := rule("mesh-admins", "driftmesh", "admin")
	root.MeshAdmin = true
	cfg := config()
	cfg.OIDC = settings.Tree[oidc.Configs]{Value: oidc.Configs{"corp": {
		Issuer: issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, Audiences: []string{"workloads"},
		Rules: []oidc.Rule{
			rule("modellers", "acme", "editor"), rule("on-call", "acme", "operator"), rule("beta", "beta", "viewer"),
			rule("ghosts", "nowhere", "viewer"), root,
		},
	}}}
	return cfg
}

// withCorp is an auth with a provider, and the tenants acme and beta.
func withCorp(t *testing.T, url string) (*running, *oidctest.Provider) {
	t.Helper()
	fake := oidctest.Start(t)
	r := start(t, url, atCorp(fake.Issuer))
	for _, name := range []string{"acme", "beta"} {
		_, err := r.gateway().CreateTenant(as(t, meshAdmin), &authv1.CreateTenantRequest{Name: name})
		require.NoError(t, err)
	}
	return r, fake
}

// visit logs in at the provider. The source is another each time: who attacks is not
// held off here.
func (r *running) visit(t *testing.T, fake *oidctest.Provider) (*authv1.FinishLoginResponse, error) {
	t.Helper()
	client := r.gateway()
	begun, err := client.StartLogin(t.Context(), &authv1.StartLoginRequest{RedirectUri: callback, ReturnTo: "/x"})
	require.NoError(t, err)
	code, state := fake.Login(begun.GetUrl())
	require.Equal(t, begun.GetState(), state)
	return client.FinishLogin(from(t.Context(), anywhere()), &authv1.FinishLoginRequest{Login: begun.GetLogin(), State: state, Code: code})
}

// exchange exchanges a token.
func (r *running) exchange(t *testing.T, token string) (*authv1.ExchangeTokenResponse, error) {
	t.Helper()
	return r.gateway().ExchangeToken(from(t.Context(), anywhere()), &authv1.ExchangeTokenRequest{SubjectToken: token})
}

func anywhere() string {
	var raw [3]byte
	_, _ = rand.Read(raw[:])
	return fmt.Sprintf("10.%d.%d.%d", raw[0], raw[1], raw[2])
}

func bearer(token string) string { return "Bearer " + token }

// What becomes of somebody whom a provider vouches for: it logs in, is another with
// another group, elsewhere with a third, and nobody without any; what it had before ends
// each time. It never is whoever has its name here.
func TestAUserOfAProvider(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		r, fake := withCorp(t, url)
		client, boss := r.gateway(), as(t, meshAdmin)
		gates := []*authcheck.Checker{r.gate()}
		for _, name := range []string{"ann", "oidc"} {
			_, err := client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: "acme", Username: name, Password: "a fine password", Role: "admin"})
			require.NoError(t, err)
		}
		_, err := client.CreateUser(boss, &authv1.CreateUserRequest{Tenant: "acme", Username: "oidc:corp:zoe", Password: "a fine password"})
		require.ErrorContains(t, err, "must not begin with oidc:")

		became := func(groups ...string) (*authv1.FinishLoginResponse, identity.Identity) {
			t.Helper()
			fake.Claims = func(c map[string]any) { c["groups"] = groups }
			in, err := r.visit(t, fake)
			require.NoError(t, err)
			id, err := gates[0].Authenticate(t.Context(), bearer(in.GetLogin().GetToken()), "")
			require.NoError(t, err)
			require.Equal(t, "oidc:corp:ann", id.Subject)
			require.Equal(t, id.Tenant, in.GetTenant())
			return in, id
		}
		first, id := became("modellers")
		require.Equal(t, "acme", id.Tenant)
		require.EqualValues(t, "editor", id.Role)
		require.Equal(t, "/x", first.GetReturnTo())
		require.WithinDuration(t, time.Now().Add(12*time.Hour), first.GetLogin().GetSessionExpireTime().AsTime(), time.Minute, "a day's work, not the 24 h of others")
		second, _ := became("modellers")
		requireGood(t, gates, bearer(first.GetLogin().GetToken()))

		users, err := client.ListUsers(as(t, acmeAdmin), &authv1.ListUsersRequest{})
		require.NoError(t, err)
		require.Len(t, users.GetUsers(), 3)
		require.Equal(t, fake.Issuer, users.GetUsers()[2].GetIssuer())
		require.Equal(t, "ann", users.GetUsers()[2].GetSubject())
		require.Empty(t, users.GetUsers()[0].GetIssuer())

		third, id := became("on-call")
		require.EqualValues(t, "operator", id.Role)
		requireRevoked(t, gates, bearer(first.GetLogin().GetToken()), identity.ReasonRevoked)
		_, err = client.RefreshToken(t.Context(), &authv1.RefreshTokenRequest{RefreshToken: second.GetLogin().GetRefreshToken()})
		require.Error(t, err)
		_, id = became("beta")
		require.Equal(t, "beta", id.Tenant)
		requireRevoked(t, gates, bearer(third.GetLogin().GetToken()), identity.ReasonRevoked)
		fourth, _ := became("beta")
		fake.Claims = func(c map[string]any) { delete(c, "groups") }
		_, err = r.visit(t, fake)
		requireCode(t, err, "NO_RULE")
		require.Contains(t, fault.Of(err).Message(), `corp knows you as "ann", but no rule here gives you a place`)
		requireRevoked(t, gates, bearer(fourth.GetLogin().GetToken()), identity.ReasonRevoked)
		fake.Claims = func(c map[string]any) { c["groups"] = "ghosts" }
		_, err = r.visit(t, fake)
		requireCode(t, err, "TENANT_MISSING")

		// It has no password, and no role but that of the rules.
		_, err = client.Login(t.Context(), &authv1.LoginRequest{Tenant: "acme", Username: "oidc:corp:ann", Password: "a fine password"})
		requireCode(t, err, "LOGIN_REFUSED")
		_, err = client.ResetPassword(boss, &authv1.ResetPasswordRequest{Tenant: "acme", Username: "oidc:corp:ann"})
		requireCode(t, err, "NO_PASSWORD")
		_, err = client.SetUserRole(boss, &authv1.SetUserRoleRequest{Tenant: "acme", Username: "oidc:corp:ann", Role: "admin"})
		requireCode(t, err, "ROLE_BY_RULES")

		fifth, _ := became("modellers")
		_, err = client.SetUserDisabled(boss, &authv1.SetUserDisabledRequest{Tenant: "acme", Username: "oidc:corp:ann", Disabled: true})
		require.NoError(t, err)
		requireRevoked(t, gates, bearer(fifth.GetLogin().GetToken()), identity.ReasonRevoked)
		_, err = r.visit(t, fake)
		requireCode(t, err, "ACCOUNT_DISABLED")
		_, err = r.exchange(t, fake.Token(fake.Good("workloads")))
		requireCode(t, err, "ACCOUNT_DISABLED")
	})
}

// What a workload's token lacks, or has more, says nothing of the person of the same name:
// its session and role stay. It gets what its token says.
func TestAWorkloadOfAPersonsName(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	gates := []*authcheck.Checker{r.gate()}
	in, err := r.visit(t, fake)
	require.NoError(t, err)
	said := func(groups any) string {
		c := fake.Good("workloads")
		c["groups"] = groups
		return fake.Token(c)
	}
	_, err = r.exchange(t, said(nil))
	requireCode(t, err, "NO_RULE")
	var tokens []string
	for _, row := range []struct{ group, tenant, role string }{{"on-call", "acme", "operator"}, {"beta", "beta", "viewer"}, {"modellers", "acme", "editor"}} {
		got, err := r.exchange(t, said(row.group))
		require.NoError(t, err)
		id, err := gates[0].Authenticate(t.Context(), bearer(got.GetAccessToken()), "")
		require.NoError(t, err)
		require.Equal(t, row.tenant+"/"+row.role, id.Tenant+"/"+string(id.Role))
		tokens = append(tokens, got.GetAccessToken())
	}
	next, err := r.gateway().RefreshToken(t.Context(), &authv1.RefreshTokenRequest{RefreshToken: in.GetLogin().GetRefreshToken()})
	require.NoError(t, err)
	for _, token := range append(tokens, in.GetLogin().GetToken(), next.GetToken()) {
		requireGood(t, gates, bearer(token))
	}
	id, err := gates[0].Authenticate(t.Context(), bearer(next.GetToken()), "")
	require.NoError(t, err)
	require.EqualValues(t, "editor", id.Role)

	// A provider that the settings name no more lets nobody stay.
	without := start(t, r.url, config()).gateway()
	_, err = without.RefreshToken(t.Context(), &authv1.RefreshTokenRequest{RefreshToken: next.GetRefreshToken()})
	requireCode(t, err, "PROVIDER_UNKNOWN")
}

// A device is logged in once somebody approved it; who polls in haste is held off before
// the provider is.
func TestDevices(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	client := r.gateway()
	begun, err := client.StartDeviceLogin(t.Context(), &authv1.StartDeviceLoginRequest{})
	require.NoError(t, err)
	require.Equal(t, "ABCD", begun.GetUserCode())
	poll := func() (*authv1.PollDeviceLoginResponse, error) {
		return client.PollDeviceLogin(t.Context(), &authv1.PollDeviceLoginRequest{Login: begun.GetLogin()})
	}
	got, err := poll()
	require.NoError(t, err)
	require.Nil(t, got.GetLogin())
	asked := fake.Asked("/token")
	for range 20 {
		_, err = poll()
		requireCode(t, err, "LOGIN_THROTTLED")
	}
	require.Equal(t, asked, fake.Asked("/token"))
	fake.Approve()
	require.Eventually(t, func() bool {
		got, err = poll()
		return err == nil && got.GetLogin() != nil
	}, 10*time.Second, 50*time.Millisecond)
	require.Equal(t, "oidc:corp:ann", got.GetUsername())
	require.Eventually(t, func() bool {
		_, err = poll()
		return fault.Of(err).Reason() == "LOGIN_FINISHED"
	}, 10*time.Second, 50*time.Millisecond)

	// One's login with a browser is not a device's.
	other, err := client.StartLogin(t.Context(), &authv1.StartLoginRequest{RedirectUri: callback})
	require.NoError(t, err)
	_, err = client.PollDeviceLogin(t.Context(), &authv1.PollDeviceLoginRequest{Login: other.GetLogin()})
	requireCode(t, err, "LOGIN_UNKNOWN")
	_, err = client.FinishLogin(t.Context(), &authv1.FinishLoginRequest{Login: begun.GetLogin()})
	requireCode(t, err, "LOGIN_STATE_INVALID")

	held := 0
	for range 40 {
		if _, err := client.StartDeviceLogin(t.Context(), &authv1.StartDeviceLoginRequest{}); err != nil {
			requireCode(t, err, "LOGIN_THROTTLED")
			held++
		}
	}
	require.Greater(t, held, 25)
}

// Who fails again and again is held off where it comes from, and nobody else is. A
// workload whose token is bad keeps no other out, wherever it is: the provider is not
// asked about it.
func TestWhoFailsAtAProviderIsHeldOff(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	client := r.gateway()
	finish := func(address, code string) error {
		begun, err := client.StartLogin(t.Context(), &authv1.StartLoginRequest{RedirectUri: callback})
		require.NoError(t, err)
		if code == "" {
			code, _ = fake.Login(begun.GetUrl())
		}
		_, err = client.FinishLogin(from(t.Context(), address), &authv1.FinishLoginRequest{Login: begun.GetLogin(), State: begun.GetState(), Code: code})
		return err
	}
	held := 0
	for range 60 {
		if fault.Of(finish("192.0.2.7", "made up")).Reason() == "LOGIN_THROTTLED" {
			held++
		}
	}
	require.GreaterOrEqual(t, held, 25)
	requireCode(t, finish("192.0.2.7", ""), "LOGIN_THROTTLED")
	require.NoError(t, finish("192.0.2.8", ""))

	exchange := func(token string) error {
		_, err := client.ExchangeToken(from(t.Context(), "192.0.2.9"), &authv1.ExchangeTokenRequest{SubjectToken: token})
		return err
	}
	late := fake.Good("workloads")
	late["exp"] = time.Now().Add(-time.Hour).Unix()
	for range 60 {
		requireCode(t, exchange(fake.Token(late)), "TOKEN_EXPIRED")
	}
	require.NoError(t, exchange(fake.Token(fake.Good("workloads"))))
}

// Every login, failure and exchange is on the account, with issuer and subject and from
// where; no token, code or secret is there, or in the log.
func TestLoginsAtProvidersAreOnTheAccount(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	in, err := r.visit(t, fake)
	require.NoError(t, err)
	workload := fake.Token(fake.Good("workloads"))
	got, err := r.exchange(t, workload)
	require.NoError(t, err)
	fake.Claims = func(c map[string]any) { c["sub"], c["groups"] = "mallory", "others" }
	_, err = r.visit(t, fake)
	require.Error(t, err)
	fake.Claims = nil
	_, err = r.exchange(t, "a.b.c")
	require.Error(t, err)
	r.stop() // what was counted is recorded then
	again := start(t, r.url, atCorp(fake.Issuer))
	lines, err := export(as(t, meshAdmin), auditv1.NewAuditServiceClient(again.connect(signer(t, meshSecret).Credentials("auth"))))
	require.NoError(t, err)
	var entries []string
	for _, l := range lines {
		if l.Entry != nil {
			e := l.Entry
			require.Regexp(t, `^10\.`, e.Source)
			entries = append(entries, fmt.Sprintf("%s %s %s/%s %s %s %s", e.Action[strings.LastIndexByte(e.Action, '/')+1:], e.Outcome, e.Tenant, e.Actor, e.Kind, e.Object, e.Reason))
		}
	}
	require.ElementsMatch(t, []string{
		"FinishLogin ok acme/oidc:corp:ann user way=cli provider=corp issuer=" + fake.Issuer + " subject=ann ",
		"ExchangeToken ok acme/oidc:corp:ann user way=exchange provider=corp issuer=" + fake.Issuer + " subject=ann ",
		"FinishLogin denied driftmesh/oidc:corp:mallory user way=cli provider=corp issuer=" + fake.Issuer + " subject=mallory NO_RULE",
		"ExchangeToken denied driftmesh/  way=exchange TOKEN_MALFORMED",
	}, entries)
	all := r.log.String() + again.log.String() + strings.Join(entries, "\n")
	for _, secret := range []string{in.GetLogin().GetToken(), in.GetLogin().GetRefreshToken(), workload, got.GetAccessToken(), oidctest.ClientSecret, "an access token"} {
		require.NotContains(t, all, secret)
	}
	metrics, err := r.stats.Gather()
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(metrics), "driftmesh_auth_provider_logins_total")
}

// Whoever runs the mesh reads why nobody can log in, once in a while.
func TestAProviderThatIsAwayIsLogged(t *testing.T) {
	fake := oidctest.Start(t)
	fake.Discovery = func(d map[string]any) { d["issuer"] = "https://another.example" }
	r := start(t, sqltest.SQLite(t), atCorp(fake.Issuer))
	for range 20 {
		_, err := r.gateway().StartLogin(t.Context(), &authv1.StartLoginRequest{RedirectUri: callback})
		requireCode(t, err, "PROVIDER_UNAVAILABLE")
		require.Positive(t, fault.Of(err).RetryAfter())
		_, err = r.gateway().StartDeviceLogin(from(t.Context(), anywhere()), &authv1.StartDeviceLoginRequest{})
		requireCode(t, err, "PROVIDER_UNAVAILABLE")
	}
	require.Equal(t, 1, strings.Count(r.log.String(), "an OpenID provider does not answer as it should"))
	require.Contains(t, r.log.String(), "https://another.example")
}

// Without a service token, as on the listener of a replica, the open methods are open, and
// the provider's own words do not come in another way.
func TestProvidersAreListed(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	for _, creds := range []credentials.PerRPCCredentials{nil, signer(t, meshSecret).Credentials("auth")} {
		got, err := r.dial(creds).ListProviders(t.Context(), &authv1.ListProvidersRequest{})
		require.NoError(t, err)
		require.Len(t, got.GetProviders(), 1)
		p := got.GetProviders()[0]
		require.Equal(t, "corp "+fake.Issuer+" true false true", fmt.Sprint(p.GetName(), " ", p.GetIssuer(), " ", p.GetLogin(), " ", p.GetBrowser(), " ", p.GetExchange()))
	}
	_, err := start(t, sqltest.SQLite(t), config()).gateway().StartLogin(t.Context(), &authv1.StartLoginRequest{RedirectUri: callback})
	requireCode(t, err, "PROVIDER_UNKNOWN")
}

// The example that people copy is one that starts.
func TestTheExampleOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../../docs/security.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "```yaml\nauth:\n  oidc:\n")
	require.True(t, found)
	example, _, _ := strings.Cut(rest, "```")
	secret := filepath.Join(t.TempDir(), "corp")
	require.NoError(t, os.WriteFile(secret, []byte("a secret\n"), 0o600))
	var cfg settings.Tree[oidc.Configs]
	require.NoError(t, cfg.UnmarshalText([]byte(strings.Replace(example, "/run/secrets/corp", secret, 1))))
	require.NoError(t, cfg.Value.Check("auth.oidc"))
	corp := cfg.Value["corp"]
	require.Equal(t, "a secret", corp.ClientSecret.Reveal())
	rules, err := oidc.NewRules(corp.Rules)
	require.NoError(t, err)
	for text, want := range map[string]string{
		`{"groups": ["platform"]}`:                           "driftmesh",
		`{"email": "ann@acme.com", "email_verified": true}`:  "acme",
		`{"email": "ann@acme.com", "email_verified": false}`: "",
		`{"sub": "system:serviceaccount:prod:loader"}`:       "acme",
		`{"sub": "x:system:serviceaccount:prod:loader"}`:     "",
	} {
		var claims map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &claims))
		place, _ := rules.Place(claims)
		require.Equal(t, want, place.Tenant, text)
	}
}
