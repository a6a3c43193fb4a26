package drift

import (
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/services/drift/internal/cron"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// mayRun tells whether a tenant may have such a schedule.
func (s *server) mayRun(tenant string, schedule cron.Schedule) error {
	t := s.tenants.Of(tenant)
	least := time.Duration(t.Limits()[quota.ShortestSchedule]) * time.Second
	if least == 0 {
		return nil
	}
	if gap := schedule.Shortest(); gap > 0 && gap < least {
		return t.Refuse(quota.ShortestSchedule, fmt.Sprintf("two slots are %s apart", gap), 0)
	}
	return nil
}

// room bounds how many profiles of a tenant are active.
func (s *server) room(tenant string) store.Room {
	t := s.tenants.Of(tenant)
	return store.Room{Most: t.Limits()[quota.Profiles], Full: func(active int64) error {
		return t.Refuse(quota.Profiles, fmt.Sprintf("the schedules of %d profiles are on; switch one off first", active), 0)
	}}
}

// longestTurn is when the turn of a call that computes is over, if it goes on: a
// backtest may take an hour.
const longestTurn = time.Minute

// turn waits for the turn of a profile's tenant to have something computed.
func (s *server) turn(ctx context.Context, p *known) (leave func(), err error) {
	return s.turns.EnterFor(ctx, s.tenants.Of(p.Tenant), longestTurn)
}
