package oidc_test

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc"
	"github.com/driftmesh/driftmesh/services/auth/internal/oidc/oidctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open makes the one provider corp ready.
func open(t *testing.T, issuer string, change ...func(*oidc.Config)) *oidc.Provider {
	t.Helper()
	cfg := oidc.Config{
		Issuer: issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, Audiences: []string{"workloads"},
		Rules: []oidc.Rule{{Condition: oidc.Condition{Claim: "groups", Value: "modellers"}, Tenant: "acme", Role: "editor"}},
	}
	for _, one := range change {
		one(&cfg)
	}
	all, err := oidc.New(oidc.Configs{"corp": cfg})
	require.NoError(t, err)
	t.Cleanup(all.Close)
	return all.All()[0]
}

func requireReason(t *testing.T, err error, reason string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, reason, fault.Of(err).Reason(), "%v", err)
}

// Tokens with keys that nobody knows, however many, are a handful of questions to the
// provider; tokens with the key that it has are believed meanwhile.
func TestAFloodOfUnknownKeysDoesNotReachTheProvider(t *testing.T) {
	t.Parallel()
	fake := oidctest.Start(t)
	p := open(t, fake.Issuer)
	good := fake.Token(fake.Good("workloads"))
	_, err := p.Exchange(t.Context(), good)
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 250 {
				_, err := p.Exchange(context.Background(), fake.Token(fake.Good("workloads"), func(h map[string]any) { h["kid"] = fmt.Sprint("forged", i) }))
				requireReason(t, err, "TOKEN_KEY_UNKNOWN")
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, fake.Asked("/jwks"), 1+4+1, "of 1000 tokens; one more where the test took 15 s")
	t.Logf("%d fetches", fake.Asked("/jwks"))
	require.Equal(t, 1, fake.Asked("/.well-known/openid-configuration"))
	_, err = p.Exchange(t.Context(), good)
	require.NoError(t, err)
}

// A new key is found with the first token that it signs, and one that is withdrawn is
// believed no more.
func TestKeysOfProvidersRotate(t *testing.T) {
	t.Parallel()
	fake := oidctest.Start(t)
	p := open(t, fake.Issuer)
	old := fake.Token(fake.Good("workloads"))
	_, err := p.Exchange(t.Context(), old)
	require.NoError(t, err)
	fake.Rotate("second")
	_, err = p.Exchange(t.Context(), fake.Token(fake.Good("workloads")))
	require.NoError(t, err)
	_, err = p.Exchange(t.Context(), old)
	requireReason(t, err, "TOKEN_KEY_UNKNOWN")
	fake.Close()
	_, err = p.Exchange(t.Context(), fake.Token(fake.Good("workloads")))
	require.NoError(t, err, "what is known is not asked for again")
}

// A provider that is away, ill or too talkative is named, and is not asked again at
// once; nothing is asked over plain text.
func TestProvidersThatDoNotAnswerAsTheyShould(t *testing.T) {
	t.Parallel()
	for name, ill := range map[string]func(*oidctest.Provider){
		"away":     func(p *oidctest.Provider) { p.Close() },
		"an error": func(p *oidctest.Provider) { p.Handle = status(http.StatusInternalServerError) },
		"no JSON":  func(p *oidctest.Provider) { p.Handle = status(http.StatusOK) },
		"another issuer": func(p *oidctest.Provider) {
			p.Discovery = func(d map[string]any) { d["issuer"] = "https://evil.example" }
		},
		"no keys": func(p *oidctest.Provider) { p.Discovery = func(d map[string]any) { delete(d, "jwks_uri") } },
		"plain token": func(p *oidctest.Provider) {
			p.Discovery = func(d map[string]any) { d["token_endpoint"] = "http://192.0.2.1/token" }
		},
		"plain keys": func(p *oidctest.Provider) {
			p.Discovery = func(d map[string]any) { d["jwks_uri"] = "http://192.0.2.1/jwks" }
		},
		"plain login": func(p *oidctest.Provider) {
			p.Discovery = func(d map[string]any) { d["authorization_endpoint"] = "http://192.0.2.1/a" }
		},
		"a script": func(p *oidctest.Provider) {
			p.Discovery = func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" }
		},
		"sent elsewhere":  func(p *oidctest.Provider) { p.Handle = redirect("http://192.0.2.1/") },
		"sent in circles": func(p *oidctest.Provider) { p.Handle = redirect("/.well-known/openid-configuration") },
		"too long": func(p *oidctest.Provider) {
			p.Discovery = func(d map[string]any) { d["more"] = strings.Repeat("x", 2<<20) }
		},
		"too slow": func(p *oidctest.Provider) {
			p.Handle = func(_ http.ResponseWriter, r *http.Request) bool {
				<-r.Context().Done() // of whoever asked
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := oidctest.Start(t)
			ill(fake)
			p := open(t, fake.Issuer)
			began := time.Now()
			_, _, err := p.Begin(t.Context(), "http://127.0.0.1:1/callback")
			requireReason(t, err, "PROVIDER_UNAVAILABLE")
			require.ErrorIs(t, err, fault.Unavailable)
			require.Contains(t, fault.Of(err).Message(), "the OpenID provider corp ("+fake.Issuer+")")
			require.Less(t, time.Since(began), 9*time.Second)
			asked := fake.Asked("/.well-known/openid-configuration")
			for range 20 {
				_, _, err := p.Begin(t.Context(), "http://127.0.0.1:1/callback")
				requireReason(t, err, "PROVIDER_UNAVAILABLE")
			}
			require.Equal(t, asked, fake.Asked("/.well-known/openid-configuration"))
		})
	}
}

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		return true
	}
}

