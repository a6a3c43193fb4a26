package store_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// withUsers is a store with users and a service account of acme, each of which
// the returned function logs in.
func withUsers(t *testing.T, url string) (*store.Store, func(name string, at time.Time) (id string, hash []byte)) {
	t.Helper()
	s := withTenants(t, url)
	for _, name := range []string{"ann", "bob"} {
		require.NoError(t, s.AddUser(t.Context(), account.User{Tenant: "acme", Name: name, Hash: "hash of " + name, Created: day}, "test"))
	}
	require.NoError(t, s.AddUser(t.Context(), account.User{Tenant: "acme", Name: "robot", Service: true, Created: day}, "test"))
	return s, func(name string, at time.Time) (string, []byte) {
		t.Helper()
		user, err := s.User(t.Context(), "acme", name)
		require.NoError(t, err)
		id := token.NewSession()
		_, hash := token.NewRefresh(id)
		require.NoError(t, s.OpenSession(t.Context(), user,
			account.Session{ID: id, Tenant: "acme", User: name, Created: at, Ends: at.Add(time.Hour)}, hash))
		return id, hash
	}
}

// revoked is what was revoked after a number.
func revoked(t *testing.T, s *store.Store, after int64) (all []string, head int64) {
	t.Helper()
	found, err := s.Revocations(t.Context(), after, 100)
	require.NoError(t, err)
	for _, r := range found {
		require.Greater(t, r.Number, after)
		after = r.Number
		all = append(all, fmt.Sprintf("%s %s/%s", r.Kind, r.Tenant, r.Subject))
	}
	head, err = s.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, max(after, head))
	return all, head
}

func TestChangesOfAccountsEndWhatTheyHad(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s, login := withUsers(t, url)
		require.NoError(t, s.AddKey(ctx, account.Key{ID: "k1", Tenant: "acme", Name: "ci", Hash: []byte{1}, Created: day, Account: "robot"}))
		require.ErrorIs(t, s.AddKey(ctx, account.Key{ID: "k2", Tenant: "acme", Name: "ci", Hash: []byte{1}, Created: day, Account: "ann"}), fault.NotFound,
			"a person has no keys")
		_, head := revoked(t, s, 0)
		sessions := func(name string) int {
			n, err := s.Sessions(ctx, "acme", name)
			require.NoError(t, err)
			return n
		}
		for what, change := range map[string]func() error{
			"disabled": func() error { return s.DisableUser(ctx, "acme", "ann", day) },
			"enabled":  func() error { return s.DisableUser(ctx, "acme", "ann", time.Time{}) },
			"password": func() error {
				return s.SetPassword(ctx, "acme", "ann", store.Password{Hash: "hash of ann", OneTime: true, Ends: day})
			},
		} {
			require.NoError(t, s.DisableUser(ctx, "acme", "ann", time.Time{}))
			_, head = revoked(t, s, head)
			login("ann", day)
			login("bob", day)
			require.NoError(t, change(), what)
			require.Zero(t, sessions("ann"), what)
			require.Positive(t, sessions("bob"), what)
			all, now := revoked(t, s, head)
			require.Equal(t, []string{"user acme/ann"}, all, what)
			head = now
		}
		user, err := s.User(ctx, "acme", "ann")
		require.NoError(t, err)
		require.Equal(t, day, user.LastLogin)
		require.ErrorIs(t, s.SetPassword(ctx, "acme", "bob", store.Password{Hash: "x", Instead: "another"}), fault.Conflict)
		require.ErrorIs(t, s.SetPassword(ctx, "acme", "robot", store.Password{Hash: "x"}), fault.Precondition)
		require.ErrorIs(t, s.DeleteUser(ctx, "beta", "ann", day), fault.NotFound, "not beta's")
		all, _ := revoked(t, s, head)
		require.Empty(t, all)

		require.NoError(t, s.DisableUser(ctx, "acme", "robot", day))
		key, err := s.Key(ctx, "k1")
		require.NoError(t, err)
		require.False(t, key.Good(day))
		require.NoError(t, s.DisableUser(ctx, "acme", "robot", time.Time{}))
		key, err = s.Key(ctx, "k1")
		require.NoError(t, err)
		require.True(t, key.Good(day))
		require.NoError(t, s.DeleteUser(ctx, "acme", "robot", day))
		key, err = s.Key(ctx, "k1")
		require.NoError(t, err)
		require.False(t, key.Good(day))
		all, _ = revoked(t, s, head)
		require.Equal(t, []string{"key acme/k1", "user acme/robot", "key acme/k1", "user acme/robot", "key acme/k1", "user acme/robot"}, all)
		_, err = s.User(ctx, "acme", "robot")
		require.ErrorIs(t, err, fault.NotFound)
	})
}

