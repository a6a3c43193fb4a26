package token_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

var (
	secret = bytes.Repeat([]byte("s"), 32)
	ann    = account.User{Tenant: "acme", Name: "ann", Grant: policy.As(policy.Admin)}
)

// drawer stands in for the store.
type drawer struct {
	mu   sync.Mutex
	keys []token.Sealed
}

func (d *drawer) SigningKeys(_ context.Context, choose func([]token.Sealed) (*token.Sealed, error)) ([]token.Sealed, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	more, err := choose(d.keys)
	if more != nil {
		d.keys = append(d.keys, *more)
	}
	return d.keys, err
}

func verifier(r *token.Ring) *identity.TokenVerifier {
	jwks := identity.NewJWKS(func(context.Context) (string, error) { return r.JWKS(), nil })
	return identity.NewTokenVerifier(jwks, identity.TokenAudience, identity.TokenIssuer)
}

func TestTokensAreGoodForTheirLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, err := token.Load(t.Context(), &drawer{}, secret)
		require.NoError(t, err)
		text, ends, err := ring.Issue(ann, 15*time.Minute)
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(15*time.Minute).Truncate(time.Second), ends)

		id, err := verifier(ring).Verify(t.Context(), text)
		require.NoError(t, err)
		require.Equal(t, identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)}, id)
		again, _, err := ring.Issue(ann, 15*time.Minute)
		require.NoError(t, err)
		require.NotEqual(t, text, again, "every token has an id of its own")

		time.Sleep(15 * time.Minute)
		_, err = verifier(ring).Verify(t.Context(), text)
		require.ErrorIs(t, err, fault.Unauthenticated)
		require.Equal(t, identity.ReasonExpired, fault.Of(err).Reason())
	})
}

func TestTheSigningKeySurvivesRestarts(t *testing.T) {
	stored := &drawer{}
	first, err := token.Load(t.Context(), stored, secret)
	require.NoError(t, err)
	text, _, err := first.Issue(ann, time.Minute)
	require.NoError(t, err)
	second, err := token.Load(t.Context(), stored, secret)
	require.NoError(t, err)
	require.Equal(t, first.JWKS(), second.JWKS())
	require.Len(t, stored.keys, 1)
	_, err = verifier(second).Verify(t.Context(), text)
	require.NoError(t, err)
	require.NotContains(t, second.JWKS(), `"d"`, "the private half is never published")
}

func TestAChangedMeshSecretWithdrawsTheKeysItSealed(t *testing.T) {
	stored := &drawer{}
	old, err := token.Load(t.Context(), stored, secret)
	require.NoError(t, err)
	text, _, err := old.Issue(ann, time.Minute)
	require.NoError(t, err)
	ring, err := token.Load(t.Context(), stored, bytes.Repeat([]byte("t"), 32))
	require.NoError(t, err)
	require.NotEqual(t, old.JWKS(), ring.JWKS())
	_, err = verifier(ring).Verify(t.Context(), text)
	require.ErrorIs(t, err, fault.Unauthenticated)
}

func TestStoredKeysAreSealed(t *testing.T) {
	stored := &drawer{}
	_, err := token.Load(t.Context(), stored, secret)
	require.NoError(t, err)
	require.Len(t, stored.keys[0].Box, 12+32+16)
	stored.keys[0].Box[20] ^= 1 // a changed key is no key
	_, err = token.Load(t.Context(), stored, secret)
	require.NoError(t, err)
	require.Len(t, stored.keys, 2)
	stored.keys = stored.keys[1:]
	stored.keys[0].ID = "other" // nor is one under another name
	_, err = token.Load(t.Context(), stored, secret)
	require.NoError(t, err)
	require.Len(t, stored.keys, 2)

	_, err = token.Load(t.Context(), stored, secret[:31])
	require.ErrorIs(t, err, fault.Invalid)
}

func TestAPIKeys(t *testing.T) {
	id, key, hash := token.NewAPIKey()
	otherID, otherKey, otherHash := token.NewAPIKey()
	require.NotEqual(t, id, otherID)
	require.True(t, strings.HasPrefix(key, "dm_"+id+"_"))

	gotID, secret, err := identity.ParseAPIKey(key)
	require.NoError(t, err)
	require.Equal(t, id, gotID)
	require.Len(t, secret, 32)
	require.Len(t, hash, 32)
	require.NotContains(t, string(hash), string(secret))
	require.True(t, token.SameSecret(secret, hash))
	require.False(t, token.SameSecret(secret, otherHash))
	require.False(t, token.SameSecret(secret, nil))
	_, otherSecret, err := identity.ParseAPIKey(otherKey)
	require.NoError(t, err)
	require.False(t, token.SameSecret(otherSecret, hash))
}