func redirect(to string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, to, http.StatusFound)
		return true
	}
}

// A provider's certificate is that of an authority that the settings name, or of none.
func TestAuthoritiesOfProviders(t *testing.T) {
	t.Parallel()
	var issuer string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer": %q, "authorization_endpoint": "%[1]s/a", "token_endpoint": "%[1]s/t", "jwks_uri": "%[1]s/k"}`, issuer)
	}))
	defer server.Close()
	issuer = server.URL
	_, _, err := open(t, issuer).Begin(t.Context(), "http://127.0.0.1:1/callback")
	requireReason(t, err, "PROVIDER_UNAVAILABLE")
	require.ErrorContains(t, err, "certificate")
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	goTo, _, err := open(t, issuer, func(c *oidc.Config) { c.CA = file }).Begin(t.Context(), "http://127.0.0.1:1/callback")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(goTo, issuer+"/a?"), goTo)
}

// A login is sealed: nobody else can read, change or make one, and it ends.
func TestPendingLoginsAreSealed(t *testing.T) {
	t.Parallel()
	seal := func(letters ...string) *oidc.Seal {
		var list [][]byte
		for _, one := range letters {
			list = append(list, []byte(strings.Repeat(one, 32)))
		}
		secrets, err := identity.FixedSecrets(list...)
		require.NoError(t, err)
		return oidc.NewSeal(secrets)
	}
	ours, theirs := seal("s"), seal("t")
	pending := oidc.Pending{ID: "i", Provider: "corp", State: "the state", Verifier: "the verifier", Ends: time.Now().Add(time.Minute).Unix()}
	text, err := ours.Close(pending)
	require.NoError(t, err)
	got, err := ours.Open(text)
	require.NoError(t, err)
	require.Equal(t, pending, got)
	require.NotContains(t, text, "verifier")
	got, err = seal("u", "s").Open(text)
	require.NoError(t, err, "the mesh secret was rotated meanwhile")
	require.Equal(t, pending, got)
	foreign, err := theirs.Close(pending)
	require.NoError(t, err)
	pending.Ends = time.Now().Unix()
	late, err := ours.Close(pending)
	require.NoError(t, err)
	for _, bad := range []string{"", "x", foreign, late, text[:len(text)-4] + "AAAA", text + strings.Repeat("A", 5000)} {
		_, err := ours.Open(bad)
		requireReason(t, err, "LOGIN_UNKNOWN")
	}
	for redirect, good := range map[string]bool{
		"http://127.0.0.1:4711/callback": true, "http://[::1]:1/": true, "http://localhost:1/": false, "http://127.0.0.1/": false,
		"https://127.0.0.1:1/": false, "http://127.0.0.1.evil.example:1/": false, "http://evil.example:80/": false,
		"http://127.0.0.1:1@evil.example/": false, "http://127.0.0.1:1/?x": false, "javascript:alert(1)": false, "": false,
	} {
		require.Equal(t, good, oidc.Loopback(redirect), redirect)
	}
}

// Whatever is sent for a token, it is refused and nothing falls over.
func FuzzTokens(f *testing.F) {
	fake := oidctest.Start(f)
	all, err := oidc.New(oidc.Configs{"corp": {
		Issuer: fake.Issuer, Audiences: []string{"workloads"},
		Rules: []oidc.Rule{{Condition: oidc.Condition{Claim: "sub", Pattern: ".*"}, Tenant: "acme", Role: "ingest"}},
	}})
	require.NoError(f, err)
	f.Cleanup(all.Close)
	good := fake.Token(fake.Good("workloads"))
	for _, seed := range []string{good, good + "=", strings.ToUpper(good), "", ".", "..", "a.b.c", `{"payload":"e30","signature":""}`, "eyJhbGciOiJub25lIn0.e30."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := all.Issuer(token); err != nil && fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("issuer: %v", err)
		}
		claims, err := all.All()[0].Exchange(context.Background(), token)
		if err == nil && (claims.Subject != "ann" || claims.Issuer != fake.Issuer) {
			t.Errorf("%q is believed", token)
		}
		if err != nil && fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("exchange: %v", err)
		}
	})
}

