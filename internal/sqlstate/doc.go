// Package sqlstate keeps small transactional state: accounts, keys, profiles,
// schedules. It is one API over SQLite (one process, nothing to install) and
// PostgreSQL (several replicas), chosen by URL:
//
//	sqlite:data/state                a directory; every schema is a file <schema>.db in it
//	sqlite:///var/lib/mesh/auth.db   a file (the name ends in .db)
//	postgres://user:pw@host/db       a database; every schema is a schema of it
//
// A service owns one schema and never looks into another's.
//
// Statements are written once, for both: "?" for arguments, and in tables the
// types TEXT, BIGINT, BOOLEAN, DOUBLE PRECISION and BYTEA, which both
// understand. Times are BIGINT microseconds since 1970; see Time and Micros.
//
// Reads go to a pool of their own, so that on SQLite they never wait for the
// one writer; hence everything that writes goes through Exec or InTx, also with
// RETURNING.
//
// Errors are faults: Exists for a row that is there already, NotFound for a row
// that is not, Conflict for a transaction that lost against another,
// Unavailable when the database is away.
package sqlstate
