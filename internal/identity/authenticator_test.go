package identity_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
)

func TestAuthenticate(t *testing.T) {
	auth := newIssuer("k1")
	keys := &keyring{keys: map[string]time.Time{apiKey("k1"): {}}}
	open, err := identity.NewAuthenticator(identity.Checks{
		Tokens: auth.verifier(), Keys: identity.NewKeyVerifier(keys.check), Anonymous: policy.Local})
	require.NoError(t, err)
	closed, err := identity.NewAuthenticator(identity.Checks{
		Tokens: auth.verifier(), Keys: identity.NewKeyVerifier(keys.check)})
	require.NoError(t, err)
	keysOnly, err := identity.NewAuthenticator(identity.Checks{Keys: identity.NewKeyVerifier(keys.check)})
	require.NoError(t, err)
	tokensOnly, err := identity.NewAuthenticator(identity.Checks{Tokens: auth.verifier()})
	require.NoError(t, err)

	token, key := auth.token("k1", nil), apiKey("k1")
	keyIdentity := identity.Identity{Tenant: "acme", Subject: "k1", Kind: identity.Key}
	anonymous := identity.Identity{Tenant: "default", Subject: "anonymous", Kind: identity.Anonymous, Grant: policy.As(policy.Local)}
	for name, row := range map[string]struct {
		at                    *identity.Authenticator
		authorization, apiKey string
		want                  identity.Identity
		reason                string
	}{
		"token":                     {at: closed, authorization: "Bearer " + token, want: ann},
		"token, lower case":         {at: closed, authorization: "bearer  " + token, want: ann},
		"token where open":          {at: open, authorization: "Bearer " + token, want: ann},
		"key":                       {at: closed, apiKey: key, want: keyIdentity},
		"key as bearer":             {at: closed, authorization: "Bearer " + key, want: keyIdentity},
		"nothing":                   {at: closed, reason: identity.ReasonMissing},
		"nothing where open":        {at: open, want: anonymous},
		"both":                      {at: open, authorization: "Bearer " + token, apiKey: key, reason: identity.ReasonAmbiguous},
		"basic":                     {at: open, authorization: "Basic YTpi", reason: identity.ReasonScheme},
		"no scheme":                 {at: open, authorization: token, reason: identity.ReasonScheme},
		"empty bearer":              {at: open, authorization: "Bearer ", reason: identity.ReasonMalformed},
		"wrong token where open":    {at: open, authorization: "Bearer x", reason: identity.ReasonMalformed},
		"wrong key where open":      {at: open, apiKey: "x", reason: identity.ReasonAPIKeyRefused},
		"unknown key where open":    {at: open, apiKey: apiKey("k9"), reason: identity.ReasonAPIKeyRefused},
		"token where only keys are": {at: keysOnly, authorization: "Bearer " + token, reason: identity.ReasonScheme},
		"key where only tokens are": {at: tokensOnly, apiKey: key, reason: identity.ReasonScheme},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := row.at.Authenticate(t.Context(), row.authorization, row.apiKey)
			if row.reason != "" {
				requireRefused(t, err, row.reason)
				require.Zero(t, id)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, id)
		})
	}
}

func TestAnAuthenticatorAcceptsSomething(t *testing.T) {
	_, err := identity.NewAuthenticator(identity.Checks{})
	require.ErrorIs(t, err, fault.Invalid)
}

func TestFromMetadata(t *testing.T) {
	read := func(pairs ...string) (string, string, error) {
		return identity.FromMetadata(metadata.NewIncomingContext(t.Context(), metadata.Pairs(pairs...)))
	}
	authorization, key, err := identity.FromMetadata(t.Context())
	require.NoError(t, err)
	require.Empty(t, authorization+key)

	authorization, key, err = read("Authorization", "Bearer x", "X-API-Key", "y")
	require.NoError(t, err)
	require.Equal(t, "Bearer x", authorization)
	require.Equal(t, "y", key)

	_, _, err = read("authorization", "Bearer x", "authorization", "Bearer y")
	requireRefused(t, err, identity.ReasonAmbiguous)
	_, _, err = read("x-api-key", "x", "x-api-key", "y")
	requireRefused(t, err, identity.ReasonAmbiguous)
}

func BenchmarkAuthenticate(b *testing.B) {
	auth := newIssuer("k1")
	keys := &keyring{keys: map[string]time.Time{apiKey("k1"): {}}}
	a, err := identity.NewAuthenticator(identity.Checks{
		Tokens: auth.verifier(), Keys: identity.NewKeyVerifier(keys.check)})
	require.NoError(b, err)
	header, key := "Bearer "+auth.token("k1", nil), apiKey("k1")
	signer, services := newSigner(b, meshSecret), newServiceVerifier(b)
	service, err := signer.Token(ann, "drift")
	require.NoError(b, err)
	for name, check := range map[string]func() error{
		"token":   func() error { _, err := a.Authenticate(b.Context(), header, ""); return err },
		"key":     func() error { _, err := a.Authenticate(b.Context(), "", key); return err },
		"service": func() error { _, err := services.Verify(service); return err },
		"sign":    func() error { _, err := signer.Token(ann, "drift"); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := check(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
