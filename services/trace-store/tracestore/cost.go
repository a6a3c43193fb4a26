package tracestore

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// desk lets tenants ask in turn. It is safe for concurrent use.
type desk struct {
	tenants *quota.Book
	turns   *quota.Turns
	turn    time.Duration // how long one may take
}

// enter waits for the turn of the caller's tenant, and gives the context of its
// query, which says what it may cost, and what ends the turn. With its turn a call ends:
// until its answer is taken it waits in memory, and may hold a connection to the store.
func (d *desk) enter(ctx context.Context) (_ context.Context, tenant string, leave func(), err error) {
	if tenant, err = identity.Tenant(ctx); err != nil {
		return ctx, "", nil, err
	}
	of := d.tenants.Of(tenant)
	end, err := d.turns.EnterFor(ctx, of, d.turn)
	if err != nil {
		return ctx, "", nil, err
	}
	stop := rpc.EndAfter(ctx, d.turn)
	return clickhouse.WithCost(ctx, costOf(of)), tenant, func() { stop(); end() }, nil
}

// costOf is what one statement of a tenant may cost.
func costOf(t *quota.Tenant) clickhouse.Cost {
	l := t.Limits()
	return clickhouse.Cost{
		Time: time.Duration(l[quota.QueryTime]) * time.Second, Read: l[quota.QueryRead], For: "tenant " + t.Name(), Over: t.OverCost,
	}
}
