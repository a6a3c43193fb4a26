package token_test

import (
	"bytes"
	"context"
	"slices"
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
	secret = mustSecrets("s")
	ann    = account.User{Tenant: "acme", Name: "ann", Grant: policy.As(policy.Admin)}
)

var rotation = token.Rotation{Every: 30 * 24 * time.Hour, Lead: 2 * time.Minute, Keep: 16 * time.Minute}

// mustSecrets are mesh secrets that repeat a letter each.
func mustSecrets(letters ...string) *identity.Secrets {
	var list [][]byte
	for _, one := range letters {
		list = append(list, bytes.Repeat([]byte(one), 32))
	}
	secrets, _ := identity.FixedSecrets(list...) // they are long enough
	return secrets
}

// drawer stands in for the store.
type drawer struct {
	mu   sync.Mutex
	keys []token.Sealed
}

func (d *drawer) SigningKeys(_ context.Context, choose func([]token.Sealed) (token.Change, error)) ([]token.Sealed, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change, err := choose(d.keys)
	d.keys = slices.DeleteFunc(d.keys, func(k token.Sealed) bool { return slices.Contains(change.Drop, k.ID) })
	for _, k := range change.Reseal {
		for i := range d.keys {
			if d.keys[i].ID == k.ID {
				d.keys[i].Box = k.Box
			}
		}
	}
	if change.Add != nil {
		d.keys = append(d.keys, *change.Add)
	}
	return slices.Clone(d.keys), err
}

func verifier(r *token.Ring) *identity.TokenVerifier {
	jwks := identity.NewJWKS(func(context.Context) (string, error) { return r.JWKS(), nil })
	return identity.NewTokenVerifier(jwks, identity.TokenAudience, identity.TokenIssuer)
}

func TestTokensAreGoodForTheirLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, err := token.Load(t.Context(), &drawer{}, secret, rotation)
		require.NoError(t, err)
		text, ends, err := ring.Issue(token.Grant{User: ann}, 15*time.Minute)
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(15*time.Minute).Truncate(time.Second), ends)

		id, err := verifier(ring).Verify(t.Context(), text)
		require.NoError(t, err)
		require.Equal(t, identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)}, id)
		again, _, err := ring.Issue(token.Grant{User: ann}, 15*time.Minute)
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
	first, err := token.Load(t.Context(), stored, secret, rotation)
	require.NoError(t, err)
	text, _, err := first.Issue(token.Grant{User: ann}, time.Minute)
	require.NoError(t, err)
	second, err := token.Load(t.Context(), stored, secret, rotation)
	require.NoError(t, err)
	require.Equal(t, first.JWKS(), second.JWKS())
	require.Len(t, stored.keys, 1)
	_, err = verifier(second).Verify(t.Context(), text)
	require.NoError(t, err)
	require.NotContains(t, second.JWKS(), `"d"`, "the private half is never published")
}

func TestAChangedMeshSecretWithdrawsTheKeysItSealed(t *testing.T) {
	stored := &drawer{}
	old, err := token.Load(t.Context(), stored, secret, rotation)
	require.NoError(t, err)
	text, _, err := old.Issue(token.Grant{User: ann}, time.Minute)
	require.NoError(t, err)
	ring, err := token.Load(t.Context(), stored, mustSecrets("t"), rotation)
	require.NoError(t, err)
	require.NotEqual(t, old.JWKS(), ring.JWKS())
	_, err = verifier(ring).Verify(t.Context(), text)
	require.ErrorIs(t, err, fault.Unauthenticated)
}

// The mesh secret is rotated as driftmesh secret rotate does: nobody has to log in
// again, and in the end the old one opens nothing.
func TestARotatedMeshSecretKeepsTheKeys(t *testing.T) {
	stored := &drawer{}
	old, err := token.Load(t.Context(), stored, secret, rotation)
	require.NoError(t, err)
	text, _, err := old.Issue(token.Grant{User: ann}, time.Minute)
	require.NoError(t, err)
	for _, step := range [][]string{{"s", "t"}, {"t", "s"}, {"t"}, {"t", "u"}, {"u", "t"}, {"u"}} {
		ring, err := token.Load(t.Context(), stored, mustSecrets(step...), rotation)
		require.NoError(t, err)
		require.Equal(t, old.JWKS(), ring.JWKS(), step)
		_, err = verifier(ring).Verify(t.Context(), text)
		require.NoError(t, err, step)
	}
	ring, err := token.Load(t.Context(), stored, secret, rotation)
	require.NoError(t, err)
	require.NotEqual(t, old.JWKS(), ring.JWKS(), "what leaked opens nothing")
}

