package account_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

type people struct {
	mu   sync.Mutex
	all  map[string]account.User
	away error
}

func (p *people) User(_ context.Context, tenant, name string) (account.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away != nil {
		return account.User{}, p.away
	}
	user, ok := p.all[tenant+"/"+name]
	if !ok {
		return account.User{}, fault.NotFound.New("no such row")
	}
	return user, nil
}

func (p *people) SetHash(_ context.Context, user account.User, hash string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	user.Hash = hash
	p.all[user.Tenant+"/"+user.Name] = user
	return nil
}

func TestLogin(t *testing.T) {
	ctx := t.Context()
	hash, err := account.NewHasher(account.HashParams{MemoryKiB: 32, Passes: 1, Lanes: 1}).Hash(ctx, nowhere, "correct horse")
	require.NoError(t, err)
	ann := account.User{Tenant: "acme", Name: "ann", Grant: policy.As(policy.Admin), Hash: hash}
	users := &people{all: map[string]account.User{"acme/ann": ann}}
	login := account.NewLogin(users, account.NewHasher(cheap))

	user, err := login.Check(ctx, account.Attempt{Tenant: "acme", Name: "ann", Password: "correct horse"})
	require.NoError(t, err)
	require.Equal(t, ann.Name, user.Name)
	require.Equal(t, users.all["acme/ann"].Hash, user.Hash)
	renewed := users.all["acme/ann"].Hash
	require.True(t, strings.HasPrefix(renewed, "$argon2id$v=19$m=64,"), "stored under today's parameters: %s", renewed)
	_, err = login.Check(ctx, account.Attempt{Tenant: "acme", Name: "ann", Password: "correct horse"})
	require.NoError(t, err)
	require.Equal(t, renewed, users.all["acme/ann"].Hash)

	_, wrongPassword := login.Check(ctx, account.Attempt{Tenant: "acme", Name: "ann", Password: "wrong horse"})
	_, wrongUser := login.Check(ctx, account.Attempt{Tenant: "acme", Name: "bob", Password: "correct horse"})
	_, wrongTenant := login.Check(ctx, account.Attempt{Tenant: "other", Name: "ann", Password: "correct horse"})
	for _, err := range []error{wrongPassword, wrongUser, wrongTenant} {
		require.ErrorIs(t, err, fault.Unauthenticated)
		require.Equal(t, wrongPassword.Error(), err.Error(), "they must not be told apart")
	}

	users.away = fault.Unavailable.New("away")
	_, err = login.Check(ctx, account.Attempt{Tenant: "acme", Name: "ann", Password: "correct horse"})
	require.ErrorIs(t, err, fault.Unavailable)
	require.NotErrorIs(t, err, fault.Unauthenticated)
}

// people that guess: what an attacker does to somebody else's account.
func TestAttacksOnLogin(t *testing.T) {
	hash, err := account.NewHasher(cheap).Hash(t.Context(), nowhere, "correct horse")
	require.NoError(t, err)
	users := &people{all: map[string]account.User{"acme/ann": {Tenant: "acme", Name: "ann", Hash: hash}}}
	guess := func(login *account.Login, name, source string) error {
		_, err := login.Check(t.Context(), account.Attempt{Tenant: "acme", Name: name, Password: "wrong", Source: source})
		return err
	}
	owner := account.Attempt{Tenant: "acme", Name: "ann", Password: "correct horse", Source: "home"}
	device := owner
	device.Device = "laptop"

	t.Run("one source guesses one name", func(t *testing.T) {
		login := account.NewLogin(users, account.NewHasher(cheap))
		for range 5 {
			require.ErrorIs(t, guess(login, "ann", "evil"), fault.Unauthenticated)
		}
		require.ErrorIs(t, guess(login, "ann", "evil"), fault.Exhausted)
		_, err := login.Check(t.Context(), owner)
		require.NoError(t, err, "elsewhere the owner is not affected")
	})
	t.Run("one source sprays names", func(t *testing.T) {
		login := account.NewLogin(users, account.NewHasher(cheap))
		var refused int
		for n := range 200 {
			if errors.Is(guess(login, strconv.Itoa(n), "evil"), fault.Unauthenticated) {
				refused++
			}
		}
		require.LessOrEqual(t, refused, 31, "after that they are not even looked at")
		_, err := login.Check(t.Context(), owner)
		require.NoError(t, err)
	})
	t.Run("many sources guess one name", func(t *testing.T) {
		login := account.NewLogin(users, account.NewHasher(cheap))
		var refused int
		for n := range 300 {
			if errors.Is(guess(login, "ann", strconv.Itoa(n)), fault.Unauthenticated) {
				refused++
			}
		}
		require.LessOrEqual(t, refused, 101)
		_, err := login.Check(t.Context(), owner)
		require.ErrorIs(t, err, fault.Exhausted, "a stranger under the name is one of them")
		_, err = login.Check(t.Context(), device)
		require.NoError(t, err, "the owner's device is not")
		require.ErrorIs(t, guess(login, "bob", "office"), fault.Unauthenticated, "others neither")
	})
	t.Run("a stolen device guesses", func(t *testing.T) {
		login := account.NewLogin(users, account.NewHasher(cheap))
		stolen := device
		stolen.Password, stolen.Source = "wrong", "evil"
		var refused int
		for range 100 {
			if _, err := login.Check(t.Context(), stolen); errors.Is(err, fault.Unauthenticated) {
				refused++
			}
		}
		require.LessOrEqual(t, refused, 10+5+1, "it is worth ten guesses, then it is a stranger")
	})
}

func TestDisabledAccountsAreToldToThoseWhoKnowThePassword(t *testing.T) {
	hash, err := account.NewHasher(cheap).Hash(t.Context(), nowhere, "correct horse")
	require.NoError(t, err)
	past, ahead := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	users := &people{all: map[string]account.User{
		"acme/disabled": {Hash: hash, Disabled: past},
		"gone/ann":      {Hash: hash, TenantDisabled: past},
		"acme/old":      {Hash: hash, OneTime: true, PasswordEnds: past},
		"acme/new":      {Hash: hash, OneTime: true, PasswordEnds: ahead},
		"acme/robot":    {Service: true},
	}}
	login := account.NewLogin(users, account.NewHasher(cheap))
	for _, row := range []struct {
		tenant, name, password, reason string
	}{
		{"acme", "disabled", "correct horse", "ACCOUNT_DISABLED"},
		{"acme", "disabled", "wrong horse", "LOGIN_REFUSED"},
		{"gone", "ann", "correct horse", "TENANT_DISABLED"},
		{"acme", "old", "correct horse", "LOGIN_REFUSED"},
		{"acme", "new", "correct horse", ""},
		{"acme", "robot", "correct horse", "LOGIN_REFUSED"},
		{"acme", "robot", "", "LOGIN_REFUSED"},
	} {
		_, err := login.Check(t.Context(), account.Attempt{Tenant: row.tenant, Name: row.name, Password: row.password})
		if row.reason == "" {
			require.NoError(t, err, row)
			continue
		}
		require.Equal(t, row.reason, fault.Of(err).Reason(), row)
	}
}
