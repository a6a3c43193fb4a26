package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

const keyColumns = `id, tenant, name, secret_hash, ` + grantColumns + `, created_at, expires_at, revoked_at`

func scanKey(row scanner) (k account.Key, err error) {
	var created, expires, revoked int64
	var grant grantRow
	if err = row.Scan(append(append([]any{&k.ID, &k.Tenant, &k.Name, &k.Hash}, grant.into()...), &created, &expires, &revoked)...); err != nil {
		return k, err
	}
	k.Created, k.Expires, k.Revoked = sqlstate.Time(created), sqlstate.Time(expires), sqlstate.Time(revoked)
	k.Grant, err = grant.grant(identity.Key)
	return k, err
}

// AddKey stores an API key made by somebody. It gives fault.NotFound when there
// is no such tenant.
func (s *Store) AddKey(ctx context.Context, k account.Key, by string) error {
	_, err := s.db.Exec(ctx, `INSERT INTO api_keys (`+keyColumns+`, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append(append([]any{k.ID, k.Tenant, k.Name, k.Hash}, grantValues(k.Grant)...),
			sqlstate.Micros(k.Created), sqlstate.Micros(k.Expires), sqlstate.Micros(k.Revoked), by)...)
	if errors.Is(err, fault.Precondition) {
		return noTenant(err, k.Tenant)
	}
	return wrap("add API key", err)
}

// Key gives an API key, revoked or not, or fault.NotFound.
func (s *Store) Key(ctx context.Context, id string) (account.Key, error) {
	k, err := scanKey(s.db.QueryRow(ctx, `SELECT `+keyColumns+` FROM api_keys WHERE id = ?`, id))
	return k, wrap("find API key", err)
}

// Keys lists the API keys of a tenant that are not revoked, the newest first.
func (s *Store) Keys(ctx context.Context, tenant string) ([]account.Key, error) {
	all, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (account.Key, error) { return scanKey(rows) },
		`SELECT `+keyColumns+` FROM api_keys WHERE tenant = ? AND revoked_at = 0 ORDER BY created_at DESC, id LIMIT ?`,
		tenant, listLimit)
	return all, wrap("list API keys", err)
}

// RevokeKey ends an API key of a tenant, or gives fault.NotFound when the
// tenant has no such key. Revoking twice is no error; the first time counts.
func (s *Store) RevokeKey(ctx context.Context, tenant, id string, now time.Time) error {
	n, err := s.db.Exec(ctx, `UPDATE api_keys SET revoked_at = CASE WHEN revoked_at = 0 THEN ? ELSE revoked_at END WHERE tenant = ? AND id = ?`,
		sqlstate.Micros(now), tenant, id)
	if err == nil && n == 0 {
		return fault.NotFound.New("API key %q does not exist", id).WithReason("API_KEY_MISSING")
	}
	return wrap("revoke API key", err)
}
