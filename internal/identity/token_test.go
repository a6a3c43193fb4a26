package identity_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// issuer stands in for auth: it signs tokens and publishes its keys.
type issuer struct {
	mu      sync.Mutex
	keys    map[string]ed25519.PrivateKey
	away    error
	fetches atomic.Int64
}

func newIssuer(ids ...string) *issuer {
	i := &issuer{keys: map[string]ed25519.PrivateKey{}}
	for _, id := range ids {
		i.add(id)
	}
	return i
}

func (i *issuer) add(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, id)
	i.keys[id] = ed25519.NewKeyFromSeed(seed)
}

// signed reports whether one of the keys signed a token, without any code of ours.
func (i *issuer) signed(token string) bool {
	body, last := token, strings.LastIndexByte(token, '.')
	if last >= 0 {
		body = token[:last]
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[last+1:])
	if err != nil {
		return false
	}
	for _, key := range i.keys {
		if ed25519.Verify(key.Public().(ed25519.PublicKey), []byte(body), signature) {
			return true
		}
	}
	return false
}

func (i *issuer) remove(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.keys, id)
}

func (i *issuer) setAway(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = err
}

func (i *issuer) fetch(context.Context) (string, error) {
	i.fetches.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.away != nil {
		return "", i.away
	}
	list := ""
	for id, key := range i.keys {
		x := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
		list += fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"use":"sig","x":%q},`, id, x)
	}
	return `{"keys":[` + list + `{"kty":"RSA","kid":"ignored","n":"x"}]}`, nil
}

func userToken(id string, key any, method jwt.SigningMethod, change func(jwt.MapClaims)) string {
	claims := jwt.MapClaims{
		"iss": "driftmesh", "aud": "driftmesh", "sub": "ann", "tenant": "acme", "admin": true,
		"exp": time.Now().Add(15 * time.Minute).Unix(),
	}
	if change != nil {
		change(claims)
	}
	token := jwt.NewWithClaims(method, claims)
	if id != "" {
		token.Header["kid"] = id
	}
	text, err := token.SignedString(key)
	if err != nil {
		return err.Error() // no token: no test that wants one passes
	}
	return text
}

func (i *issuer) token(id string, change func(jwt.MapClaims)) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return userToken(id, i.keys[id], jwt.SigningMethodEdDSA, change)
}

func (i *issuer) verifier() *identity.TokenVerifier {
	return identity.NewTokenVerifier(identity.NewJWKS(i.fetch), "driftmesh", "driftmesh")
}

var ann = identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)}

func TestUserTokenIsVerifiedLocally(t *testing.T) {
	auth := newIssuer("k1")
	verifier := auth.verifier()
	for range 3 {
		id, err := verifier.Verify(t.Context(), auth.token("k1", nil))
		require.NoError(t, err)
		require.Equal(t, ann, id)
	}
	require.EqualValues(t, 1, auth.fetches.Load())
}

func TestUserTokenForgeries(t *testing.T) {
	auth := newIssuer("k1")
	verifier := auth.verifier()
	_, err := verifier.Verify(t.Context(), auth.token("k1", nil))
	require.NoError(t, err)

	private := auth.keys["k1"]
	public := []byte(private.Public().(ed25519.PublicKey))
	other := newIssuer("other").keys["other"]
	serviceToken, err := newSigner(t, meshSecret).Token(ann, "drift")
	require.NoError(t, err)
	critical := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"exp": 9e9})
	critical.Header["crit"], critical.Header["kid"] = []string{"b64"}, "k1"
	criticalText, err := critical.SignedString(private)
	require.NoError(t, err)

	for name, row := range map[string]struct{ token, reason string }{
		"other key, our kid":    {userToken("k1", other, jwt.SigningMethodEdDSA, nil), identity.ReasonSignature},
		"other key, other kid":  {userToken("other", other, jwt.SigningMethodEdDSA, nil), identity.ReasonUnknownKey},
		"no kid":                {userToken("", private, jwt.SigningMethodEdDSA, nil), identity.ReasonMalformed},
		"alg none":              {userToken("k1", jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, nil), identity.ReasonSignature},
		"HMAC with public key":  {userToken("k1", public, jwt.SigningMethodHS256, nil), identity.ReasonSignature},
		"service token":         {serviceToken, identity.ReasonSignature},
		"critical extension":    {criticalText, identity.ReasonMalformed},
		"expired":               {auth.token("k1", func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() }), identity.ReasonExpired},
		"not yet":               {auth.token("k1", func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() }), identity.ReasonNotYet},
		"other issuer":          {auth.token("k1", func(c jwt.MapClaims) { c["iss"] = "evil" }), identity.ReasonIssuer},
		"other audience":        {auth.token("k1", func(c jwt.MapClaims) { c["aud"] = "driftmesh-mesh" }), identity.ReasonAudience},
		"foreign and expired":   {auth.token("k1", func(c jwt.MapClaims) { c["iss"], c["exp"] = "evil", 1 }), identity.ReasonIssuer},
		"no expiry":             {auth.token("k1", func(c jwt.MapClaims) { delete(c, "exp") }), identity.ReasonMalformed},
		"no tenant":             {auth.token("k1", func(c jwt.MapClaims) { delete(c, "tenant") }), identity.ReasonMalformed},
		"no subject":            {auth.token("k1", func(c jwt.MapClaims) { delete(c, "sub") }), identity.ReasonMalformed},
		"tenant is not a name":  {auth.token("k1", func(c jwt.MapClaims) { c["tenant"] = "../x" }), identity.ReasonMalformed},
		"tenant is not a text":  {auth.token("k1", func(c jwt.MapClaims) { c["tenant"] = 7 }), identity.ReasonMalformed},
		"not base64":            {"a.b.c", identity.ReasonMalformed},
		"claims are not base64": {auth.token("k1", nil)[:60] + "!" + auth.token("k1", nil)[61:], identity.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				_, err := verifier.Verify(t.Context(), row.token)
				requireRefused(t, err, row.reason)
			}
		})
	}
}

func TestUserTokenEndsAlsoWhenRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newIssuer("k1")
		verifier, token := auth.verifier(), auth.token("k1", nil)
		_, err := verifier.Verify(t.Context(), token)
		require.NoError(t, err)
		time.Sleep(15*time.Minute - time.Second)
		_, err = verifier.Verify(t.Context(), token)
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = verifier.Verify(t.Context(), token)
		requireRefused(t, err, identity.ReasonExpired)
	})
}

func TestKnownKeysWorkWhileAuthIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newIssuer("k1")
		auth.setAway(errors.New("connection refused"))
		jwks := identity.NewJWKS(auth.fetch)
		verifier := identity.NewTokenVerifier(jwks, "driftmesh", "driftmesh")
		token := auth.token("k1", nil)

		requireUnverifiable(t, jwks.Ready(t.Context()))
		_, err := verifier.Verify(t.Context(), token)
		requireUnverifiable(t, err)

		auth.setAway(nil)
		_, err = verifier.Verify(t.Context(), token)
		requireUnverifiable(t, err) // asks again only after a few seconds
		time.Sleep(3 * time.Second)
		_, err = verifier.Verify(t.Context(), token)
		require.NoError(t, err)
		require.NoError(t, jwks.Ready(t.Context()))

		auth.setAway(errors.New("connection refused"))
		time.Sleep(time.Hour)
		_, err = verifier.Verify(t.Context(), auth.token("k1", nil))
		require.NoError(t, err)
		// An unknown key may be new: nobody can know until auth is back.
		_, err = verifier.Verify(t.Context(), userToken("k2", auth.keys["k1"], jwt.SigningMethodEdDSA, nil))
		requireUnverifiable(t, err)
	})
}

func TestNewKeysAreFoundAndWithdrawnKeysForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newIssuer("k1")
		jwks := identity.NewJWKS(auth.fetch)
		verifier := identity.NewTokenVerifier(jwks, "driftmesh", "driftmesh")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- jwks.Run(ctx) }()
		synctest.Wait()

		old := auth.token("k1", nil)
		_, err := verifier.Verify(ctx, old)
		require.NoError(t, err)

		time.Sleep(10 * time.Second)
		auth.add("k2")
		_, err = verifier.Verify(ctx, auth.token("k2", nil))
		require.NoError(t, err, "an unknown key is fetched at once")

		auth.remove("k1")
		_, err = verifier.Verify(ctx, old)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = verifier.Verify(ctx, old)
		requireRefused(t, err, identity.ReasonUnknownKey)

		stop()
		require.NoError(t, <-done)
	})
}

func TestForgedKeyIDsDoNotBecomeLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newIssuer("k1")
		verifier := auth.verifier()
		var wg sync.WaitGroup
		for n := range 200 {
			wg.Go(func() {
				token := userToken(fmt.Sprintf("forged-%d", n), auth.keys["k1"], jwt.SigningMethodEdDSA, nil)
				_, err := verifier.Verify(t.Context(), token)
				requireRefused(t, err, identity.ReasonUnknownKey)
			})
		}
		wg.Wait()
		require.LessOrEqual(t, auth.fetches.Load(), int64(2))
	})
}

func TestKeySetsOfDoubtfulForm(t *testing.T) {
	for name, text := range map[string]string{
		"empty": ``, "no JSON": `<html>`, "no keys": `{"keys":[]}`,
		"short key":   `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"AAAA"}]}`,
		"no id":       `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		"wrong curve": `{"keys":[{"kty":"OKP","crv":"X25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			jwks := identity.NewJWKS(func(context.Context) (string, error) { return text, nil })
			_, err := jwks.Key(t.Context(), "k1")
			require.ErrorIs(t, err, fault.Unavailable)
		})
	}
}

func FuzzVerify(f *testing.F) {
	auth := newIssuer("k1")
	verifier := auth.verifier()
	services := newServiceVerifier(f)
	f.Add(auth.token("k1", nil))
	f.Add(auth.token("k1", func(c jwt.MapClaims) { c["exp"] = 1e300 }))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Add("dm_a_" + "x")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := verifier.Verify(background, token); err != nil {
			require.ErrorIs(t, err, fault.Unauthenticated)
			require.NotEmpty(t, fault.Of(err).Reason())
		} else {
			require.True(t, auth.signed(token), "accepted %q", token)
		}
		_, err := services.Verify(token)
		require.ErrorIs(t, err, fault.Unauthenticated)
		_, _, err = identity.ParseAPIKey(token)
		if err == nil {
			id, secret, _ := identity.ParseAPIKey(token)
			require.Equal(t, token, identity.FormatAPIKey(id, secret))
		}
	})
}

func FuzzJWKS(f *testing.F) {
	auth := newIssuer("k1")
	text, _ := auth.fetch(background)
	f.Add(text)
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":""}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		jwks := identity.NewJWKS(func(context.Context) (string, error) { return text, nil })
		if key, err := jwks.Key(background, "k1"); err == nil {
			require.Len(t, key, ed25519.PublicKeySize)
		}
	})
}
