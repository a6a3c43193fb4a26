// Package desk lets tenants ask a store in turn, each question for no more than its
// tenant may have it cost.
package desk

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// Desk is where the questions to one store wait. It is safe for concurrent use.
type Desk struct {
	Tenants *quota.Book
	Turns   *quota.Turns
	Turn    time.Duration // how long one may take
}

// Enter waits for the turn of the caller's tenant, and gives the context of its
// question, which says what it may cost, and what ends the turn. With its turn a call ends:
// until its answer is taken it waits in memory, and may hold a connection to the store.
func (d *Desk) Enter(ctx context.Context) (_ context.Context, tenant string, leave func(), err error) {
	if tenant, err = identity.Tenant(ctx); err != nil {
		return ctx, "", nil, err
	}
	of := d.Tenants.Of(tenant)
	end, err := d.Turns.EnterFor(ctx, of, d.Turn)
	if err != nil {
		return ctx, "", nil, err
	}
	l := of.Limits()
	ctx = clickhouse.WithCost(ctx, clickhouse.Cost{
		Time: time.Duration(l[quota.QueryTime]) * time.Second, Read: l[quota.QueryRead], For: "tenant " + of.Name(), Over: of.OverCost,
	})
	stop := rpc.EndAfter(ctx, d.Turn)
	return ctx, tenant, func() { stop(); end() }, nil
}
