package auth_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
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

// crooked are tokens that a provider must not be believed, from good ones. The first
// changes nothing: it must be good, or the others prove nothing.
func crooked(t *testing.T, fake *oidctest.Provider, audience string) map[string]func(map[string]any) string {
	t.Helper()
	set := func(name string, v any) func(map[string]any) string {
		return func(c map[string]any) string {
			c = maps.Clone(c)
			if c[name] = v; v == nil {
				delete(c, name)
			}
			return fake.Token(c)
		}
	}
	head := func(name string, v any) func(map[string]any) string {
		return func(c map[string]any) string { return fake.Token(c, func(h map[string]any) { h[name] = v }) }
	}
	key, kid := fake.Key()
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	published, err := json.Marshal(oidctest.JWK(&key.PublicKey, kid))
	require.NoError(t, err)
	signed := func(method jwt.SigningMethod, key any, kid string) func(map[string]any) string {
		return func(c map[string]any) string {
			token := jwt.NewWithClaims(method, jwt.MapClaims(c))
			token.Header["kid"] = kid
			text, err := token.SignedString(key)
			require.NoError(t, err)
			return text
		}
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	now := time.Now()
	return map[string]func(map[string]any) string{
		"": func(c map[string]any) string { return fake.Token(c) },

		"TOKEN_AUDIENCE_INVALID other":   set("aud", "somebody else"),
		"TOKEN_AUDIENCE_INVALID none":    set("aud", nil),
		"TOKEN_AUDIENCE_INVALID like":    set("aud", audience+"2"),
		"TOKEN_MALFORMED audience":       set("aud", map[string]any{audience: true}),
		"TOKEN_MALFORMED audiences":      set("aud", []any{7, audience}),
		"TOKEN_EXPIRED":                  set("exp", now.Add(-time.Second).Unix()),
		"TOKEN_EXPIRED never":            set("exp", nil),
		"TOKEN_NOT_YET_VALID nbf":        set("nbf", now.Add(2*time.Minute).Unix()),
		"TOKEN_NOT_YET_VALID iat":        set("iat", now.Add(2*time.Minute).Unix()),
		"TOKEN_NOT_YET_VALID no iat":     set("iat", nil),
		"TOKEN_SUBJECT_INVALID none":     set("sub", nil),
		"TOKEN_SUBJECT_INVALID long":     set("sub", strings.Repeat("x", 256)),
		"TOKEN_MALFORMED sub":            set("sub", 7),
		"TOKEN_MALFORMED azp":            set("azp", []any{"mesh"}),
		"TOKEN_TYPE_INVALID event":       set("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}),
		"TOKEN_TYPE_INVALID typ":         head("typ", "logout+jwt"),
		"TOKEN_KEY_UNKNOWN kid":          head("kid", "another"),
		"TOKEN_SIGNATURE_INVALID no kid": signed(jwt.SigningMethodRS256, other, ""),
		"TOKEN_KEY_UNKNOWN alg":          signed(jwt.SigningMethodRS512, key, kid), // the key is for another
		"TOKEN_SIGNATURE_INVALID other":  signed(jwt.SigningMethodRS256, other, kid),
		"TOKEN_SIGNATURE_INVALID own key": func(c map[string]any) string { // that it brings along
			token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims(c))
			token.Header["kid"], token.Header["jwk"] = kid, oidctest.JWK(&other.PublicKey, kid)
			text, err := token.SignedString(other)
			require.NoError(t, err)
			return text
		},
		"TOKEN_MALFORMED none": signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid),
		"TOKEN_MALFORMED pem": signed(jwt.SigningMethodHS256,
			pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), kid),
		"TOKEN_MALFORMED der":    signed(jwt.SigningMethodHS256, public, kid),
		"TOKEN_MALFORMED jwk":    signed(jwt.SigningMethodHS512, published, kid),
		"TOKEN_MALFORMED shared": signed(jwt.SigningMethodHS256, []byte("secret"), "shared"), // a key of the set
		"TOKEN_MALFORMED json": func(c map[string]any) string {
			parts := strings.Split(fake.Token(c), ".")
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
		},
		"TOKEN_SIGNATURE_INVALID changed": func(c map[string]any) string {
			parts := strings.Split(fake.Token(c), ".")
			raw, err := base64.RawURLEncoding.DecodeString(parts[1])
			require.NoError(t, err)
			raw = bytes.Replace(raw, []byte("modellers"), []byte("mesh-admi"), 1)
			return parts[0] + "." + base64.RawURLEncoding.EncodeToString(raw) + "." + parts[2]
		},
		"TOKEN_MALFORMED nothing": func(map[string]any) string { return "a.b.c" },
	}
}

