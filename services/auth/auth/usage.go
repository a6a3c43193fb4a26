package auth

import (
	"context"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

const (
	// usageEvery is how often the last use of a key is written at most.
	usageEvery = 5 * time.Minute
	// usageSize bounds the keys whose use is remembered; that of further ones is
	// noted at their next check.
	usageSize = 16384
)

// usage notes when API keys were used, and writes it later. It is safe for
// concurrent use.
type usage struct {
	store *store.Store

	mu      sync.Mutex
	pending map[string]time.Time
	written map[string]time.Time
}

func newUsage(s *store.Store) *usage {
	return &usage{store: s, pending: map[string]time.Time{}, written: map[string]time.Time{}}
}

// note remembers that a key was used now. It waits for nobody.
func (u *usage) note(id string) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Sub(u.written[id]) >= usageEvery && len(u.pending) < usageSize {
		u.pending[id] = now
	}
}

// flush writes what was noted. What cannot be written now is noted again at the
// key's next use.
func (u *usage) flush(ctx context.Context) error {
	u.mu.Lock()
	pending := u.pending
	u.pending = map[string]time.Time{}
	if len(u.written)+len(pending) > usageSize {
		u.written = map[string]time.Time{}
	}
	for id, at := range pending {
		u.written[id] = at
	}
	u.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	return u.store.UsedKeys(ctx, pending)
}
