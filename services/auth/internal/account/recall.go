package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// recallFor is how long a password that was right is known to be.
	recallFor = 10 * time.Minute
	// recallSize bounds how many are known, at some 200 bytes each.
	recallSize = 4096
	// recallTimeout bounds a check that several wait for.
	recallTimeout = 10 * time.Second
)

// Recall checks passwords as Login does, and remembers for a while which were right,
// so that many who log in as one user at once cost one hash, and the next ones none.
// It is for programs that log in anew with every connection. What it remembers is a
// MAC under a key that nobody else has; a user whose password was changed since is
// checked anew. It is safe for concurrent use.
type Recall struct {
	login *Login
	users Users
	key   [sha256.Size]byte
	now   func() time.Time

	flights singleflight.Group
	mu      sync.Mutex
	right   map[[sha256.Size]byte]recalled
}

// recalled is the hash that a password was right for.
type recalled struct {
	hash string
	ends time.Time
}

// NewRecall makes one that knows nothing yet.
func NewRecall(login *Login, users Users) *Recall {
	r := &Recall{login: login, users: users, now: time.Now, right: map[[sha256.Size]byte]recalled{}}
	_, _ = rand.Read(r.key[:]) // never fails (crypto/rand)
	return r
}

// Check is Login.Check.
func (r *Recall) Check(ctx context.Context, a Attempt) (User, error) {
	key := r.mac(a)
	user, known, err := r.known(ctx, key, a)
	if err != nil || known {
		return user, err
	}
	// The same password from several places is one guess at each.
	done := r.flights.DoChan(a.Source+"\x00"+string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recallTimeout)
		defer cancel()
		user, err := r.login.Check(ctx, a)
		if err == nil && !user.OneTime {
			r.remember(key, user.Hash)
		}
		return user, err
	})
	select {
	case <-ctx.Done():
		return User{}, ctx.Err()
	case result := <-done:
		user, _ = result.Val.(User)
		return user, result.Err
	}
}

func (r *Recall) mac(a Attempt) (key [sha256.Size]byte) {
	h := hmac.New(sha256.New, r.key[:])
	for _, part := range []string{a.Tenant, a.Name, a.Password} {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(part)))) // it cannot fail
		_, _ = h.Write([]byte(part))
	}
	h.Sum(key[:0])
	return key
}

// known gives the user of a password that is known to be right.
func (r *Recall) known(ctx context.Context, key [sha256.Size]byte, a Attempt) (User, bool, error) {
	r.mu.Lock()
	was, ok := r.right[key]
	r.mu.Unlock()
	if !ok || !r.now().Before(was.ends) {
		return User{}, false, nil
	}
	user, err := r.users.User(ctx, a.Tenant, a.Name)
	if err != nil {
		return User{}, false, fmt.Errorf("check password: %w", err)
	}
	if user.Hash != was.hash || user.OneTime {
		return User{}, false, nil // changed since
	}
	return user, true, user.Good()
}

func (r *Recall) remember(key [sha256.Size]byte, hash string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.right) >= recallSize {
		clear(r.right) // whoever comes again is checked once more
	}
	r.right[key] = recalled{hash: hash, ends: r.now().Add(recallFor)}
}