func TestTenantsAreDisabledAndDeleted(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s, login := withUsers(t, url)
		require.NoError(t, s.AddKey(ctx, account.Key{ID: "k1", Tenant: "acme", Name: "ci", Hash: []byte{1}, Created: day}))
		login("ann", day)
		require.NoError(t, s.DisableTenant(ctx, "acme", day))
		user, err := s.User(ctx, "acme", "ann")
		require.NoError(t, err)
		require.ErrorIs(t, user.Good(), fault.Denied)
		key, err := s.Key(ctx, "k1")
		require.NoError(t, err)
		require.False(t, key.Good(day))
		n, err := s.Sessions(ctx, "acme", "ann")
		require.NoError(t, err)
		require.Zero(t, n)
		require.ErrorIs(t, s.OpenSession(ctx, user, account.Session{ID: "s", Tenant: "acme", User: "ann"}, []byte{1}), fault.Precondition)

		require.NoError(t, s.DisableTenant(ctx, "acme", time.Time{}))
		login("ann", day)
		require.NoError(t, s.DeleteTenant(ctx, "acme", day))
		_, err = s.Key(ctx, "k1")
		require.ErrorIs(t, err, fault.NotFound)
		_, err = s.User(ctx, "acme", "ann")
		require.ErrorIs(t, err, fault.NotFound)
		all, err := s.Tenants(ctx)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.ErrorIs(t, s.AddTenant(ctx, account.Tenant{Name: "acme", Created: day}), fault.Exists, "its data is there still")
		require.ErrorIs(t, s.AddUser(ctx, account.User{Tenant: "acme", Name: "eve", Hash: "h"}, "test"), fault.NotFound)
		require.ErrorIs(t, s.AddKey(ctx, account.Key{ID: "k2", Tenant: "acme", Hash: []byte{1}}), fault.NotFound)
		require.ErrorIs(t, s.DisableTenant(ctx, "acme", time.Time{}), fault.NotFound)
		said, _ := revoked(t, s, 0)
		require.Equal(t, []string{"tenant acme/", "tenant acme/", "tenant acme/"}, said)
	})
}

func TestRefreshTokensTakeTurns(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s, login := withUsers(t, url)
		id, first := login("ann", day)
		rotate := func(old []byte, after time.Duration) ([]byte, error) {
			_, next := token.NewRefresh(id)
			user, session, err := s.Rotate(ctx, store.Rotation{Session: id, Old: old, Next: next, At: day.Add(after)})
			if err == nil {
				require.Equal(t, "ann", user.Name)
				require.Equal(t, id, session.ID)
			}
			return next, err
		}
		second, err := rotate(first, time.Minute)
		require.NoError(t, err)
		// The answer did not arrive, so it is asked for again; what was in it is good
		// for nothing any more.
		again, err := rotate(first, time.Minute+10*time.Second)
		require.NoError(t, err)
		_, err = rotate(second, 2*time.Minute)
		require.ErrorIs(t, err, fault.Unauthenticated)
		require.Equal(t, "SESSION_ENDED", fault.Of(err).Reason())
		third, err := rotate(again, 2*time.Minute)
		require.NoError(t, err, "a text that is none of the session's ends nothing")

		_, err = rotate(again, time.Minute+15*time.Second)
		require.NoError(t, err, "its answer was not used")
		_, err = rotate(third, 2*time.Minute)
		require.Error(t, err)
	})
}