// There may be several providers: one is named to log in at, and a token goes to its own.
func TestSeveralProviders(t *testing.T) {
	t.Parallel()
	one, two := oidctest.Start(t), oidctest.Start(t)
	config := func(issuer, client string) oidc.Config {
		return oidc.Config{
			Issuer: issuer, ClientID: client, Audiences: []string{"workloads"},
			Rules: []oidc.Rule{{Condition: oidc.Condition{Claim: "sub", Value: "ann"}, Tenant: "acme", Role: "ingest"}},
		}
	}
	all, err := oidc.New(oidc.Configs{"one": config(one.Issuer, "mesh"), "two": config(two.Issuer, "mesh"), "three": config("https://three.example", "")})
	require.NoError(t, err)
	t.Cleanup(all.Close)
	p, err := all.Find("two")
	require.NoError(t, err)
	require.Equal(t, two.Issuer, p.Issuer)
	for name, want := range map[string]string{
		"": "name one of the providers: one, two", "four": `there is no provider "four"; there are: one, two`, "three": "users do not log in at the provider three",
	} {
		_, err := all.Find(name)
		require.ErrorContains(t, err, want)
	}
	for _, fake := range []*oidctest.Provider{one, two} {
		token := fake.Token(fake.Good("workloads"))
		p, err := all.Issuer(token)
		require.NoError(t, err)
		claims, err := p.Exchange(t.Context(), token)
		require.NoError(t, err)
		require.Equal(t, fake.Issuer, claims.Issuer)
	}
	p, err = all.Find("one")
	require.NoError(t, err)
	_, err = p.Exchange(t.Context(), one.Token(two.Good("workloads"))) // with one's key
	requireReason(t, err, "TOKEN_ISSUER_INVALID")
}

// A provider that has somebody sent on to another does not get that one's code: the other
// says who it is, or sends browsers to an address of its own.
func TestNoProviderGetsTheCodesOfAnother(t *testing.T) {
	t.Parallel()
	honest, evil := oidctest.Start(t), oidctest.Start(t)
	config := func(issuer string) oidc.Config {
		return oidc.Config{
			Issuer: issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret,
			Rules: []oidc.Rule{{Condition: oidc.Condition{Claim: "sub", Value: "ann"}, Tenant: "acme", Role: "ingest"}},
		}
	}
	all, err := oidc.New(oidc.Configs{"honest": config(honest.Issuer), "evil": config(evil.Issuer)})
	require.NoError(t, err)
	t.Cleanup(all.Close)
	provider := func(name string) *oidc.Provider {
		p, err := all.Find(name)
		require.NoError(t, err)
		return p
	}
	const shared = "http://127.0.0.1:1/callback"
	goTo, pending, err := provider("evil").Begin(t.Context(), shared)
	require.NoError(t, err)
	code, _ := honest.Login(goTo) // where evil has sent the browser on
	_, err = provider("evil").Finish(t.Context(), pending, oidc.Answer{Code: code})
	requireReason(t, err, "ISSUER_MIXED_UP")
	require.Zero(t, evil.Asked("/token"), "the code went nowhere")
	_, err = provider("evil").Finish(t.Context(), pending, oidc.Answer{Code: code, Issuer: honest.Issuer})
	requireReason(t, err, "ISSUER_MIXED_UP")
	require.Zero(t, evil.Asked("/token"))

	for redirect, answer := range map[string]oidc.Answer{shared: {Issuer: honest.Issuer}, shared + "/honest": {}} {
		goTo, pending, err := provider("honest").Begin(t.Context(), redirect)
		require.NoError(t, err)
		answer.Code, _ = honest.Login(goTo)
		claims, err := provider("honest").Finish(t.Context(), pending, answer)
		require.NoError(t, err)
		require.Equal(t, "ann", claims.Subject)
	}
	_, pending, err = provider("honest").Begin(t.Context(), shared+"/evil")
	require.NoError(t, err)
	_, err = provider("honest").Finish(t.Context(), pending, oidc.Answer{Code: code})
	requireReason(t, err, "ISSUER_MIXED_UP")
}

