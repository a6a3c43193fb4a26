package drift

import (
	"context"
	"sync"

	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// known is a profile with its statements.
type known struct {
	*store.Registered // Active may be out of date
	statements        *window.Statements
}

// profiles keeps profiles at hand; they never change, but for being active. It
// is bounded and safe for concurrent use.
type profiles struct {
	state *store.State
	size  int

	mu   sync.Mutex
	kept map[profileKey]*known
}

type profileKey struct{ tenant, uid string }

func newProfiles(state *store.State, size int) *profiles {
	return &profiles{state: state, size: size, kept: make(map[profileKey]*known)}
}

// get gives the tenant's profile with that uid; fault.NotFound when there is
// none.
func (p *profiles) get(ctx context.Context, tenant, uid string) (*known, error) {
	k := profileKey{tenant, uid}
	p.mu.Lock()
	found, ok := p.kept[k]
	p.mu.Unlock()
	if ok {
		return found, nil
	}
	registered, err := p.state.Profile(ctx, tenant, uid)
	if err != nil {
		return nil, err
	}
	return p.keep(registered), nil
}

// find gives the tenant's profile by any of its names.
func (p *profiles) find(ctx context.Context, tenant, ref string) (*known, error) {
	registered, err := p.state.Profile(ctx, tenant, ref)
	if err != nil {
		return nil, err
	}
	return p.keep(registered), nil
}

func (p *profiles) keep(r *store.Registered) *known {
	k := profileKey{r.Tenant, r.UID}
	p.mu.Lock()
	defer p.mu.Unlock()
	if found, ok := p.kept[k]; ok {
		return &known{Registered: r, statements: found.statements}
	}
	for other := range p.kept { // any one makes room
		if len(p.kept) < p.size {
			break
		}
		delete(p.kept, other)
	}
	p.kept[k] = &known{Registered: r, statements: window.New(r.Tenant, r.UID, r.Profile)}
	return p.kept[k]
}