func TestAStolenRefreshTokenEndsTheSession(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		s, login := withUsers(t, url)
		for name, row := range map[string]struct {
			steps []int // which token is sent, the first is 0
			later time.Duration
		}{
			"the thief comes at once": {[]int{0, 1, 0}, 0},
			"the thief comes late":    {[]int{0, 0}, time.Minute},
			"much later":              {[]int{0, 1, 2, 3, 1}, time.Minute},
		} {
			id, hash := login("ann", day)
			tokens := [][]byte{hash}
			at := day
			_, head := revoked(t, s, 0)
			for i, step := range row.steps {
				at = at.Add(time.Second + row.later)
				_, next := token.NewRefresh(id)
				_, session, err := s.Rotate(t.Context(), store.Rotation{Session: id, Old: tokens[step], Next: next, At: at})
				if i < len(row.steps)-1 {
					require.NoError(t, err, name)
					tokens = append(tokens, next)
					continue
				}
				require.ErrorIs(t, err, fault.Unauthenticated, name)
				require.Equal(t, store.ReasonReused, fault.Of(err).Reason(), name)
				require.Equal(t, "ann", session.User)
			}
			_, next := token.NewRefresh(id)
			_, _, err := s.Rotate(t.Context(), store.Rotation{Session: id, Old: tokens[len(tokens)-1], Next: next, At: at})
			require.ErrorIs(t, err, fault.Unauthenticated, "%s: the owner's token is gone too", name)
			all, _ := revoked(t, s, head)
			require.Equal(t, []string{"session acme/" + id}, all, name)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s, login := withUsers(t, url)
		id, hash := login("ann", day)
		_, next := token.NewRefresh(id)
		_, _, err := s.Rotate(ctx, store.Rotation{Session: id, Old: hash, Next: next, At: day.Add(time.Hour)})
		require.ErrorIs(t, err, fault.Unauthenticated)

		id, hash = login("ann", day)
		require.NoError(t, s.EndSession(ctx, id, []byte("guessed")))
		require.NoError(t, s.EndSession(ctx, "unknown", hash))
		all, head := revoked(t, s, 0)
		require.Empty(t, all)
		require.NoError(t, s.EndSession(ctx, id, hash))
		all, _ = revoked(t, s, head)
		require.Equal(t, []string{"session acme/" + id}, all)

		for i := range 70 {
			login("bob", day.Add(time.Duration(i)))
		}
		n, err := s.Sessions(ctx, "acme", "bob")
		require.NoError(t, err)
		require.Equal(t, 64, n, "those of one user are bounded")
	})
}

// Numbers rise in the order in which what they are about was committed: whoever
// has seen one has missed none before it.
func TestNoRevocationIsMissed(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		replicas := []*store.Store{withTenants(t, url), open(t, url), open(t, url)}
		for i := range 3 {
			require.NoError(t, replicas[0].AddKey(t.Context(), account.Key{ID: fmt.Sprint(i), Tenant: "acme", Hash: []byte{1}, Created: day}))
		}
		ctx, stop := context.WithCancel(t.Context())
		seen := make(chan int, 1)
		go func() {
			var after int64
			n := 0
			for last := false; ; {
				all, err := replicas[0].Revocations(context.WithoutCancel(ctx), after, 1000)
				if err != nil {
					t.Errorf("list: %v", err)
				}
				for _, r := range all {
					after, n = r.Number, n+1
				}
				if last {
					seen <- n
					return
				}
				last = ctx.Err() != nil
			}
		}()
		var wg sync.WaitGroup
		for i, s := range replicas {
			wg.Go(func() {
				for range 20 {
					if err := s.RevokeKey(context.WithoutCancel(ctx), "acme", fmt.Sprint(i), time.Now()); err != nil {
						t.Errorf("revoke: %v", err)
					}
				}
			})
		}
		wg.Wait()
		stop()
		require.Equal(t, 60, <-seen)
	})
}