// An ID token that is not what it must be lets nobody in, however the login went.
func TestCrookedIDTokens(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	all := crooked(t, fake, oidctest.ClientID)
	claim := func(change func(map[string]any)) func(map[string]any) string {
		return func(c map[string]any) string {
			change(c)
			return fake.Token(c)
		}
	}
	all["TOKEN_ISSUER_INVALID"] = claim(func(c map[string]any) { c["iss"] = fake.Issuer + "/" })
	all["TOKEN_NONCE_INVALID other"] = claim(func(c map[string]any) { c["nonce"] = "another" })
	all["TOKEN_NONCE_INVALID none"] = claim(func(c map[string]any) { delete(c, "nonce") })
	all["TOKEN_PARTY_INVALID other"] = claim(func(c map[string]any) { c["azp"] = "another" })
	all["TOKEN_PARTY_INVALID none of two"] = claim(func(c map[string]any) { c["aud"] = []any{oidctest.ClientID, "another"} })
	all["TOKEN_SIGNATURE_INVALID access token"] = claim(func(c map[string]any) { c["at_hash"] = oidctest.Hash("another access token") })
	all[" good access token"] = claim(func(c map[string]any) { c["at_hash"] = oidctest.Hash("an access token") })
	all[" good party of two"] = claim(func(c map[string]any) { c["aud"], c["azp"] = []any{oidctest.ClientID, "another"}, oidctest.ClientID })
	all["TOKEN_MALFORMED none at all"] = func(map[string]any) string { return "" }
	for name, token := range all {
		reason, _, _ := strings.Cut(name, " ")
		fake.Sign = token
		in, err := r.visit(t, fake)
		if reason == "" {
			require.NoError(t, err, name)
			continue
		}
		require.Nil(t, in, name)
		requireCode(t, err, reason)
	}
	users, err := r.gateway().ListUsers(as(t, acmeAdmin), &authv1.ListUsersRequest{})
	require.NoError(t, err)
	require.Len(t, users.GetUsers(), 1, "the good ones'")
}

// So it is with the tokens of workloads; and those for the mesh's own client, with which
// people log in, are not exchanged.
func TestCrookedTokensOfWorkloads(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	all := crooked(t, fake, "workloads")
	all["TOKEN_ISSUER_INVALID"] = func(c map[string]any) string {
		c["iss"] = "https://evil.example"
		return fake.Token(c)
	}
	all["TOKEN_AUDIENCE_INVALID client"] = func(map[string]any) string { return fake.Token(fake.Good(oidctest.ClientID)) }
	all["TOKEN_MALFORMED empty"] = func(map[string]any) string { return "" }
	all["TOKEN_MALFORMED long"] = func(map[string]any) string { return strings.Repeat("a", 70<<10) + ".b.c" }
	for name, token := range all {
		reason, _, _ := strings.Cut(name, " ")
		got, err := r.exchange(t, token(fake.Good("workloads")))
		if reason == "" {
			require.NoError(t, err)
			require.Equal(t, "acme", got.GetTenant())
			continue
		}
		require.Nil(t, got, name)
		requireCode(t, err, reason)
	}

	// Ours lives no longer than theirs, has no session, and is for the same.
	short := fake.Good("workloads")
	short["exp"], short["groups"] = time.Now().Add(90*time.Second).Unix(), "on-call"
	got, err := r.exchange(t, fake.Token(short))
	require.NoError(t, err)
	require.LessOrEqual(t, got.GetExpiresIn(), int32(90))
	require.Equal(t, "urn:ietf:params:oauth:token-type:access_token", got.GetIssuedTokenType())
	var claims identity.UserClaims
	_, _, err = jwt.NewParser().ParseUnverified(got.GetAccessToken(), &claims)
	require.NoError(t, err)
	require.Empty(t, claims.Session)
	require.Equal(t, "operator", claims.Role)
	for field, req := range map[string]*authv1.ExchangeTokenRequest{
		"grant_type:":         {SubjectToken: fake.Token(short), GrantType: "password"},
		"subject_token_type:": {SubjectToken: fake.Token(short), SubjectTokenType: "urn:ietf:params:oauth:token-type:saml2"},
	} {
		_, err := r.gateway().ExchangeToken(t.Context(), req)
		require.ErrorContains(t, err, field)
	}
}

