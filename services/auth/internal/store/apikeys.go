package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

// A key of a service account that is not there any more would be one of nobody:
// it was revoked together with the account.
var (
	keyColumns = `k.id, k.tenant, k.name, k.secret_hash, ` + grantOf("k") + `, k.created_at, k.created_by, k.expires_at, k.revoked_at,
	k.account, k.last_used_at, k.replaced_by, CASE WHEN t.disabled_at <> 0 THEN t.disabled_at ELSE COALESCE(u.disabled_at, 0) END`
	keysOfOwners = ` FROM api_keys k JOIN tenants t ON t.name = k.tenant LEFT JOIN users u ON u.tenant = k.tenant AND u.name = k.account `
)

func scanKey(row scanner) (k account.Key, err error) {
	var created, expires, revoked, used, disabled int64
	var grant grantRow
	if err := row.Scan(append(append([]any{&k.ID, &k.Tenant, &k.Name, &k.Hash}, grant.into()...),
		&created, &k.CreatedBy, &expires, &revoked, &k.Account, &used, &k.ReplacedBy, &disabled)...); err != nil {
		return k, err
	}
	k.Created, k.Expires, k.Revoked = sqlstate.Time(created), sqlstate.Time(expires), sqlstate.Time(revoked)
	k.LastUsed, k.OwnerDisabled = sqlstate.Time(used), sqlstate.Time(disabled)
	k.Grant, err = grant.grant(identity.Key)
	return k, err
}

// AddKey stores an API key. It gives fault.NotFound when there is no such tenant,
// or no such service account.
func (s *Store) AddKey(ctx context.Context, k account.Key) error {
	return wrap("add API key", s.db.InTx(ctx, func(tx *sqlstate.Tx) error { return addKey(ctx, tx, k) }))
}

func addKey(ctx context.Context, tx *sqlstate.Tx, k account.Key) error {
	if k.Account != "" {
		u, err := findUser(ctx, tx, k.Tenant, k.Account)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return err
		}
		if !u.Service {
			return fault.NotFound.New("tenant %q has no service account %q", k.Tenant, k.Account).WithReason("ACCOUNT_MISSING")
		}
	}
	n, err := tx.Exec(ctx, `INSERT INTO api_keys (id, tenant, name, secret_hash, `+grantColumns+`, created_at, created_by, expires_at, revoked_at, account)
		SELECT ?, name, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ? FROM tenants WHERE name = ? AND deleted_at = 0`,
		append(append([]any{k.ID, k.Name, k.Hash}, grantValues(k.Grant)...),
			sqlstate.Micros(k.Created), k.CreatedBy, sqlstate.Micros(k.Expires), k.Account, k.Tenant)...)
	if err == nil && n == 0 {
		return noTenant(nil, k.Tenant)
	}
	return err
}

// Key gives an API key, revoked or not, or fault.NotFound.
func (s *Store) Key(ctx context.Context, id string) (account.Key, error) {
	k, err := findKey(ctx, s.db, id)
	return k, wrap("find API key", err)
}

func findKey(ctx context.Context, q sqlstate.Querier, id string) (account.Key, error) {
	return scanKey(q.QueryRow(ctx, `SELECT `+keyColumns+keysOfOwners+`WHERE k.id = ?`, id))
}

// Keys lists the API keys of a tenant that are not revoked, the newest first.
func (s *Store) Keys(ctx context.Context, tenant string) ([]account.Key, error) {
	all, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (account.Key, error) { return scanKey(rows) },
		`SELECT `+keyColumns+keysOfOwners+`WHERE k.tenant = ? AND k.revoked_at = 0 ORDER BY k.created_at DESC, k.id LIMIT ?`,
		tenant, listLimit)
	return all, wrap("list API keys", err)
}

// RevokeKey ends an API key of a tenant, or gives fault.NotFound when the
// tenant has no such key. Revoking twice is no error; the first time counts.
func (s *Store) RevokeKey(ctx context.Context, tenant, id string, now time.Time) error {
	return wrap("revoke API key", s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE api_keys SET revoked_at = CASE WHEN revoked_at = 0 THEN ? ELSE revoked_at END WHERE tenant = ? AND id = ?`,
			sqlstate.Micros(now), tenant, id)
		if err == nil && n == 0 {
			return noKey(id)
		}
		if err != nil {
			return err
		}
		return s.revoke(ctx, tx, identity.Revocation{Kind: identity.RevokedKey, Tenant: tenant, Subject: id})
	}))
}

func noKey(id string) error {
	return fault.NotFound.New("API key %q does not exist", id).WithReason("API_KEY_MISSING")
}

// ReplaceKey stores the key that choose makes of an API key in its place. The old
// one ends at a time, if not before; when that is, is given too. It gives
// fault.NotFound when there is no such key that is good and was not replaced.
func (s *Store) ReplaceKey(ctx context.Context, old account.Key, at time.Time, choose func(account.Key) account.Key) (next account.Key, ends time.Time, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		now, err := findKey(ctx, tx, old.ID)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return err
		}
		if err != nil || !now.Good(time.Now()) || now.ReplacedBy != "" {
			return noKey(old.ID)
		}
		if ends = at; !now.Expires.IsZero() && now.Expires.Before(ends) {
			ends = now.Expires
		}
		next = choose(now)
		if err := addKey(ctx, tx, next); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE api_keys SET expires_at = ?, replaced_by = ? WHERE id = ?`, sqlstate.Micros(ends), next.ID, now.ID); err != nil {
			return err
		}
		// Whoever has been told of the old one learns when it ends now.
		return s.revoke(ctx, tx, identity.Revocation{Kind: identity.RevokedKey, Tenant: now.Tenant, Subject: now.ID})
	})
	return next, ends, wrap("replace API key", err)
}

// UsedKeys notes when keys were last used, by their ids. It never goes back.
func (s *Store) UsedKeys(ctx context.Context, used map[string]time.Time) error {
	return wrap("note use of API keys", s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		for _, id := range slices.Sorted(maps.Keys(used)) {
			at := sqlstate.Micros(used[id])
			if _, err := tx.Exec(ctx, `UPDATE api_keys SET last_used_at = ? WHERE id = ? AND last_used_at < ?`, at, id, at); err != nil {
				return err
			}
		}
		return nil
	}))
}