func TestStoredKeysAreSealed(t *testing.T) {
	stored := &drawer{}
	_, err := token.Load(t.Context(), stored, secret, rotation)
	require.NoError(t, err)
	require.Len(t, stored.keys[0].Box, 12+32+16)
	stored.keys[0].Box[20] ^= 1 // a changed key is no key
	_, err = token.Load(t.Context(), stored, secret, rotation)
	require.NoError(t, err)
	require.Len(t, stored.keys, 2)
	stored.keys = stored.keys[1:]
	stored.keys[0].ID = "other" // nor is one under another name
	_, err = token.Load(t.Context(), stored, secret, rotation)
	require.NoError(t, err)
	require.Len(t, stored.keys, 2)
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

// Keys take turns and nobody notices: each token is good for its life, also with
// somebody who fetches the keys once a minute, and what is of no use any more is
// withdrawn.
func TestSigningKeysTakeTurnsWithoutAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stored := &drawer{}
		daily := rotation
		daily.Every = 24 * time.Hour
		ring, err := token.Load(t.Context(), stored, secret, daily)
		require.NoError(t, err)
		published := ring.JWKS()
		verifier := identity.NewTokenVerifier(identity.NewJWKS(func(context.Context) (string, error) { return published, nil }),
			identity.TokenAudience, identity.TokenIssuer)
		type issued struct {
			text string
			ends time.Time
		}
		var live []issued
		kids := map[string]bool{}
		for minute := range 60 * 60 {
			if minute == 1000 {
				_, signs, err := ring.Rotate(t.Context())
				require.NoError(t, err)
				require.Equal(t, time.Now().Add(2*time.Minute), signs)
				_, again, err := ring.Rotate(t.Context())
				require.NoError(t, err)
				require.Equal(t, signs, again, "one is on its way already")
			}
			if m := minute % (24 * 60); m < 60 || m > 990 && m < 1060 {
				require.NoError(t, ring.Refresh(t.Context()))
				text, ends, err := ring.Issue(token.Grant{User: ann}, 15*time.Minute)
				require.NoError(t, err)
				live = append(live, issued{text, ends})
				head, _, _ := strings.Cut(text, ".")
				kids[head] = true
				// Somebody who is a minute behind.
				live = slices.DeleteFunc(live, func(one issued) bool { return !time.Now().Before(one.ends) })
				for _, one := range []issued{live[0], live[len(live)-1]} {
					_, err := verifier.Verify(t.Context(), one.text)
					require.NoError(t, err, "minute %d", minute)
				}
				published = ring.JWKS()
				verifier = identity.NewTokenVerifier(identity.NewJWKS(func(context.Context) (string, error) { return published, nil }),
					identity.TokenAudience, identity.TokenIssuer)
			}
			time.Sleep(time.Minute)
		}
		require.GreaterOrEqual(t, len(kids), 3, "by command, and twice by time")
		require.NoError(t, ring.Refresh(t.Context()))
		require.LessOrEqual(t, len(stored.keys), 2, "those of no use are dropped")
	})
}

func TestRefreshTokens(t *testing.T) {
	session := token.NewSession()
	text, hash := token.NewRefresh(session)
	require.True(t, strings.HasPrefix(text, "dmr_"+session+"_"))
	gotSession, gotHash, err := token.ParseRefresh(text)
	require.NoError(t, err)
	require.Equal(t, session, gotSession)
	require.Equal(t, hash, gotHash)
	other, _ := token.NewRefresh(session)
	require.NotEqual(t, text, other)
}

func TestDevicesAreOfOneUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		devices := token.NewDevices(secret)
		text := devices.New("acme", "ann")
		id := devices.Check(text, "acme", "ann")
		require.NotEmpty(t, id)
		require.Equal(t, id, devices.Check(text, "acme", "ann"))
		require.Empty(t, token.NewDevices(mustSecrets("x")).Check(text, "acme", "ann"))
		rotated := token.NewDevices(mustSecrets("x", "s"))
		require.Equal(t, id, rotated.Check(text, "acme", "ann"), "the mesh secret was rotated")
		require.NotEmpty(t, token.NewDevices(mustSecrets("x")).Check(rotated.New("acme", "ann"), "acme", "ann"), "the first makes new ones")
		for _, bad := range [][3]string{{text, "acme", "bob"}, {text, "beta", "ann"}, {text + "A", "acme", "ann"}, {"", "acme", "ann"}, {"dmd__", "acme", "ann"}} {
			require.Empty(t, devices.Check(bad[0], bad[1], bad[2]), bad)
		}
		time.Sleep(181 * 24 * time.Hour)
		require.Empty(t, devices.Check(text, "acme", "ann"), "in the end it is forgotten")
	})
}

// A device has one text, so that nobody is many devices by capital letters, or by ends
// of lines, which decoding passes over.
func TestADeviceHasOneText(t *testing.T) {
	t.Parallel()
	devices := token.NewDevices(secret)
	text := devices.New("acme", "ann")
	require.NotEmpty(t, devices.Check(text, "acme", "ann"))
	id, tag, _ := strings.Cut(strings.TrimPrefix(text, "dmd_"), "_")
	for _, other := range []string{"dmd_" + strings.ToUpper(id) + "_" + tag, text + "\n", "dmd_" + id + "_" + tag[:20] + "\r" + tag[20:]} {
		if other == text {
			continue // an id without letters
		}
		require.Empty(t, devices.Check(other, "acme", "ann"), "%q", other)
	}
}

func FuzzTokens(f *testing.F) {
	devices := token.NewDevices(secret)
	text, _ := token.NewRefresh(token.NewSession())
	device := devices.New("acme", "ann")
	f.Add(text)
	f.Add(device)
	f.Add("dmr_00000000000000000000000000000000_")
	f.Fuzz(func(t *testing.T, sent string) {
		session, hash, err := token.ParseRefresh(sent)
		if err == nil {
			require.Len(t, session, 32)
			require.Len(t, hash, 32)
			require.Len(t, sent, len(text))
		} else {
			require.ErrorIs(t, err, fault.Unauthenticated)
		}
		if devices.Check(sent, "acme", "ann") != "" { // a seed, which each process that fuzzes makes anew
			require.Len(t, sent, len(device))
			require.Empty(t, devices.Check(sent, "acme", "bob"))
			for i := range sent {
				changed := []byte(sent)
				changed[i] ^= 1
				require.Empty(t, devices.Check(string(changed), "acme", "ann"), "byte %d changed", i)
			}
		}
	})
}
