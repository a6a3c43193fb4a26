package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/migration"
)

// Migrate brings the schema up to date: it runs the .sql files at the top of
// fsys, named like 0001_accounts.sql, in order, each once in the life of the
// schema. All of them run in one transaction under a lock, so either all or
// none take effect, and any number of replicas may call Migrate at once.
//
// It gives fault.Precondition when a file that ran before has changed since.
// Files that ran before and are not in fsys are of a newer release and left
// alone.
func (db *DB) Migrate(ctx context.Context, fsys fs.FS) error {
	files, err := migration.Read(fsys)
	if err != nil {
		return err
	}
	if err := db.createSchema(ctx); err != nil {
		return fmt.Errorf("create schema: %w", err)
	}
	// Not serialisable: that would show us the state from before we waited for
	// the lock, and we would run again what another replica just did.
	return db.once(ctx, sql.LevelReadCommitted, func(tx *Tx) error {
		applied, err := db.lockMigrations(ctx, tx)
		if err != nil {
			return fmt.Errorf("lock migrations: %w", err)
		}
		for _, f := range files {
			if err := db.apply(ctx, tx, f, applied); err != nil {
				return fmt.Errorf("migrate %s: %w", f.Name, err)
			}
		}
		return nil
	})
}

// MigrateWhenUp calls Migrate again and again, with back-off, while the
// database is away. It returns when ctx ends or something else is wrong.
func (db *DB) MigrateWhenUp(ctx context.Context, fsys fs.FS, log *slog.Logger) error {
	return migration.WhenUp(ctx, log, "state store", func(ctx context.Context) error { return db.Migrate(ctx, fsys) })
}

func (db *DB) apply(ctx context.Context, tx *Tx, f migration.File, applied map[string]string) error {
	if ran, err := f.Ran(applied); ran || err != nil {
		return err
	}
	if _, err := tx.tx.ExecContext(ctx, f.Text); err != nil {
		return classify(ctx, err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO schema_migrations (schema_name, name, checksum, applied_at) VALUES (?, ?, ?, ?)`,
		db.schema, f.Name, f.Checksum, Micros(time.Now()))
	return err
}

// createSchema looks first: CREATE SCHEMA IF NOT EXISTS asks for a right that
// a careful operator who made the schema beforehand does not give.
func (db *DB) createSchema(ctx context.Context) error {
	if db.dialect != onPostgres {
		return nil
	}
	var there bool
	err := db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = ?)`, db.schema).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = db.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+quoted(db.schema))
	if errors.Is(err, fault.Exists) {
		return nil // another replica was faster
	}
	return err
}

// lockMigrations keeps other processes from migrating until tx ends, and gives
// the checksums of what has run.
func (db *DB) lockMigrations(ctx context.Context, tx *Tx) (map[string]string, error) {
	// On SQLite the transaction itself is the lock: it began IMMEDIATE.
	if db.dialect == onPostgres {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(?, 0))`, "driftmesh "+db.schema); err != nil {
			return nil, err
		}
	}
	_, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
		schema_name TEXT NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL,
		PRIMARY KEY (schema_name, name))`)
	if err != nil {
		return nil, err
	}
	rows, err := All(ctx, tx, func(rows *sql.Rows) (row [2]string, err error) {
		err = rows.Scan(&row[0], &row[1])
		return row, err
	}, `SELECT name, checksum FROM schema_migrations WHERE schema_name = ?`, db.schema)
	applied := make(map[string]string, len(rows))
	for _, row := range rows {
		applied[row[0]] = row[1]
	}
	return applied, err
}
