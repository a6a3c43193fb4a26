package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// DB is an open schema. It is safe for concurrent use.
type DB struct {
	dialect dialect
	schema  string
	read    *sql.DB
	write   *sql.DB // the same as read on PostgreSQL
}

// dialect is which database answers.
type dialect int

const (
	onSQLite dialect = iota
	onPostgres
)

// Querier is what DB and Tx have in common, so that a query can be written for
// both.
type Querier interface {
	// Query reads rows. The caller closes them.
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// QueryRow reads at most one row; Row.Scan gives fault.NotFound for none.
	QueryRow(ctx context.Context, query string, args ...any) *Row
	// Exec writes and returns how many rows it touched.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
}

var (
	_ Querier = (*DB)(nil)
	_ Querier = (*Tx)(nil)
)

// Open opens a schema (a-z, 0-9 and _) of the database at url. It creates the
// directory and file of SQLite. It does not wait for PostgreSQL: the first
// statement connects. It gives fault.Invalid for a URL that cannot work, without
// quoting it, since it may hold a password. The caller closes the DB.
func Open(ctx context.Context, url, schema string) (*DB, error) {
	if !wellFormedSchema(schema) {
		return nil, fault.Invalid.New("state schema %q: want a-z, 0-9 and _, beginning with a letter", schema)
	}
	scheme, rest, ok := strings.Cut(url, ":")
	switch {
	case ok && scheme == "sqlite":
		return openSQLite(ctx, rest, schema)
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		return openPostgres(url, schema)
	}
	return nil, fault.Invalid.New("state URL: want sqlite:DIRECTORY, sqlite:///PATH/FILE.db or postgres://…")
}

func wellFormedSchema(name string) bool {
	if name == "" || len(name) > 48 || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// Close closes all connections; running statements end first.
func (db *DB) Close() error {
	if db.read == db.write {
		return db.write.Close()
	}
	return errors.Join(db.read.Close(), db.write.Close())
}

// Ping tells whether the database answers; it gives fault.Unavailable if not.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.write.PingContext(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// Query implements Querier.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := db.read.QueryContext(ctx, db.dialect.rebind(query), args...)
	return rows, classify(ctx, err)
}

// QueryRow implements Querier.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *Row {
	return &Row{ctx, db.read.QueryRowContext(ctx, db.dialect.rebind(query), args...)}
}

// Exec implements Querier. The statement is a transaction of its own. Never
// call it inside the function given to InTx: on SQLite it would wait for the
// transaction to end.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return exec(ctx, db.write, db.dialect.rebind(query), args)
}

// Row is the result of QueryRow.
type Row struct {
	ctx context.Context //nolint:containedctx // lives as long as the one statement
	row *sql.Row
}

// Scan copies the row's columns to dest. It gives fault.NotFound when there is
// no row.
func (r *Row) Scan(dest ...any) error { return classify(r.ctx, r.row.Scan(dest...)) }

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func exec(ctx context.Context, to execer, query string, args []any) (int64, error) {
	result, err := to.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, classify(ctx, err)
	}
	n, err := result.RowsAffected()
	return n, classify(ctx, err)
}

// Micros is how a time is stored: microseconds since 1970, 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the inverse of Micros, in UTC.
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
