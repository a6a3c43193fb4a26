package drift

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// sourcesFor is how long it is believed which profiles have their observations
// made of spans. What a profile misses while it is new, its first evaluation
// finds.
const sourcesFor = 5 * time.Second

// maxSourceTenants bounds the tenants that are remembered.
const maxSourceTenants = 10_000

// sources knows the profiles of spans of each tenant. It is safe for concurrent
// use.
type sources struct {
	state *store.State
	now   func() time.Time

	mu    sync.Mutex
	known map[string]tenantSources
}

type tenantSources struct {
	until time.Time
	all   []store.Source
}

// of lists the profiles that have observations made of the spans of a service.
func (s *sources) of(ctx context.Context, tenant, service string) (profiles []string, err error) {
	now := s.now()
	s.mu.Lock()
	kept, ok := s.known[tenant]
	s.mu.Unlock()
	if !ok || now.After(kept.until) {
		// Several may ask at once, and get the same.
		if kept.all, err = s.state.Sources(ctx, tenant); err != nil {
			return nil, err
		}
		kept.until = now.Add(sourcesFor)
		s.mu.Lock()
		if s.known == nil || len(s.known) >= maxSourceTenants {
			s.known = map[string]tenantSources{}
		}
		s.known[tenant] = kept
		s.mu.Unlock()
	}
	for _, source := range kept.all {
		if source.Service == service && !slices.Contains(profiles, source.Profile) {
			profiles = append(profiles, source.Profile)
		}
	}
	return profiles, nil
}
