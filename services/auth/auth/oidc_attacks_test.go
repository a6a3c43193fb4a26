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
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc/oidctest"
)

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
