package store

import (
	"context"
	"database/sql"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// SigningKeys implements token.Keys.
func (s *Store) SigningKeys(ctx context.Context, choose func([]token.Sealed) (token.Change, error)) (all []token.Sealed, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		if all, err = signingKeys(ctx, tx); err != nil {
			return err
		}
		change, err := choose(all)
		if err != nil || change.Add == nil && change.Drop == nil && change.Reseal == nil {
			return err
		}
		for _, id := range change.Drop {
			if _, err := tx.Exec(ctx, `DELETE FROM signing_keys WHERE id = ?`, id); err != nil {
				return err
			}
		}
		for _, k := range change.Reseal {
			if _, err := tx.Exec(ctx, `UPDATE signing_keys SET box = ? WHERE id = ?`, k.Box, k.ID); err != nil {
				return err
			}
		}
		if k := change.Add; k != nil {
			if _, err := tx.Exec(ctx, `INSERT INTO signing_keys (id, box, created_at, signs_at) VALUES (?, ?, ?, ?)`,
				k.ID, k.Box, sqlstate.Micros(k.Created), sqlstate.Micros(k.SignsAt)); err != nil {
				return err
			}
		}
		all, err = signingKeys(ctx, tx)
		return err
	})
	return all, wrap("signing keys", err)
}

func signingKeys(ctx context.Context, q sqlstate.Querier) ([]token.Sealed, error) {
	return sqlstate.All(ctx, q, func(rows *sql.Rows) (k token.Sealed, err error) {
		var created, signs int64
		err = rows.Scan(&k.ID, &k.Box, &created, &signs)
		k.Created, k.SignsAt = sqlstate.Time(created), sqlstate.Time(signs)
		return k, err
	}, `SELECT id, box, created_at, signs_at FROM signing_keys ORDER BY signs_at, created_at, id`)
}
