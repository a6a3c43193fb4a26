package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// Limits are the own limits of a tenant; none where it has none. It gives
// fault.NotFound when there is no such tenant.
func (s *Store) Limits(ctx context.Context, tenant string) (quota.Own, error) {
	own, err := limitsOf(ctx, s.db, tenant)
	return own, wrap("find limits", err)
}

func limitsOf(ctx context.Context, q sqlstate.Querier, tenant string) (own quota.Own, err error) {
	var text string
	err = q.QueryRow(ctx, `SELECT COALESCE(l.own, '{}') FROM tenants t LEFT JOIN tenant_limits l ON l.tenant = t.name
		WHERE t.name = ? AND t.deleted_at = 0`, tenant).Scan(&text)
	if errors.Is(err, fault.NotFound) {
		return nil, noTenant(err, tenant)
	}
	if err != nil {
		return nil, err
	}
	return own, own.UnmarshalText([]byte(text))
}

// ChangeLimits changes the own limits of a tenant under the next number, and gives
// what they are then.
func (s *Store) ChangeLimits(ctx context.Context, tenant string, change func(quota.Own)) (own quota.Own, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		// The head's row is locked until the end of the transaction: transactions are
		// committed in the order of their numbers, and none changes what another reads.
		// Numbers are microseconds, as those of revocations are.
		now := sqlstate.Micros(time.Now())
		if _, err := tx.Exec(ctx, `UPDATE tenant_limits_head SET number = CASE WHEN number < ? THEN ? ELSE number + 1 END WHERE id = 1`, now, now); err != nil {
			return err
		}
		if own, err = limitsOf(ctx, tx, tenant); err != nil {
			return err
		}
		change(own)
		text, err := own.MarshalText()
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO tenant_limits (tenant, number, own) VALUES (?, (SELECT number FROM tenant_limits_head WHERE id = 1), ?)
			ON CONFLICT (tenant) DO UPDATE SET number = excluded.number, own = excluded.own`, tenant, string(text))
		return err
	})
	return own, wrap("change limits", err)
}

// TenantLimits are the own limits of one tenant, as they became with Number.
type TenantLimits struct {
	Tenant string
	Number int64
	Own    quota.Own
}

// ChangedLimits gives those that changed after a number, in order, at most limit.
func (s *Store) ChangedLimits(ctx context.Context, after int64, limit int) ([]TenantLimits, error) {
	all, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (t TenantLimits, err error) {
		var text string
		if err := rows.Scan(&t.Tenant, &t.Number, &text); err != nil {
			return t, err
		}
		return t, t.Own.UnmarshalText([]byte(text))
	}, `SELECT tenant, number, own FROM tenant_limits WHERE number > ? ORDER BY number LIMIT ?`, after, limit)
	return all, wrap("list limits", err)
}
