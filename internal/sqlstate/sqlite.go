package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	lite "modernc.org/sqlite/lib"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// sqliteReaders bounds concurrent reads; there is one writer.
	sqliteReaders = 4
	// busyTimeout is how long a statement waits for another process that
	// writes.
	busyTimeout = 5 * time.Second
)

func openSQLite(ctx context.Context, path, schema string) (*DB, error) {
	path = strings.TrimPrefix(path, "//")
	if path == "" {
		return nil, fault.Invalid.New("state URL: sqlite: needs a directory or file")
	}
	if !strings.HasSuffix(path, ".db") {
		path = filepath.Join(path, schema+".db")
	}
	if err := touch(path); err != nil {
		return nil, err
	}
	db := &DB{dialect: onSQLite, schema: schema}
	var err error
	if db.write, err = sqlitePool(path, "_txlock=immediate", 1); err != nil {
		return nil, err
	}
	if db.read, err = sqlitePool(path, "_pragma=query_only(1)", sqliteReaders); err != nil {
		return nil, errors.Join(err, db.write.Close())
	}
	// The writer first: it makes the file one with a write-ahead log, without
	// which readers would block it.
	if err := db.write.PingContext(ctx); err != nil {
		return nil, errors.Join(fault.Unavailable.Wrap(err, "state file cannot be opened"), db.Close())
	}
	return db, nil
}

// touch makes the file, readable by nobody else: it holds password hashes and
// keys. SQLite gives its log files the same mode.
func touch(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make state file: %w", err)
	}
	return f.Close()
}

func sqlitePool(path, option string, size int) (*sql.DB, error) {
	// synchronous FULL: what was committed survives a power cut, not only a
	// crash of the process. foreign_keys is off by default in SQLite.
	dsn := fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&%s",
		(&url.URL{Path: path}).EscapedPath(), busyTimeout.Milliseconds(), option)
	connector, err := driver.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("open state file: %w", err)
	}
	pool := sql.OpenDB(keeping{connector})
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

// sqliteFault gives the fault of a result code (sqlite.org/rescode.html), or
// nil for a code that means a mistake of ours.
func sqliteFault(err *driver.Error) *fault.Fault {
	switch err.Code() {
	case lite.SQLITE_CONSTRAINT_UNIQUE, lite.SQLITE_CONSTRAINT_PRIMARYKEY, lite.SQLITE_CONSTRAINT_ROWID:
		return exists(err)
	case lite.SQLITE_CONSTRAINT_FOREIGNKEY:
		return broken(err)
	case lite.SQLITE_BUSY_SNAPSHOT:
		return conflict(err)
	}
	const primary = 0xff // the low byte says the kind, the rest the detail
	switch err.Code() & primary {
	case lite.SQLITE_BUSY, lite.SQLITE_LOCKED, lite.SQLITE_IOERR, lite.SQLITE_FULL, lite.SQLITE_CANTOPEN:
		return unavailable(err)
	}
	return nil
}