// A provider somewhere else has nothing on this machine asked or told, where stores and
// services listen.
func TestAProviderReachesNothingOnThisMachine(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.String() }))
	defer inside.Close()
	for name, doc := range map[string]string{
		"keys":     `"jwks_uri": "` + inside.URL + `/?query=DROP"`,
		"token":    `"token_endpoint": "` + inside.URL + `/?query=DROP"`,
		"device":   `"device_authorization_endpoint": "` + inside.URL + `/?query=DROP"`,
		"redirect": `"jwks_uri": "https://login.example.com/sent"`,
	} {
		t.Run(name, func(t *testing.T) {
			const issuer = "https://login.example.com"
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/sent" {
					http.Redirect(w, r, inside.URL+"/?query=DROP", http.StatusTemporaryRedirect)
					return
				}
				fmt.Fprintf(w, `{"issuer": %q, "authorization_endpoint": "%[1]s/a", "token_endpoint": "%[1]s/t", "jwks_uri": "%[1]s/k", %s}`, issuer, doc)
			}))
			server.StartTLS()
			defer server.Close()
			p := open(t, issuer)
			p.Reach(server.Client().Transport.(*http.Transport)) //nolint:forcetypeassert // it is
			_, pending, err := p.Begin(t.Context(), "http://127.0.0.1:1/callback")
			require.NoError(t, err)
			_, err = p.Finish(t.Context(), pending, oidc.Answer{Code: "c"})
			require.Error(t, err)
			_, _, err = p.BeginDevice(t.Context())
			require.Error(t, err)
			_, err = p.Exchange(t.Context(), oidctest.Start(t).Token(map[string]any{"iss": issuer}))
			require.Error(t, err)
			require.Empty(t, asked)
		})
	}
}

// What a provider says apart from the ID token counts where the token says nothing, and is
// about the same person.
func TestUserInfo(t *testing.T) {
	t.Parallel()
	fake := oidctest.Start(t)
	info := ""
	fake.Handle = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/me" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		if info == "" || r.Header.Get("Authorization") != "Bearer an access token" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprint(w, info)
		return true
	}
	p := open(t, fake.Issuer, func(c *oidc.Config) { c.UserInfo = true })
	login := func(says string) (oidc.Claims, error) {
		t.Helper()
		info = says
		goTo, pending, err := p.Begin(t.Context(), "http://127.0.0.1:1/callback")
		require.NoError(t, err)
		code, _ := fake.Login(goTo)
		return p.Finish(t.Context(), pending, oidc.Answer{Code: code})
	}
	claims, err := login(`{"sub": "ann", "team": "fraud", "groups": ["mesh-admins"], "iss": "https://evil.example"}`)
	require.NoError(t, err)
	require.Equal(t, "fraud", claims.All["team"])
	require.Equal(t, []any{"modellers"}, claims.All["groups"], "what is signed is not overruled")
	require.Equal(t, fake.Issuer, claims.All["iss"])
	_, err = login(`{"sub": "bob", "team": "fraud"}`)
	requireReason(t, err, "TOKEN_SUBJECT_INVALID")
	for _, bad := range []string{``, `{"sub": 7}`, `[]`, `{"sub": "ann"`} {
		_, err = login(bad)
		requireReason(t, err, "PROVIDER_UNAVAILABLE")
	}
}

// Keys that are too short to be believed, too long to be computed with, shared or for
// something else are none.
func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	modulus := func(bits int) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), bits-1, 1), E: 65537}
	}
	fake := oidctest.Start(t)
	key, kid := fake.Key()
	good := oidctest.JWK(&key.PublicKey, kid)
	for name, keys := range map[string][]any{
		"short": {oidctest.JWK(modulus(1024), kid)}, "long": {oidctest.JWK(modulus(16384), kid)},
		"shared": {map[string]any{"kty": "oct", "kid": kid, "k": "c2VjcmV0"}},
		"other use": {func() any {
			k := oidctest.JWK(&key.PublicKey, kid)
			k["use"] = "enc"
			return k
		}()},
		"too many": slices.Repeat([]any{good}, 101), "none": {}, "good": {good},
	} {
		raw, err := json.Marshal(map[string]any{"keys": keys})
		require.NoError(t, err)
		fake.Handle = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/jwks" {
				_, _ = w.Write(raw)
			}
			return r.URL.Path == "/jwks"
		}
		_, err = open(t, fake.Issuer).Exchange(t.Context(), fake.Token(fake.Good("workloads")))
		if name == "good" {
			require.NoError(t, err)
			continue
		}
		requireReason(t, err, "PROVIDER_UNAVAILABLE")
	}
}
