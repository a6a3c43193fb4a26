package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Users is where Login finds users.
type Users interface {
	// User gives a user, or fault.NotFound.
	User(ctx context.Context, tenant, name string) (User, error)
	// SetHash replaces the password hash of a user, if it is still the old one.
	SetHash(ctx context.Context, user User, hash string) error
}

// Login checks passwords. It is safe for concurrent use.
type Login struct {
	users    Users
	hasher   *Hasher
	throttle *Throttle
}

// NewLogin makes a Login.
func NewLogin(users Users, hasher *Hasher) *Login {
	return &Login{users: users, hasher: hasher, throttle: NewThrottle()}
}

// Check gives the user whose password it is. For an unknown tenant or user and
// for a wrong password it gives the same fault.Unauthenticated after the same
// time; for too many wrong passwords, or too many callers, fault.Exhausted.
func (l *Login) Check(ctx context.Context, tenant, name, password string) (User, error) {
	var user User
	right, err := l.throttle.Try(tenant+"/"+name, func() (right bool, err error) {
		user, right, err = l.check(ctx, tenant, name, password)
		return right, err
	})
	if err != nil {
		return User{}, fmt.Errorf("check password: %w", err)
	}
	if !right {
		return User{}, fault.Unauthenticated.New("the tenant, the user name or the password is wrong").
			WithReason("LOGIN_REFUSED")
	}
	return user, nil
}

func (l *Login) check(ctx context.Context, tenant, name, password string) (User, bool, error) {
	user, err := l.users.User(ctx, tenant, name)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return User{}, false, err
	}
	right, err := l.hasher.Verify(ctx, password, user.Hash)
	if err != nil || !right {
		return User{}, false, err
	}
	if l.hasher.Outdated(user.Hash) {
		l.renew(ctx, user, password)
	}
	return user, true, nil
}

// renew stores the password under today's parameters: only now is it at hand.
// That it does not work out is no reason to keep the user out; the next login
// tries again.
func (l *Login) renew(ctx context.Context, user User, password string) {
	hash, err := l.hasher.Hash(ctx, password)
	if err == nil {
		_ = l.users.SetHash(ctx, user, hash)
	}
}
