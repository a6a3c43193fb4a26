package record

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/profiles"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// Profiles knows profiles by uid, "space/name" and "space/name/version".
type Profiles interface {
	// Profile gives the tenant's profile, fault.NotFound when there is none by
	// that name, and fault.Unavailable when that can not be found out now.
	Profile(ctx context.Context, tenant, name string) (*Profile, error)
}

// How long an answer of drift is believed. A uid never changes its meaning,
// but "space/name" does when a new version is registered.
const (
	knownFor   = 30 * time.Second
	unknownFor = 2 * time.Second
	maxCached  = 4096
)

// Cache asks drift for profiles and remembers the answers. While drift is away, a
// profile known before stays known. It is safe for concurrent use.
type Cache struct{ of *profiles.Cache[*Profile] }

var _ Profiles = (*Cache)(nil)

// NewCache makes an empty cache before drift, which a service asks in its own
// name for the tenant: who only sends records may read no profiles, and the
// answer is everybody's of the tenant. now may be nil for the real clock.
func NewCache(service string, drift driftv1.DriftServiceClient, now func() time.Time) *Cache {
	cfg := profiles.Config{Size: maxCached, Known: knownFor, Absent: unknownFor, Now: now}
	return &Cache{profiles.New(cfg, func(ctx context.Context, tenant, name string) (*Profile, error) {
		ctx = identity.With(ctx, identity.ForService(service, tenant))
		resp, err := drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: name})
		switch {
		case err == nil:
			return ProfileOf(resp.GetProfile()), nil
		case errors.Is(err, fault.NotFound) || errors.Is(err, fault.Invalid):
			return nil, fault.NotFound.New("profile %q is not known", name)
		}
		return nil, fault.Unavailable.Wrap(err, "profile %q cannot be looked up now", name).
			WithReason("PROFILES_UNAVAILABLE").WithRetryAfter(unknownFor)
	})}
}

// Profile implements Profiles.
func (c *Cache) Profile(ctx context.Context, tenant, name string) (*Profile, error) {
	return c.of.Get(ctx, tenant, name)
}
