package record

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// Profiles knows profiles by uid, "space/name" and "space/name/version".
type Profiles interface {
	// Profile gives the caller's profile, fault.NotFound when there is none by
	// that name, and fault.Unavailable when that can not be found out now. The
	// tenant is the one in ctx, and is also given for caches.
	Profile(ctx context.Context, tenant, name string) (*Profile, error)
}

// How long an answer of drift is believed. A uid never changes its meaning,
// but "space/name" does when a new version is registered.
const (
	knownFor   = 30 * time.Second
	unknownFor = 2 * time.Second
	maxCached  = 4096
)

// lookupTimeout bounds one question to drift.
const lookupTimeout = 5 * time.Second

// Cache asks drift for profiles and remembers the answers. Concurrent questions
// for the same profile are asked once. While drift is away, a profile known
// before stays known. It is safe for concurrent use.
type Cache struct {
	drift driftv1.DriftServiceClient
	now   func() time.Time

	mu      sync.Mutex
	entries map[cacheKey]*cacheEntry
}

type cacheKey struct{ tenant, name string }

type cacheEntry struct {
	profile *Profile      // nil: unknown
	until   time.Time     // when to ask again
	asking  chan struct{} // not nil while somebody asks; closed when done
}

var _ Profiles = (*Cache)(nil)

// NewCache makes an empty cache before drift. now may be nil for the real
// clock.
func NewCache(drift driftv1.DriftServiceClient, now func() time.Time) *Cache {
	if now == nil {
		now = time.Now
	}
	return &Cache{drift: drift, now: now, entries: map[cacheKey]*cacheEntry{}}
}

// Profile implements Profiles.
func (c *Cache) Profile(ctx context.Context, tenant, name string) (*Profile, error) {
	key := cacheKey{tenant, name}
	for {
		c.mu.Lock()
		e := c.entry(key)
		if c.now().Before(e.until) {
			defer c.mu.Unlock()
			return e.answer(name)
		}
		wait := e.asking
		if wait == nil {
			e.asking = make(chan struct{})
			c.mu.Unlock()
			return c.ask(ctx, key, e)
		}
		c.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, fault.Of(ctx.Err())
		}
	}
}

func (e *cacheEntry) answer(name string) (*Profile, error) {
	if e.profile == nil {
		return nil, fault.NotFound.New("profile %q is not known", name)
	}
	return e.profile, nil
}

// entry is called with mu held.
func (c *Cache) entry(key cacheKey) *cacheEntry {
	if e := c.entries[key]; e != nil {
		return e
	}
	if len(c.entries) >= maxCached {
		c.evict()
	}
	e := &cacheEntry{}
	c.entries[key] = e
	return e
}

// evict forgets one answer, an unknown one if one of the first it meets is.
// Map order is random enough for a cache whose entries live for seconds.
func (c *Cache) evict() {
	const looks = 8
	var victim cacheKey
	found, looked := false, 0
	for k, e := range c.entries {
		if e.asking == nil && (!found || e.profile == nil) {
			victim, found = k, true
		}
		if looked++; looked >= looks && found {
			break
		}
	}
	if found {
		delete(c.entries, victim)
	}
}

// Len is how many answers are remembered.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

func (c *Cache) ask(ctx context.Context, key cacheKey, e *cacheEntry) (*Profile, error) {
	call, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	resp, err := c.drift.GetProfile(call, &driftv1.GetProfileRequest{Profile: key.name})
	c.mu.Lock()
	defer c.mu.Unlock()
	close(e.asking)
	e.asking = nil
	switch {
	case err == nil:
		e.profile, e.until = ProfileOf(resp.GetProfile()), c.now().Add(knownFor)
	case errors.Is(err, fault.NotFound) || errors.Is(err, fault.Invalid):
		e.profile, e.until = nil, c.now().Add(unknownFor)
	case e.profile != nil:
		// Better the answer of half a minute ago than none: do not ask again at
		// every record while drift is away.
		e.until = c.now().Add(unknownFor)
	default:
		return nil, fault.Unavailable.Wrap(err, "profile %q cannot be looked up now", key.name).
			WithReason("PROFILES_UNAVAILABLE").WithRetryAfter(unknownFor)
	}
	return e.answer(key.name)
}