func TestKeysAreReplacedAndTheirUseIsNoted(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, now := t.Context(), time.Now().UTC().Truncate(time.Microsecond)
		s := withTenants(t, url)
		old := account.Key{ID: "k1", Tenant: "acme", Name: "ci", Hash: []byte{1}, Created: now, Expires: now.Add(time.Hour), CreatedBy: "test"}
		require.NoError(t, s.AddKey(ctx, old))
		choose := func(id string) func(account.Key) account.Key {
			return func(k account.Key) account.Key {
				k.ID, k.Hash = id, []byte{2}
				return k
			}
		}
		next, ends, err := s.ReplaceKey(ctx, old, now.Add(time.Minute), choose("k2"))
		require.NoError(t, err)
		require.Equal(t, now.Add(time.Minute), ends)
		require.Equal(t, "ci", next.Name)
		got, err := s.Key(ctx, "k1")
		require.NoError(t, err)
		require.Equal(t, now.Add(time.Minute), got.Expires)
		require.Equal(t, "k2", got.ReplacedBy)
		_, _, err = s.ReplaceKey(ctx, old, now.Add(time.Minute), choose("k3"))
		require.ErrorIs(t, err, fault.NotFound, "it was replaced already")
		_, ends, err = s.ReplaceKey(ctx, next, now.Add(2*time.Hour), choose("k4"))
		require.NoError(t, err)
		require.Equal(t, now.Add(time.Hour), ends, "no key lives longer for being replaced")
		all, _ := revoked(t, s, 0)
		require.Equal(t, []string{"key acme/k1", "key acme/k2"}, all, "everybody asks again when they end")

		require.NoError(t, s.UsedKeys(ctx, map[string]time.Time{"k4": now, "gone": now}))
		require.NoError(t, s.UsedKeys(ctx, map[string]time.Time{"k4": now.Add(-time.Hour)}))
		got, err = s.Key(ctx, "k4")
		require.NoError(t, err)
		require.Equal(t, now, got.LastUsed)
	})
}

func TestSigningKeysAreRotatedByOneReplica(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, secret := t.Context(), secrets(t, "s")
		var rings []*token.Ring
		for range 3 {
			ring, err := token.Load(ctx, open(t, url), secret, token.Rotation{Lead: time.Minute, Keep: time.Minute})
			require.NoError(t, err)
			rings = append(rings, ring)
		}
		ids := make([]string, len(rings))
		var wg sync.WaitGroup
		for i, ring := range rings {
			wg.Go(func() {
				id, _, err := ring.Rotate(ctx)
				if err != nil {
					t.Errorf("rotate: %v", err)
				}
				ids[i] = id
			})
		}
		wg.Wait()
		require.Equal(t, []string{ids[0], ids[0], ids[0]}, ids, "they agree on one")
		for _, ring := range rings {
			require.NoError(t, ring.Refresh(ctx))
			require.Equal(t, rings[0].Version(), ring.Version())
		}
		// Under a new mesh secret they are sealed anew, and stay when the old one goes.
		for _, good := range []*identity.Secrets{secrets(t, "t", "s"), secrets(t, "t")} {
			ring, err := token.Load(ctx, open(t, url), good, token.Rotation{Lead: time.Minute, Keep: time.Minute})
			require.NoError(t, err)
			require.Equal(t, rings[0].Version(), ring.Version())
		}
	})
}

// secrets are mesh secrets that repeat a letter each.
func secrets(t *testing.T, letters ...string) *identity.Secrets {
	t.Helper()
	var list [][]byte
	for _, one := range letters {
		list = append(list, bytes.Repeat([]byte(one), 32))
	}
	made, err := identity.FixedSecrets(list...)
	require.NoError(t, err)
	return made
}
