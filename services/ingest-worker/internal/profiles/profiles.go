// Package profiles keeps the profiles that records name at hand. A profile
// never changes, so what was read once is good for ever; only that there is
// none, or that its owner could not say, is forgotten after a moment.
package profiles

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/away"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
)

// Load reads one profile of a tenant from its owner. It returns
// fault.NotFound when the tenant has none of that uid.
type Load func(ctx context.Context, tenant string, uid uuid.UUID) (*normalize.Profile, error)

// Config bounds a cache.
type Config struct {
	Size   int           // profiles kept; the least lucky goes when there are more
	Absent time.Duration // how long it is believed that there is none
}

// Cache is a bounded cache of profiles. It is safe for concurrent use: callers
// that want the same profile at the same time share one load.
type Cache struct {
	cfg    Config
	load   Load
	flight singleflight.Group
	failed away.Memory[key]

	mu      sync.Mutex
	entries map[key]entry
}

type key struct {
	tenant string
	uid    uuid.UUID
}

type entry struct {
	profile *normalize.Profile // nil: there is none
	until   time.Time          // zero: for ever
}

// New makes an empty cache over load.
func New(cfg Config, load Load) *Cache {
	return &Cache{cfg: cfg, load: load, entries: make(map[key]entry)}
}

// Get returns the profile, or nil when the tenant has none of that uid. An
// error means that its owner could not say, now or a moment ago. When ctx is
// done, it tells what it knows.
func (c *Cache) Get(ctx context.Context, tenant string, uid uuid.UUID) (p *normalize.Profile, err error) {
	k := key{tenant, uid}
	if p, ok := c.known(k); ok {
		return p, nil
	}
	err = c.failed.Ask(ctx, k, func() (err error) {
		p, err = c.ask(ctx, k)
		return err
	})
	return p, err
}

func (c *Cache) ask(ctx context.Context, k key) (*normalize.Profile, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// The first caller's context must not fail the others.
	done := c.flight.DoChan(k.tenant+"/"+k.uid.String(), func() (any, error) {
		return c.fetch(context.WithoutCancel(ctx), k)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-done:
		p, _ := r.Val.(*normalize.Profile)
		return p, r.Err
	}
}

func (c *Cache) known(k key) (*normalize.Profile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if ok && !e.until.IsZero() && time.Now().After(e.until) {
		delete(c.entries, k)
		ok = false
	}
	return e.profile, ok
}

func (c *Cache) fetch(ctx context.Context, k key) (*normalize.Profile, error) {
	p, err := c.load(ctx, k.tenant, k.uid)
	switch {
	case errors.Is(err, fault.NotFound):
		c.keep(k, entry{until: time.Now().Add(c.cfg.Absent)})
		return nil, nil
	case err != nil:
		return nil, err
	}
	c.keep(k, entry{profile: p})
	return p, nil
}

func (c *Cache) keep(k key, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.entries { // in no order, so any profile may be the one to go
		if len(c.entries) < c.cfg.Size {
			break
		}
		delete(c.entries, old)
	}
	c.entries[k] = e
}

// Len is how many profiles are kept, absent ones included.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
