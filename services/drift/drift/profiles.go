package drift

import (
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/profiles"
	"github.com/driftmesh/driftmesh/services/drift/internal/cron"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// known is a profile with what follows from it.
type known struct {
	*store.Registered // Active may be out of date
	*derived
}

// derived follows from a profile.
type derived struct {
	statements *window.Statements
	wants      []score.Want
	schedule   cron.Schedule
	perDay     float64 // evaluations
	checks     *checks // nil when nothing is checked
}

// minutesPerDay is how often windows close.
const minutesPerDay = 24 * 60

func derive(r *store.Registered) (*derived, error) {
	schedule, err := cron.Parse(r.Schedule.Cron, r.Schedule.Zone)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", r.UID, err)
	}
	wants := score.Wants(r.Profile)
	extras := make([]window.Extra, len(wants))
	for i, w := range wants {
		extras[i] = window.Extra{Deviations: w.Deviations, Sample: w.Sample}
	}
	d := &derived{statements: window.New(r.Tenant, r.UID, r.Profile, extras), wants: wants, schedule: schedule, perDay: schedule.PerDay()}
	if d.checks, err = newChecks(r.Profile); err != nil {
		return nil, fmt.Errorf("profile %s: %w", r.UID, err)
	}
	if r.Schedule.OnClose {
		d.perDay += minutesPerDay
	}
	return d, nil
}

// profileCache keeps profiles at hand; they never change, but for being active.
type profileCache struct {
	state *store.State
	kept  *profiles.Cache[*known] // by uid
}

func newProfileCache(state *store.State, size int, now func() time.Time) *profileCache {
	return &profileCache{state: state, kept: profiles.New(profiles.Config{Size: size, Now: now}, func(ctx context.Context, tenant, uid string) (*known, error) {
		r, err := state.Profile(ctx, tenant, uid)
		if err != nil {
			return nil, err
		}
		d, err := derive(r)
		return &known{Registered: r, derived: d}, err
	})}
}

// get gives the tenant's profile with that uid; fault.NotFound when there is
// none.
func (p *profileCache) get(ctx context.Context, tenant, uid string) (*known, error) {
	return p.kept.Get(ctx, tenant, uid)
}

// find gives the tenant's profile by any of its names, as it is now.
func (p *profileCache) find(ctx context.Context, tenant, ref string) (*known, error) {
	r, err := p.state.Profile(ctx, tenant, ref)
	if err != nil {
		return nil, err
	}
	kept, err := p.get(ctx, tenant, r.UID)
	if err != nil {
		return nil, err
	}
	return &known{Registered: r, derived: kept.derived}, nil
}
