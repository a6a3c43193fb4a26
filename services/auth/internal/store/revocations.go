package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// keepRevocations is longer than anything lives that they are about: an access
// token (a day at most), and what is remembered of a key (a minute).
const keepRevocations = 25 * time.Hour

// revoke stores a revocation under the next number. Numbers are microseconds, or
// one more than the last where that is later, so that they rise also after the
// state was restored from a copy.
func (s *Store) revoke(ctx context.Context, tx *sqlstate.Tx, r identity.Revocation) error {
	// The head's row is locked until the end of the transaction: transactions are
	// committed in the order of their numbers.
	now := time.Now()
	if _, err := tx.Exec(ctx, `UPDATE revocation_head SET number = CASE WHEN number < ? THEN ? ELSE number + 1 END WHERE id = 1`,
		sqlstate.Micros(now), sqlstate.Micros(now)); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, headQuery).Scan(&r.Number); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM revocations WHERE number < ?`, sqlstate.Micros(now.Add(-keepRevocations))); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO revocations (number, kind, tenant, subject) VALUES (?, ?, ?, ?)`, r.Number, r.Kind, r.Tenant, r.Subject)
	return err
}

const headQuery = `SELECT number FROM revocation_head WHERE id = 1`

// Head is the number of the last revocation. Read it before what is vouched for:
// then every later revocation has a higher one.
func (s *Store) Head(ctx context.Context) (number int64, err error) {
	err = s.db.QueryRow(ctx, headQuery).Scan(&number)
	return number, wrap("find last revocation", err)
}

// Revocations gives those after a number, in order, at most limit.
func (s *Store) Revocations(ctx context.Context, after int64, limit int) ([]identity.Revocation, error) {
	all, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (r identity.Revocation, err error) {
		err = rows.Scan(&r.Number, &r.Kind, &r.Tenant, &r.Subject)
		return r, err
	}, `SELECT number, kind, tenant, subject FROM revocations WHERE number > ? ORDER BY number LIMIT ?`, after, limit)
	return all, wrap("list revocations", err)
}

func scanText(rows *sql.Rows) (text string, err error) {
	err = rows.Scan(&text)
	return text, err
}
