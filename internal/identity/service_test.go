package identity_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
)

var meshSecret = bytes.Repeat([]byte("s3cret--"), 4)

func newSigner(t testing.TB, secret []byte) *identity.Signer {
	t.Helper()
	s, err := identity.NewSigner(secret, "gateway")
	require.NoError(t, err)
	return s
}

func newServiceVerifier(t testing.TB) *identity.ServiceVerifier {
	t.Helper()
	v, err := identity.NewServiceVerifier(meshSecret)
	require.NoError(t, err)
	return v
}

func TestServiceTokenCarriesTheIdentity(t *testing.T) {
	signer, verifier := newSigner(t, meshSecret), newServiceVerifier(t)
	for _, id := range []identity.Identity{
		{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)},
		{Tenant: "acme", Subject: "k1", Kind: identity.Key, Grant: policy.Grant{Role: policy.Viewer, Only: policy.OnlyOf(policy.TracesRead), Spaces: "a,b"}},
		{Tenant: "default", Subject: "anonymous", Kind: identity.Anonymous, Grant: policy.As(policy.Local)},
		signer.Self(),
	} {
		token, err := signer.Token(id)
		require.NoError(t, err)
		for range 2 { // fresh, then remembered
			call, err := verifier.Verify(token)
			require.NoError(t, err)
			require.Equal(t, identity.ServiceCall{Identity: id, Service: "gateway"}, call)
		}
		call, err := verifier.VerifyHeader("Bearer " + token)
		require.NoError(t, err)
		require.Equal(t, id, call.Identity)
	}
}

func TestServiceTokenIsRenewedAtHalfItsLifeAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, verifier := newSigner(t, meshSecret), newServiceVerifier(t)
		first, err := signer.Token(signer.Self())
		require.NoError(t, err)

		time.Sleep(2 * time.Minute)
		same, err := signer.Token(signer.Self())
		require.NoError(t, err)
		require.Equal(t, first, same)

		time.Sleep(31 * time.Second)
		second, err := signer.Token(signer.Self())
		require.NoError(t, err)
		require.NotEqual(t, first, second)
		_, err = verifier.Verify(first)
		require.NoError(t, err)

		time.Sleep(2*time.Minute + 30*time.Second) // 5:01
		_, err = verifier.Verify(first)
		requireRefused(t, err, identity.ReasonExpired)
		_, err = verifier.Verify(second)
		require.NoError(t, err)
	})
}

func TestServiceTokenOfAnotherMeshIsRefused(t *testing.T) {
	verifier := newServiceVerifier(t)
	foreign := newSigner(t, bytes.Repeat([]byte("x"), 32))
	token, err := foreign.Token(foreign.Self())
	require.NoError(t, err)
	_, err = verifier.Verify(token)
	requireRefused(t, err, identity.ReasonSignature)
}

func TestServiceTokenForgeries(t *testing.T) {
	verifier := newServiceVerifier(t)
	key, err := identity.DeriveKey(meshSecret, "service token v1")
	require.NoError(t, err)
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{
			"iss": "gateway", "sub": "ann", "aud": "driftmesh-mesh", "tenant": "acme", "kind": "user",
			"exp": time.Now().Add(time.Minute).Unix(),
		}
		if change != nil {
			change(c)
		}
		return c
	}
	sign := func(m jwt.SigningMethod, c jwt.MapClaims, key any) string {
		token, err := jwt.NewWithClaims(m, c).SignedString(key)
		require.NoError(t, err)
		return token
	}
	good := sign(jwt.SigningMethodHS256, claims(nil), key)
	_, err = verifier.Verify(good)
	require.NoError(t, err, "the base case must be good, or the others prove nothing")

	parts := strings.Split(good, ".")
	otherTenant := base64.RawURLEncoding.EncodeToString([]byte(
		`{"iss":"gateway","sub":"ann","aud":"driftmesh-mesh","tenant":"evil","kind":"user","exp":99999999999}`))
	for name, row := range map[string]struct{ token, reason string }{
		"alg none":       {sign(jwt.SigningMethodNone, claims(nil), jwt.UnsafeAllowNoneSignatureType), identity.ReasonSignature},
		"HS512":          {sign(jwt.SigningMethodHS512, claims(nil), key), identity.ReasonSignature},
		"raw secret":     {sign(jwt.SigningMethodHS256, claims(nil), meshSecret), identity.ReasonSignature},
		"claims swapped": {parts[0] + "." + otherTenant + "." + parts[2], identity.ReasonSignature},
		"no signature":   {parts[0] + "." + parts[1] + ".", identity.ReasonSignature},
		"other audience": {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["aud"] = "driftmesh" }), key), identity.ReasonAudience},
		"no audience":    {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "aud") }), key), identity.ReasonMalformed},
		"no expiry":      {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "exp") }), key), identity.ReasonMalformed},
		"expired":        {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["exp"] = 1 }), key), identity.ReasonExpired},
		"not yet":        {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() }), key), identity.ReasonNotYet},
		"no tenant":      {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "tenant") }), key), identity.ReasonMalformed},
		"odd tenant":     {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["tenant"] = "a' OR 1=1" }), key), identity.ReasonMalformed},
		"no subject":     {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "sub") }), key), identity.ReasonMalformed},
		"odd kind":       {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["kind"] = "root" }), key), identity.ReasonMalformed},
		"no issuer":      {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "iss") }), key), identity.ReasonMalformed},
		"empty":          {"", identity.ReasonMalformed},
		"words":          {"hello there", identity.ReasonMalformed},
		"four parts":     {good + ".x", identity.ReasonMalformed},
		"too long":       {strings.Repeat("a", 9<<10), identity.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verifier.Verify(row.token)
			requireRefused(t, err, row.reason)
		})
	}
}

func TestMeshSecretIsLongEnoughAndNeverShown(t *testing.T) {
	short := []byte("hunter2-hunter2-hunter2-hunter2")
	_, err := identity.NewSigner(short, "gateway")
	require.ErrorIs(t, err, fault.Invalid)
	require.Contains(t, err.Error(), "31 bytes, want at least 32")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = identity.NewServiceVerifier(nil)
	require.ErrorIs(t, err, fault.Invalid)
	_, err = identity.NewSigner(meshSecret, "")
	require.ErrorIs(t, err, fault.Invalid)
}

func TestDerivedKeysDifferByPurpose(t *testing.T) {
	a, err := identity.DeriveKey(meshSecret, "a")
	require.NoError(t, err)
	b, err := identity.DeriveKey(meshSecret, "b")
	require.NoError(t, err)
	require.Len(t, a, 32)
	require.NotEqual(t, a, b)
}

func TestSignerRefusesAnEmptyIdentity(t *testing.T) {
	signer := newSigner(t, meshSecret)
	_, err := signer.Token(identity.Identity{})
	require.ErrorIs(t, err, fault.Invalid)
}

func TestCredentialsFollowTheContext(t *testing.T) {
	signer, verifier := newSigner(t, meshSecret), newServiceVerifier(t)
	creds := signer.Credentials()
	require.False(t, creds.RequireTransportSecurity())

	md, err := creds.GetRequestMetadata(t.Context())
	require.NoError(t, err)
	require.Empty(t, md)

	ann := identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Viewer)}
	md, err = creds.GetRequestMetadata(identity.With(t.Context(), ann))
	require.NoError(t, err)
	call, err := verifier.VerifyHeader(md["authorization"])
	require.NoError(t, err)
	require.Equal(t, ann, call.Identity)
}
