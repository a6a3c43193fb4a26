package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// txAttempts bounds how often a transaction that lost is tried in all.
	txAttempts = 12
	// txPause is the longest wait before the second attempt; it doubles up to
	// txLongPause.
	txPause     = 10 * time.Millisecond
	txLongPause = 640 * time.Millisecond
)

// Tx is a running transaction. It ends with the function that InTx gave it to
// and is not safe for concurrent use.
type Tx struct {
	dialect dialect
	tx      *sql.Tx
}

// InTx runs do in a serialisable transaction, and commits it when do returns
// nil. It rolls back and returns do's error otherwise. When the transaction
// loses against another one it is run again, so do must have no effect but on
// tx; after several losses InTx gives fault.Conflict.
func (db *DB) InTx(ctx context.Context, do func(tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := db.once(ctx, sql.LevelSerializable, do)
		if attempt == txAttempts || !errors.Is(err, fault.Conflict) {
			return err
		}
		pause := rand.N(min(txPause<<(attempt-1), txLongPause))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (db *DB) once(ctx context.Context, isolation sql.IsolationLevel, do func(tx *Tx) error) error {
	if db.dialect == onSQLite {
		isolation = sql.LevelDefault // it has one, which is serialisable
	}
	tx, err := db.write.BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	if err != nil {
		return fmt.Errorf("begin: %w", classify(ctx, err))
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it says so, else there is nothing left to do
	if err := do(&Tx{db.dialect, tx}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", classify(ctx, err))
	}
	return nil
}

// Query implements Querier.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := t.tx.QueryContext(ctx, t.dialect.rebind(query), args...)
	return rows, classify(ctx, err)
}

// QueryRow implements Querier.
func (t *Tx) QueryRow(ctx context.Context, query string, args ...any) *Row {
	return &Row{ctx, t.tx.QueryRowContext(ctx, t.dialect.rebind(query), args...)}
}

// Exec implements Querier.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return exec(ctx, t.tx, t.dialect.rebind(query), args)
}

// All runs a query and reads all its rows with scan, in a Tx or a DB.
func All[T any](ctx context.Context, q Querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, classify(ctx, err)
		}
		all = append(all, one)
	}
	return all, classify(ctx, rows.Err())
}
