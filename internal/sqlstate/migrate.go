package sqlstate

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// migration is one file.
type migration struct {
	name, text, checksum string
}

var migrationName = regexp.MustCompile(`^[0-9]{4}_[a-z0-9_]+\.sql$`)

// Migrate brings the schema up to date: it runs the .sql files at the top of
// fsys, named like 0001_accounts.sql, in order, each once in the life of the
// schema. All of them run in one transaction under a lock, so either all or
// none take effect, and any number of replicas may call Migrate at once.
//
// It gives fault.Precondition when a file that ran before has changed since.
// Files that ran before and are not in fsys are of a newer release and left
// alone.
func (db *DB) Migrate(ctx context.Context, fsys fs.FS) error {
	migrations, err := readMigrations(fsys)
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
		for _, m := range migrations {
			if err := m.apply(ctx, tx, db.schema, applied); err != nil {
				return fmt.Errorf("migrate %s: %w", m.name, err)
			}
		}
		return nil
	})
}

// MigrateWhenUp calls Migrate again and again, with back-off, while the
// database is away. It returns when ctx ends or something else is wrong.
func (db *DB) MigrateWhenUp(ctx context.Context, fsys fs.FS, logger *slog.Logger) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := db.Migrate(ctx, fsys)
		if err == nil || !errors.Is(err, fault.Unavailable) {
			return err
		}
		logger.Warn("state store is away", slog.String("err", err.Error()), slog.Duration("retry_in", wait))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func readMigrations(fsys fs.FS) ([]migration, error) {
	names, err := fs.Glob(fsys, "*.sql") // sorted by name
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	all := make([]migration, 0, len(names))
	for _, name := range names {
		if !migrationName.MatchString(name) {
			return nil, fault.Invalid.New("migration %q: want a name like 0001_words.sql", name)
		}
		if n := len(all); n > 0 && all[n-1].name[:4] == name[:4] {
			return nil, fault.Invalid.New("migrations %q and %q have the same number", all[n-1].name, name)
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{name, string(text), hex.EncodeToString(sum[:])})
	}
	return all, nil
}

func (m migration) apply(ctx context.Context, tx *Tx, schema string, applied map[string]string) error {
	switch before, ran := applied[m.name]; {
	case ran && before == m.checksum:
		return nil
	case ran:
		return fault.Precondition.New("migration %s has changed since it ran; add a new one instead", m.name).
			WithReason("MIGRATION_CHANGED")
	}
	if _, err := tx.tx.ExecContext(ctx, m.text); err != nil {
		return classify(ctx, err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO schema_migrations (schema_name, name, checksum, applied_at) VALUES (?, ?, ?, ?)`,
		schema, m.name, m.checksum, Micros(time.Now()))
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
