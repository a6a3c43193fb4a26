// Package profiles keeps at hand what a service knows of profiles. It asks their
// owner once for all who ask at the same time, believes the answer for as long as
// it is told to, and stays bounded.
package profiles

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Load asks the owner for a tenant's profile by one of its names. It returns
// fault.NotFound when the tenant has none of that name; any other error means
// that the owner could not say.
type Load[T any] func(ctx context.Context, tenant, name string) (T, error)

// Config says how long answers are believed, and how many are kept.
type Config struct {
	// Size bounds the answers kept; any one goes when there are more, one that is
	// no profile if it is met first.
	Size int
	// Known is how long a profile is believed; 0 is for ever, which is right for
	// uids: their profiles never change.
	Known time.Duration
	// Absent is how long it is believed that there is no such profile, or that the
	// owner cannot say; 0 is not at all. A profile that was known stays known
	// meanwhile.
	Absent time.Duration
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// loadTimeout bounds one question to the owner, which does not end with the
// caller who happened to be the first.
const loadTimeout = 5 * time.Second

// Cache keeps what T says of profiles. It is safe for concurrent use.
type Cache[T any] struct {
	cfg    Config
	load   Load[T]
	flight singleflight.Group

	mu      sync.Mutex
	entries map[key]entry[T]
}

type key struct{ tenant, name string }

type entry[T any] struct {
	profile T
	err     error     // not nil: there is none, or nobody could say
	until   time.Time // zero: for ever
}

// New makes an empty cache over load.
func New[T any](cfg Config, load Load[T]) *Cache[T] {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Cache[T]{cfg: cfg, load: load, entries: make(map[key]entry[T])}
}

// Get gives the tenant's profile of that name: fault.NotFound when there is none,
// and what load returned when its owner could not say, now or a moment ago. When
// ctx is done, it tells what it knows.
func (c *Cache[T]) Get(ctx context.Context, tenant, name string) (none T, err error) {
	k := key{tenant, name}
	if e, fresh, _ := c.look(k); fresh {
		return e.profile, e.err
	}
	if ctx.Err() != nil {
		return none, fault.Of(ctx.Err())
	}
	// The first caller's context must not fail the others.
	done := c.flight.DoChan(tenant+"\x00"+name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return c.ask(ctx, k)
	})
	select {
	case <-ctx.Done():
		return none, fault.Of(ctx.Err())
	case r := <-done:
		p, _ := r.Val.(T)
		return p, r.Err
	}
}

// look finds what is kept, and whether it may be believed.
func (c *Cache[T]) look(k key) (e entry[T], fresh, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, found = c.entries[k]
	return e, found && (e.until.IsZero() || c.cfg.Now().Before(e.until)), found
}

func (c *Cache[T]) ask(ctx context.Context, k key) (none T, err error) {
	before, fresh, found := c.look(k)
	if fresh { // a load that ended since the caller looked
		return before.profile, before.err
	}
	p, err := c.load(ctx, k.tenant, k.name)
	now := c.cfg.Now()
	e := entry[T]{profile: p, err: err}
	switch {
	case err == nil && c.cfg.Known == 0: // for ever
	case err == nil:
		e.until = now.Add(c.cfg.Known)
	case errors.Is(err, fault.NotFound):
		e = entry[T]{err: err, until: now.Add(c.cfg.Absent)}
	case found && before.err == nil:
		// Better an old answer than none: and do not ask again at every record
		// while the owner is away.
		e = entry[T]{profile: before.profile, until: now.Add(c.cfg.Absent)}
	case fault.KindOf(err).Retryable():
		e = entry[T]{err: err, until: now.Add(c.cfg.Absent)}
	default: // about the question, or about us
		return none, err
	}
	c.keep(k, e)
	return e.profile, e.err
}

func (c *Cache[T]) keep(k key, e entry[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.entries[k]; !found && len(c.entries) >= c.cfg.Size {
		c.evict()
	}
	c.entries[k] = e
}

// evict forgets one answer, one that is no profile if one of the first it meets
// is. Map order is random enough.
func (c *Cache[T]) evict() {
	const looks = 8
	var victim key
	looked := 0
	for k, e := range c.entries {
		if looked == 0 || e.err != nil {
			victim = k
		}
		if looked++; looked >= looks || e.err != nil {
			break
		}
	}
	delete(c.entries, victim)
}

// Len is how many answers are kept.
func (c *Cache[T]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