// A login ends where it was begun, once, with what its own provider says.
func TestAnswersOfOtherLogins(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	client := r.gateway()
	begin := func() (*authv1.StartLoginResponse, *authv1.FinishLoginRequest) {
		t.Helper()
		begun, err := client.StartLogin(t.Context(), &authv1.StartLoginRequest{Provider: "corp", RedirectUri: callback})
		require.NoError(t, err)
		code, state := fake.Login(begun.GetUrl())
		return begun, &authv1.FinishLoginRequest{Login: begun.GetLogin(), State: state, Code: code}
	}
	finish := func(req *authv1.FinishLoginRequest) error {
		_, err := client.FinishLogin(from(t.Context(), anywhere()), req)
		return err
	}
	_, theirs := begin()
	for reason, change := range map[string]func(*authv1.FinishLoginRequest){
		"LOGIN_STATE_INVALID":        func(f *authv1.FinishLoginRequest) { f.State = theirs.GetState() },
		"LOGIN_STATE_INVALID none":   func(f *authv1.FinishLoginRequest) { f.State = "" },
		"LOGIN_STATE_INVALID theirs": func(f *authv1.FinishLoginRequest) { f.Login = theirs.GetLogin() },
		"LOGIN_UNKNOWN":              func(f *authv1.FinishLoginRequest) { f.Login = f.GetLogin()[:40] + "A" + f.GetLogin()[41:] },
		"ISSUER_MIXED_UP":            func(f *authv1.FinishLoginRequest) { f.Issuer = "https://evil.example" },
		"PROVIDER_REFUSED":           func(f *authv1.FinishLoginRequest) { f.Code, f.Error = "", "access_denied" },
		"CODE_MISSING":               func(f *authv1.FinishLoginRequest) { f.Code = "" },
		"PROVIDER_REFUSED code":      func(f *authv1.FinishLoginRequest) { f.Code = "made up" },
		// Their code with our login: PKCE's challenge was another.
		"PROVIDER_REFUSED injected": func(f *authv1.FinishLoginRequest) {
			_, other := begin()
			f.Code = other.GetCode()
		},
	} {
		_, req := begin()
		change(req)
		err := finish(req)
		reason, _, _ = strings.Cut(reason, " ")
		requireCode(t, err, reason)
		require.NotContains(t, err.Error(), "secret words")
	}
	_, req := begin()
	require.NoError(t, finish(req))
	requireCode(t, finish(req), "LOGIN_FINISHED")
	req.Code, _ = fake.Login(func() string { b, _ := begin(); return b.GetUrl() }()) // another code helps nobody
	requireCode(t, finish(req), "LOGIN_FINISHED")

	// A provider that says that it names itself has to.
	fake.Discovery = func(d map[string]any) { d["authorization_response_iss_parameter_supported"] = true }
	strict := start(t, sqltest.SQLite(t), atCorp(fake.Issuer)).gateway()
	begun, err := strict.StartLogin(t.Context(), &authv1.StartLoginRequest{RedirectUri: callback})
	require.NoError(t, err)
	code, state := fake.Login(begun.GetUrl())
	_, err = strict.FinishLogin(t.Context(), &authv1.FinishLoginRequest{Login: begun.GetLogin(), State: state, Code: code})
	requireCode(t, err, "ISSUER_MIXED_UP")

	for want, req := range map[string]*authv1.StartLoginRequest{
		"redirect_uri: want":        {RedirectUri: "https://evil.example/callback"},
		"redirect_uri: want http":   {RedirectUri: "http://evil.example:80/callback"},
		"return_to: has more":       {RedirectUri: callback, ReturnTo: strings.Repeat("/", 1025)},
		`there is no provider "x"`:  {Provider: "x", RedirectUri: callback},
		"auth.oidc.corp.redirect i": {},
	} {
		_, err := client.StartLogin(t.Context(), req)
		require.ErrorContains(t, err, want)
	}
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

// Who fails again and again is held off where it comes from, and nobody else is.
func TestWhoFailsAtAProviderIsHeldOff(t *testing.T) {
	r, fake := withCorp(t, sqltest.SQLite(t))
	client := r.gateway()
	exchange := func(address, token string) error {
		_, err := client.ExchangeToken(from(t.Context(), address), &authv1.ExchangeTokenRequest{SubjectToken: token})
		return err
	}
	good := fake.Token(fake.Good("workloads"))
	held := 0
	for range 60 {
		if fault.Of(exchange("192.0.2.7", "a.b.c")).Reason() == "LOGIN_THROTTLED" {
			held++
		}
	}
	require.GreaterOrEqual(t, held, 25)
	requireCode(t, exchange("192.0.2.7", good), "LOGIN_THROTTLED")
	require.NoError(t, exchange("192.0.2.8", good))
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
