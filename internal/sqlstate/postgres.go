package sqlstate

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// postgresConns bounds the connections of one schema of one process.
	postgresConns = 10
	// postgresIdle of them are kept when there is nothing to do.
	postgresIdle = 4
	// postgresConnLife lets connections move to another server in the end.
	postgresConnLife = 30 * time.Minute
	// postgresConnect bounds one attempt to connect, when the URL does not.
	postgresConnect = 5 * time.Second
)

func openPostgres(url, schema string) (*DB, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		// The cause is left out: it may quote the URL and so the password.
		return nil, fault.Invalid.New("state URL is not a valid postgres URL")
	}
	cfg.RuntimeParams["search_path"] = schema
	cfg.RuntimeParams["application_name"] = "driftmesh-" + schema
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = postgresConnect
	}
	pool := stdlib.OpenDB(*cfg, stdlib.OptionBeforeConnect(func(_ context.Context, next *pgx.ConnConfig) error {
		return freshTLS(next, url)
	}))
	pool.SetMaxOpenConns(postgresConns)
	pool.SetMaxIdleConns(postgresIdle)
	pool.SetConnMaxLifetime(postgresConnLife)
	return &DB{dialect: onPostgres, schema: schema, read: pool, write: pool}, nil
}

// freshTLS reads anew the files that the URL names (sslrootcert, sslcert, sslkey):
// whoever connects again after a year shows what has been renewed.
func freshTLS(next *pgx.ConnConfig, url string) error {
	if next.TLSConfig == nil {
		return nil
	}
	now, err := pgx.ParseConfig(url)
	if err != nil {
		return errors.New("the files of the state URL (sslrootcert, sslcert, sslkey) cannot be read")
	}
	next.TLSConfig, next.Fallbacks = now.TLSConfig, now.Fallbacks
	return nil
}

// quoted is a name as PostgreSQL quotes it; schemas are checked by Open.
func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// postgresFault gives the fault of an error code (PostgreSQL, appendix A), or
// nil for a code that means a mistake of ours.
func postgresFault(err *pgconn.PgError) *fault.Fault {
	switch err.Code {
	case "23505": // unique_violation
		return exists(err)
	case "23503": // foreign_key_violation
		return broken(err)
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return conflict(err)
	}
	for _, class := range []string{
		"08",    // connection exception
		"53",    // insufficient resources: connections, memory, disk
		"57P",   // operator intervention: shutting down, starting up
		"58",    // system error: input, output
		"25006", // read_only_sql_transaction: connected to a standby
		"28",    // invalid authorization: may be mended while we run
		"3D000", // the database does not exist yet
	} {
		if strings.HasPrefix(err.Code, class) {
			return unavailable(err)
		}
	}
	return nil
}

// away reports whether err says that the server cannot be reached.
func away(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err)
}
