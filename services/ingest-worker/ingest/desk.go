package ingest

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/quota"
)

// desk lets tenants ask in turn. It is safe for concurrent use.
type desk struct {
	tenants *quota.Book
	turns   *quota.Turns
}

const (
	// queries is how many questions are answered at a time, and turn how long each has
	// its place.
	queries, turn = 4, 30 * time.Second
)

// enter waits for the turn of the caller's tenant, and gives the context of its
// question, which says what it may cost, and what ends the turn.
func (d *desk) enter(ctx context.Context) (_ context.Context, tenant string, leave func(), err error) {
	if tenant, err = identity.Tenant(ctx); err != nil {
		return ctx, "", nil, err
	}
	of := d.tenants.Of(tenant)
	if leave, err = d.turns.EnterFor(ctx, of, turn); err != nil {
		return ctx, "", nil, err
	}
	l := of.Limits()
	return clickhouse.WithCost(ctx, clickhouse.Cost{
		Time: time.Duration(l[quota.QueryTime]) * time.Second, Read: l[quota.QueryRead], For: "tenant " + of.Name(), Over: of.OverCost,
	}), tenant, leave, nil
}
