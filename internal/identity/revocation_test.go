package identity_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
)

func session(id string, head int64) func(jwt.MapClaims) {
	return func(c jwt.MapClaims) { c["sid"], c["head"] = id, head }
}

func TestRevokedTokensAreRefused(t *testing.T) {
	t.Parallel()
	auth := newIssuer("k1")
	revoked := identity.NewRevocations()
	verifier := auth.verifier().Heed(revoked)
	token := auth.token("k1", session("s1", 7))
	_, err := verifier.Verify(t.Context(), token)
	require.ErrorIs(t, err, fault.Unavailable, "what was revoked is not known yet")
	requireReason(t, err, identity.ReasonNotVerifiable)
	revoked.Heard(7)
	_, err = verifier.Verify(t.Context(), token)
	require.NoError(t, err)

	revoked.Add(
		identity.Revocation{Number: 8, Kind: identity.RevokedSession, Tenant: "acme", Subject: "s2"},
		identity.Revocation{Number: 9, Kind: identity.RevokedSession, Tenant: "beta", Subject: "s1"},
		identity.Revocation{Number: 10, Kind: identity.RevokedUser, Tenant: "acme", Subject: "bob"},
		identity.Revocation{Number: 11, Kind: identity.RevokedKey, Tenant: "acme", Subject: "ann"},
		identity.Revocation{Number: 12, Kind: identity.RevokedTenant, Tenant: "beta"},
	)
	_, err = verifier.Verify(t.Context(), token)
	require.NoError(t, err, "others were revoked")

	for number, r := range map[int64]identity.Revocation{
		20: {Kind: identity.RevokedSession, Tenant: "acme", Subject: "s20"},
		30: {Kind: identity.RevokedUser, Tenant: "acme", Subject: "ann"},
		40: {Kind: identity.RevokedTenant, Tenant: "acme"},
	} {
		one := identity.NewRevocations()
		one.Heard(7)
		verifier := auth.verifier().Heed(one)
		old, young := auth.token("k1", session("s20", number-1)), auth.token("k1", session("s20", number))
		_, err := verifier.Verify(t.Context(), old)
		require.NoError(t, err)
		r.Number = number
		one.Add(r)
		_, err = verifier.Verify(t.Context(), old)
		require.ErrorIs(t, err, fault.Unauthenticated)
		requireReason(t, err, identity.ReasonRevoked)
		_, err = verifier.Verify(t.Context(), young)
		require.NoError(t, err, "what was given out later is good")
	}
}

func requireReason(t *testing.T, err error, reason string) {
	t.Helper()
	require.Equal(t, reason, fault.Of(err).Reason(), "%v", err)
}

// Memory is bounded, and what is forgotten stays revoked.
func TestForgottenRevocationsStayRevoked(t *testing.T) {
	t.Parallel()
	revoked := identity.NewRevocations()
	revoked.Heard(0)
	for n := range int64(100_000) {
		revoked.Add(identity.Revocation{Number: n + 1, Kind: identity.RevokedSession, Tenant: "acme", Subject: fmt.Sprint(n + 1)})
	}
	holder := func(session string, head int64) identity.Holder {
		return identity.Holder{Tenant: "acme", Subject: "ann", Kind: identity.User, Session: session, Head: head}
	}
	for _, n := range []int64{1, 2, 50_000, 100_000} {
		require.True(t, revoked.Revoked(holder(fmt.Sprint(n), n-1)), n)
	}
	require.True(t, revoked.Revoked(holder("other", 1)), "so old a token may be one of the forgotten")
	require.False(t, revoked.Revoked(holder("other", 100_000)))
	head, _ := revoked.Head()
	require.EqualValues(t, 100_000, head)
	revoked.Add(identity.Revocation{Number: 5, Kind: identity.RevokedTenant, Tenant: "acme"})
	require.False(t, revoked.Revoked(holder("other", 100_000)), "an old one heard again changes nothing")
}

