package account_test

import (
	"context"
	"strings"
	"sync"
	"testing"

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
	hash, err := account.NewHasher(account.HashParams{MemoryKiB: 32, Passes: 1, Lanes: 1}).Hash(ctx, "correct horse")
	require.NoError(t, err)
	ann := account.User{Tenant: "acme", Name: "ann", Grant: policy.As(policy.Admin), Hash: hash}
	users := &people{all: map[string]account.User{"acme/ann": ann}}
	login := account.NewLogin(users, account.NewHasher(cheap))

	user, err := login.Check(ctx, "acme", "ann", "correct horse")
	require.NoError(t, err)
	require.Equal(t, ann, user)
	renewed := users.all["acme/ann"].Hash
	require.True(t, strings.HasPrefix(renewed, "$argon2id$v=19$m=64,"), "stored under today's parameters: %s", renewed)
	_, err = login.Check(ctx, "acme", "ann", "correct horse")
	require.NoError(t, err)
	require.Equal(t, renewed, users.all["acme/ann"].Hash)

	_, wrongPassword := login.Check(ctx, "acme", "ann", "wrong horse")
	_, wrongUser := login.Check(ctx, "acme", "bob", "correct horse")
	_, wrongTenant := login.Check(ctx, "other", "ann", "correct horse")
	for _, err := range []error{wrongPassword, wrongUser, wrongTenant} {
		require.ErrorIs(t, err, fault.Unauthenticated)
		require.Equal(t, wrongPassword.Error(), err.Error(), "they must not be told apart")
	}

	users.away = fault.Unavailable.New("away")
	_, err = login.Check(ctx, "acme", "ann", "correct horse")
	require.ErrorIs(t, err, fault.Unavailable)
	require.NotErrorIs(t, err, fault.Unauthenticated)
}
