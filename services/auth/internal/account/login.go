package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Users is where Login finds users.
type Users interface {
	// User gives a user, or fault.NotFound.
	User(ctx context.Context, tenant, name string) (User, error)
	// SetHash replaces the password hash of a user, if it is still the old one.
	SetHash(ctx context.Context, user User, hash string) error
}

// How many wrong passwords are free. Whoever guesses from one place is held off
// there, and nobody else; from all places together guesses at one name are held
// off too, but those who have shown a device that an earlier login made known
// are not strangers and go their own way.
var (
	ofNameAndSource = Patience{Free: 5, Forget: 12 * time.Minute, Forgive: true}
	ofSource        = Patience{Free: 30, Forget: time.Minute}
	ofName          = Patience{Free: 100, Forget: time.Minute}
	ofDevice        = Patience{Free: 10, Forget: 12 * time.Minute, Forgive: true}
)

// Login checks passwords. It is safe for concurrent use.
type Login struct {
	users  Users
	hasher *Hasher

	pairs, sources, names, devices *Throttle
}

// NewLogin makes a Login.
func NewLogin(users Users, hasher *Hasher) *Login {
	return &Login{
		users: users, hasher: hasher,
		pairs: NewThrottle(ofNameAndSource), sources: NewThrottle(ofSource),
		names: NewThrottle(ofName), devices: NewThrottle(ofDevice),
	}
}

// Attempt is somebody who says who they are.
type Attempt struct {
	Tenant, Name, Password string
	// Source is where it comes from: a network.
	Source string
	// Device is the id of a device from which this user has logged in before,
	// verified; empty for none.
	Device string
}

// Check gives the user whose password it is. For an unknown tenant or user and
// for a wrong password it gives the same fault.Unauthenticated after the same
// time; for too many wrong passwords, or too many callers, fault.Exhausted. Only
// whoever knows the password learns, by fault.Denied, that an account is
// disabled.
func (l *Login) Check(ctx context.Context, a Attempt) (User, error) {
	var user User
	right, err := l.held(a, func(place Place) (right bool, err error) {
		user, right, err = l.check(ctx, place, a)
		return right, err
	})
	switch {
	case err != nil:
		return User{}, fmt.Errorf("check password: %w", err)
	case !right, user.OneTime && !time.Now().Before(user.PasswordEnds):
		return User{}, errRefused()
	}
	return user, user.Good()
}

func errRefused() error {
	return fault.Unauthenticated.New("the tenant, the user name or the password is wrong").
		WithReason("LOGIN_REFUSED")
}

// held runs check unless one of the throttles holds the attempt off. An attempt
// that the next one holds off counts with none.
func (l *Login) held(a Attempt, check func(Place) (bool, error)) (bool, error) {
	name := a.Tenant + "/" + a.Name
	if device := name + " " + a.Device; a.Device != "" && !l.devices.Exceeded(device) {
		return l.devices.Try(device, func() (bool, error) { return check(Place{Known: true, Source: device}) })
	}
	return l.pairs.Try(name+" "+a.Source, func() (bool, error) {
		return l.sources.Try(a.Source, func() (bool, error) {
			return l.names.Try(name, func() (bool, error) { return check(Place{Source: a.Source}) })
		})
	})
}

func (l *Login) check(ctx context.Context, place Place, a Attempt) (User, bool, error) {
	user, err := l.users.User(ctx, a.Tenant, a.Name)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return User{}, false, err
	}
	right, err := l.hasher.Verify(ctx, place, a.Password, user.Hash)
	if err != nil || !right {
		return User{}, false, err
	}
	if l.hasher.Outdated(user.Hash) {
		l.renew(ctx, place, &user, a.Password)
	}
	return user, true, nil
}

// renew stores the password under today's parameters: only now is it at hand.
// That it does not work out is no reason to keep the user out; the next login
// tries again.
func (l *Login) renew(ctx context.Context, place Place, user *User, password string) {
	hash, err := l.hasher.Hash(ctx, place, password)
	if err == nil && l.users.SetHash(ctx, *user, hash) == nil {
		user.Hash = hash
	}
}
