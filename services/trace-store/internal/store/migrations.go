package store

import "embed"

// Migrations are the tables of trace-store, in the order of their names.
// Applied ones are never changed; new files are added.
// They are templates of clickhouse.DB.Migrate.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// MigrationsDir is where in Migrations the files are.
const MigrationsDir = "migrations"