// A key is asked for again as soon as something about it changed.
func TestARevokedKeyIsAskedForAgain(t *testing.T) {
	t.Parallel()
	keys := &keyring{keys: map[string]time.Time{apiKey("k1"): {}, apiKey("k2"): {}}}
	revoked := identity.NewRevocations()
	verifier := identity.NewKeyVerifier(keys.check).Heed(revoked)
	verify := func(id string) error {
		_, err := verifier.Verify(t.Context(), apiKey(id))
		return err
	}
	for range 3 {
		require.NoError(t, verify("k1"))
		require.NoError(t, verify("k2"))
	}
	require.EqualValues(t, 2, keys.asked.Load())
	keys.remove(apiKey("k1"))
	require.NoError(t, verify("k1"), "nobody has said so yet")
	revoked.Add(identity.Revocation{Number: 1, Kind: identity.RevokedKey, Tenant: "acme", Subject: "k1"})
	requireReason(t, verify("k1"), identity.ReasonAPIKeyRefused)
	require.NoError(t, verify("k2"))
	require.EqualValues(t, 3, keys.asked.Load(), "k2 is none of its business")
	revoked.Add(identity.Revocation{Number: 2, Kind: identity.RevokedTenant, Tenant: "acme"})
	require.NoError(t, verify("k2"))
	require.EqualValues(t, 4, keys.asked.Load())
	require.NoError(t, verify("k2"))
	require.EqualValues(t, 4, keys.asked.Load())
}

// A call that takes long ends with the credentials that it began with.
func TestStreamsEndWithTheirCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := newIssuer("k1")
		keys := &keyring{keys: map[string]time.Time{apiKey("k1"): {}, apiKey("k2"): time.Now().Add(time.Hour)}}
		revoked := identity.NewRevocations()
		revoked.Heard(0)
		a, err := identity.NewAuthenticator(identity.Checks{
			Tokens: auth.verifier().Heed(revoked), Keys: identity.NewKeyVerifier(keys.check).Heed(revoked), Revocations: revoked})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		open := func(authorization, apiKey string) context.Context {
			stream, _, err := a.AuthenticateStream(ctx, authorization, apiKey)
			require.NoError(t, err)
			return stream
		}
		ended := func(ctx context.Context) string {
			synctest.Wait()
			if ctx.Err() == nil {
				return ""
			}
			return fault.Of(context.Cause(ctx)).Reason()
		}
		session1, session2 := open("Bearer "+auth.token("k1", session("s1", 0)), ""), open("Bearer "+auth.token("k1", session("s2", 0)), "")
		key1, key2 := open("", apiKey("k1")), open("", apiKey("k2"))
		require.Empty(t, ended(session1)+ended(session2)+ended(key1)+ended(key2))

		revoked.Add(identity.Revocation{Number: 1, Kind: identity.RevokedSession, Tenant: "acme", Subject: "s1"})
		require.Equal(t, identity.ReasonRevoked, ended(session1))
		require.Empty(t, ended(session2)+ended(key1)+ended(key2))

		revoked.Add(identity.Revocation{Number: 2, Kind: identity.RevokedKey, Tenant: "acme", Subject: "k1"})
		require.Empty(t, ended(key1), "it is good still: something else about it changed")
		keys.remove(apiKey("k1"))
		revoked.Add(identity.Revocation{Number: 3, Kind: identity.RevokedKey, Tenant: "acme", Subject: "k1"})
		require.Equal(t, identity.ReasonAPIKeyRefused, ended(key1))

		time.Sleep(time.Hour)
		require.Equal(t, identity.ReasonAPIKeyRefused, ended(key2), "its life is over")
		require.Empty(t, ended(session2), "a token is good for beginning")
		stop()
		synctest.Wait()
		require.Error(t, session2.Err())
	})
}

// Nothing that stands in a header takes the process down, and what is taken for
// an API key is one in one spelling only.
func FuzzCredentials(f *testing.F) {
	auth := newIssuer("k1")
	keys := &keyring{keys: map[string]time.Time{apiKey("k1"): {}}}
	a, err := identity.NewAuthenticator(identity.Checks{Tokens: auth.verifier(), Keys: identity.NewKeyVerifier(keys.check)})
	require.NoError(f, err)
	services := newServiceVerifier(f)
	f.Add("Bearer "+auth.token("k1", nil), "") // another one in each process that fuzzes
	f.Add("", apiKey("k1"))
	f.Add("bearer  "+apiKey("k1"), "")
	f.Add("Basic YTpi", "dm__")
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.", "\xff")
	f.Fuzz(func(t *testing.T, authorization, key string) {
		id, err := a.Authenticate(t.Context(), authorization, key)
		if err == nil {
			_, token, _ := strings.Cut(strings.TrimSpace(authorization), " ")
			known := auth.signed(strings.TrimSpace(token)) || authorization == "" && key == apiKey("k1") || strings.Contains(authorization, apiKey("k1"))
			require.True(t, known, "%q %q is %v", authorization, key, id)
			return
		}
		require.ErrorIs(t, err, fault.Unauthenticated)
		require.NotEmpty(t, fault.Of(err).Reason())
		_, err = services.VerifyHeader(authorization)
		require.ErrorIs(t, err, fault.Unauthenticated)
	})
}
