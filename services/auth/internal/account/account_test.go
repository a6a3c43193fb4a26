package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "ann", "ann@example.org", "Änn Müller", strings.Repeat("x", 128)} {
		require.NoError(t, account.CheckUsername(good), good)
		require.NoError(t, account.CheckKeyName(good), good)
	}
	for bad, rule := range map[string]string{
		"":                       "username: has 0 bytes, want 1 to 128",
		strings.Repeat("x", 129): "username: has 129 bytes, want 1 to 128",
		"a\nb":                   "username: want printable UTF-8 text",
		"a\u202eb":               "username: want printable UTF-8 text",
		"\xff":                   "username: want printable UTF-8 text",
		" a":                     "username: must not begin or end with a space",
	} {
		err := account.CheckUsername(bad)
		require.ErrorIs(t, err, fault.Invalid)
		require.Equal(t, rule, fault.Of(err).Message())
	}
	require.ErrorContains(t, account.CheckKeyName(""), "name: has 0 bytes")
}

func TestPasswordsAndExpiry(t *testing.T) {
	require.NoError(t, account.CheckPassword("12345678"))
	require.NoError(t, account.CheckPassword(strings.Repeat("x", 256)))
	for _, bad := range []string{"", "hunter2", strings.Repeat("hunter2", 37)} {
		err := account.CheckPassword(bad)
		require.ErrorIs(t, err, fault.Invalid)
		require.ErrorContains(t, err, "want 8 to 256")
		require.NotContains(t, err.Error(), "hunter2")
	}
	for _, weak := range []string{"12345678", "annabel2026", "P4ssw0rd!"} {
		err := account.CheckNewPassword(weak, "acme", "annabel")
		require.Equal(t, "PASSWORD_WEAK", fault.Of(err).Reason())
		require.NotContains(t, err.Error(), weak)
		require.Equal(t, err, account.All(nil, err), "a reason of its own is kept")
	}
	require.ErrorContains(t, account.CheckNewPassword("short", "acme", "annabel"), "want 8 to 256")
	require.NoError(t, account.CheckNewPassword("correct horse", "acme", "annabel"))
	now := time.Now()
	require.NoError(t, account.CheckExpiry(time.Time{}, now))
	require.NoError(t, account.CheckExpiry(now.Add(1), now))
	require.ErrorIs(t, account.CheckExpiry(now, now), fault.Invalid)
}

func TestAllTellsEverythingAtOnce(t *testing.T) {
	require.NoError(t, account.All(nil, nil))
	err := account.All(nil, account.CheckUsername(""), account.CheckPassword("x"))
	require.ErrorIs(t, err, fault.Invalid)
	require.Equal(t, "username: has 0 bytes, want 1 to 128; password: has 1 bytes, want 8 to 256", fault.Of(err).Message())
	require.ErrorIs(t, account.All(account.CheckUsername(""), fault.Unavailable.New("x")), fault.Unavailable)
}

func TestKeysEnd(t *testing.T) {
	now := time.Now()
	require.True(t, account.Key{}.Good(now))
	require.True(t, account.Key{Expires: now.Add(1)}.Good(now))
	require.False(t, account.Key{Expires: now}.Good(now))
	require.False(t, account.Key{Revoked: now.Add(-1)}.Good(now))
	require.False(t, account.Key{OwnerDisabled: now.Add(-1)}.Good(now))
}
