// Package oidctest is an OpenID provider that does whatever a test wants: what a good
// one never does. What a good one does is tested with a real one (test/server/oidc).
package oidctest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What the provider knows its client by.
const (
	ClientID     = "mesh"
	ClientSecret = "a secret & more" //nolint:gosec // of tests
)

// Provider is the provider. Change its fields before it is asked; the functions may be
// nil.
type Provider struct {
	Issuer string

	// Discovery changes the discovery document.
	Discovery func(map[string]any)
	// Claims changes what the next ID token says.
	Claims func(map[string]any)
	// Sign makes the ID token, instead of Token.
	Sign func(claims map[string]any) string
	// Handle answers a request, and tells whether it did.
	Handle func(w http.ResponseWriter, r *http.Request) bool

	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	key      *rsa.PrivateKey
	kid      string
	codes    map[string]url.Values // of authorization requests, by code
	approved bool
	asked    map[string]int
}

// Start runs a provider until the test ends.
func Start(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{t: t, codes: map[string]url.Values{}, asked: map[string]int{}}
	p.Rotate("first")
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	p.Issuer = p.server.URL
	t.Cleanup(p.server.Close)
	return p
}

// Close takes the provider away.
func (p *Provider) Close() { p.server.Close() }

// keys are made once: they take long.
var keys = sync.OnceValue(func() []*rsa.PrivateKey {
	var all []*rsa.PrivateKey
	for range 2 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err) // there is no test here to fail
		}
		all = append(all, key)
	}
	return all
})

// Rotate makes the provider sign with another key of this id, and publish no other.
func (p *Provider) Rotate(kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := keys()[0]
	if p.key == next {
		next = keys()[1]
	}
	p.key, p.kid = next, kid
}

// Key is the key and its id.
func (p *Provider) Key() (*rsa.PrivateKey, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key, p.kid
}

// Asked is how often a path was asked for.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// Approve lets the device flow end.
func (p *Provider) Approve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.approved = true
}

// Login logs in at the URL that a login begins with. It gives the code and the state with which
// the browser is sent back.
func (p *Provider) Login(goTo string) (code, state string) {
	p.t.Helper()
	u, err := url.Parse(goTo)
	if err != nil {
		p.t.Fatal(err)
	}
	asked := u.Query()
	if asked.Get("response_type") != "code" || asked.Get("client_id") != ClientID || asked.Get("code_challenge_method") != "S256" ||
		asked.Get("state") == "" || asked.Get("nonce") == "" {
		p.t.Fatalf("the login does not ask as it should: %v", asked)
	}
	code = rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = asked
	return code, asked.Get("state")
}

// Good is what a good token says to an audience.
func (p *Provider) Good(audience string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": p.Issuer, "sub": "ann", "aud": audience, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "groups": []string{"modellers"},
	}
}

// Token signs claims as a good provider does; head changes the token's head.
func (p *Provider) Token(claims map[string]any, head ...func(map[string]any)) string {
	p.t.Helper()
	key, kid := p.Key()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims(claims))
	token.Header["kid"] = kid
	for _, change := range head {
		change(token.Header)
	}
	text, err := token.SignedString(key)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// JWK is the published half of a key.
func JWK(key *rsa.PublicKey, kid string) map[string]any {
	enc := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": enc(key.N.Bytes()), "e": enc(big.NewInt(int64(key.E)).Bytes())}
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	p.mu.Unlock()
	if p.Handle != nil && p.Handle(w, r) {
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		doc := map[string]any{
			"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/auth", "token_endpoint": p.Issuer + "/token", "jwks_uri": p.Issuer + "/jwks",
			"device_authorization_endpoint": p.Issuer + "/device", "userinfo_endpoint": p.Issuer + "/me",
		}
		if p.Discovery != nil {
			p.Discovery(doc)
		}
		answer(w, http.StatusOK, doc)
	case "/jwks":
		key, kid := p.Key()
		answer(w, http.StatusOK, map[string]any{"keys": []any{
			map[string]any{"kty": "something newer", "kid": "x"}, map[string]any{"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}, JWK(&key.PublicKey, kid),
		}})
	case "/token":
		p.token(w, r)
	case "/device":
		if !authenticated(r) {
			answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"device_code": "device code", "user_code": "ABCD", "verification_uri": p.Issuer + "/go", "expires_in": 300, "interval": 1})
	default:
		http.NotFound(w, r)
	}
}

func authenticated(r *http.Request) bool {
	id, secret, _ := r.BasicAuth()
	secret, err := url.QueryUnescape(secret)
	return err == nil && id == ClientID && secret == ClientSecret
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	grant, code := r.PostFormValue("grant_type"), r.PostFormValue("code")
	p.mu.Lock()
	asked, known := p.codes[code]
	delete(p.codes, code)
	approved := p.approved
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case !authenticated(r):
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	case grant == "urn:ietf:params:oauth:grant-type:device_code" && !approved:
		answer(w, http.StatusBadRequest, map[string]any{"error": "authorization_pending"})
		return
	case grant == "authorization_code" && (!known || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") ||
		asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:])):
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "secret words"})
		return
	}
	claims := p.Good(ClientID)
	if nonce := asked.Get("nonce"); nonce != "" {
		claims["nonce"] = nonce
	}
	if p.Claims != nil {
		p.Claims(claims)
	}
	sign := p.Sign
	if sign == nil {
		sign = func(claims map[string]any) string { return p.Token(claims) }
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "an access token", "token_type": "Bearer", "id_token": sign(claims)})
}

// Hash is at_hash of an access token.
func Hash(accessToken string) string {
	h := crypto.SHA256.New()
	h.Write([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked is gone: nobody is left to tell
}
