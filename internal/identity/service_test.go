package identity_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/settings"
)

var meshSecret = bytes.Repeat([]byte("s3cret--"), 4)

func newSigner(t testing.TB, secret []byte) *identity.Signer {
	t.Helper()
	s, err := identity.NewSigner(fixed(t, secret), "gateway")
	require.NoError(t, err)
	return s
}

func newServiceVerifier(t testing.TB) *identity.ServiceVerifier {
	t.Helper()
	return identity.NewServiceVerifier(fixed(t, meshSecret), "drift", []string{"gateway", "auth"})
}

func fixed(t testing.TB, list ...[]byte) *identity.Secrets {
	t.Helper()
	s, err := identity.FixedSecrets(list...)
	require.NoError(t, err)
	return s
}

func TestServiceTokenCarriesTheIdentity(t *testing.T) {
	signer, verifier := newSigner(t, meshSecret), newServiceVerifier(t)
	for _, id := range []identity.Identity{
		{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)},
		{Tenant: "acme", Subject: "k1", Kind: identity.Key, Grant: policy.Grant{Role: policy.Viewer, Only: policy.OnlyOf(policy.TracesRead), Spaces: "a,b"}},
		{Tenant: "default", Subject: "anonymous", Kind: identity.Anonymous, Grant: policy.As(policy.Local)},
		signer.Self(),
	} {
		token, err := signer.Token(id, "drift")
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
		first, err := signer.Token(signer.Self(), "drift")
		require.NoError(t, err)

		time.Sleep(2 * time.Minute)
		same, err := signer.Token(signer.Self(), "drift")
		require.NoError(t, err)
		require.Equal(t, first, same)

		time.Sleep(31 * time.Second)
		second, err := signer.Token(signer.Self(), "drift")
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
	token, err := foreign.Token(foreign.Self(), "drift")
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
			"iss": "gateway", "sub": "ann", "aud": "driftmesh-mesh/drift", "tenant": "acme", "kind": "user",
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
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
		"alg none":        {sign(jwt.SigningMethodNone, claims(nil), jwt.UnsafeAllowNoneSignatureType), identity.ReasonSignature},
		"HS512":           {sign(jwt.SigningMethodHS512, claims(nil), key), identity.ReasonSignature},
		"raw secret":      {sign(jwt.SigningMethodHS256, claims(nil), meshSecret), identity.ReasonSignature},
		"claims swapped":  {parts[0] + "." + otherTenant + "." + parts[2], identity.ReasonSignature},
		"no signature":    {parts[0] + "." + parts[1] + ".", identity.ReasonSignature},
		"other audience":  {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["aud"] = "driftmesh" }), key), identity.ReasonAudience},
		"other callee":    {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["aud"] = "driftmesh-mesh/auth" }), key), identity.ReasonAudience},
		"other issuer":    {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["iss"] = "intruder" }), key), identity.ReasonIssuer},
		"too long a life": {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(6 * time.Minute).Unix() }), key), identity.ReasonMalformed},
		"issued later": {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) {
			c["iat"], c["exp"] = time.Now().Add(time.Hour).Unix(), time.Now().Add(time.Hour+time.Minute).Unix()
		}), key), identity.ReasonMalformed},
		"no issue":    {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "iat") }), key), identity.ReasonMalformed},
		"no audience": {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "aud") }), key), identity.ReasonMalformed},
		"no expiry":   {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "exp") }), key), identity.ReasonMalformed},
		"expired":     {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["exp"] = 1 }), key), identity.ReasonExpired},
		"not yet":     {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() }), key), identity.ReasonNotYet},
		"no tenant":   {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "tenant") }), key), identity.ReasonMalformed},
		"odd tenant":  {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["tenant"] = "a' OR 1=1" }), key), identity.ReasonMalformed},
		"no subject":  {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "sub") }), key), identity.ReasonMalformed},
		"odd kind":    {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { c["kind"] = "root" }), key), identity.ReasonMalformed},
		"no issuer":   {sign(jwt.SigningMethodHS256, claims(func(c jwt.MapClaims) { delete(c, "iss") }), key), identity.ReasonMalformed},
		"empty":       {"", identity.ReasonMalformed},
		"words":       {"hello there", identity.ReasonMalformed},
		"four parts":  {good + ".x", identity.ReasonMalformed},
		"too long":    {strings.Repeat("a", 9<<10), identity.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verifier.Verify(row.token)
			requireRefused(t, err, row.reason)
		})
	}
}

func TestMeshSecretIsLongEnoughAndNeverShown(t *testing.T) {
	short := []byte("hunter2-hunter2-hunter2-hunter2")
	_, err := identity.FixedSecrets(short)
	require.ErrorIs(t, err, fault.Invalid)
	require.Contains(t, err.Error(), "31 bytes, want at least 32")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = identity.FixedSecrets()
	require.ErrorIs(t, err, fault.Invalid)
	_, err = identity.NewSigner(fixed(t, meshSecret), "")
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
	_, err := signer.Token(identity.Identity{}, "drift")
	require.ErrorIs(t, err, fault.Invalid)
}

func TestCredentialsFollowTheContext(t *testing.T) {
	signer, verifier := newSigner(t, meshSecret), newServiceVerifier(t)
	creds := signer.Credentials("drift")
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

func inFile(t *testing.T, path string, list ...string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(strings.Join(list, "\n")+"\n"), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// A secret is added, signs, and is the only one: whoever has read the file that
// far or one step less understands the others.
func TestTheMeshSecretRotatesWithOverlap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mesh.secret")
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	steps := [][]string{{a}, {a, b}, {b, a}, {b}}
	open := func() *identity.Secrets {
		var setting settings.Secrets
		require.NoError(t, setting.UnmarshalText([]byte("file:"+path)))
		require.Equal(t, "***", fmt.Sprint(setting))
		s, err := identity.OpenSecrets(setting, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		return s
	}
	inFile(t, path, a)
	live := open()
	signer, err := identity.NewSigner(live, "gateway")
	require.NoError(t, err)
	verifier := identity.NewServiceVerifier(live, "drift", []string{"gateway"})
	first, err := signer.Token(signer.Self(), "drift")
	require.NoError(t, err)
	for i, step := range steps {
		inFile(t, path, step...)
		require.Eventually(t, func() bool { return len(live.All()) == len(step) && string(live.First()) == step[0] }, 10*time.Second, 20*time.Millisecond)
		token, err := signer.Token(signer.Self(), "drift")
		require.NoError(t, err)
		for _, other := range [][]string{steps[max(i-1, 0)], step, steps[min(i+1, len(steps)-1)]} {
			var secrets [][]byte
			for _, s := range other {
				secrets = append(secrets, []byte(s))
			}
			_, err = identity.NewServiceVerifier(fixed(t, secrets...), "drift", []string{"gateway"}).Verify(token)
			require.NoError(t, err, "%d: %v by %v", i, step, other)
		}
		_, err = verifier.Verify(first)
		if i < 3 {
			require.NoError(t, err)
		} else {
			requireRefused(t, err, identity.ReasonSignature) // not remembered either
		}
	}
	inFile(t, path, "short")
	require.Never(t, func() bool { return string(live.First()) != b }, 1500*time.Millisecond, 100*time.Millisecond)
}
