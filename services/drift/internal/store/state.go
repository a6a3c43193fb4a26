package store

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"time"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// Schema is drift's schema in the SQL state.
const Schema = "drift"

//go:embed migrations
var migrations embed.FS

// State is drift's state in SQL.
type State struct{ db *sqlstate.DB }

// NewState makes a State over an open schema, which stays the caller's.
func NewState(db *sqlstate.DB) *State { return &State{db: db} }

// Migrate makes the schema what it must be, waiting for the database.
func (s *State) Migrate(ctx context.Context, log *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations/state")
	if err != nil {
		return err
	}
	return s.db.MigrateWhenUp(ctx, files, log)
}

// Ping returns nil when the database answers.
func (s *State) Ping(ctx context.Context) error { return s.db.Ping(ctx) }

func micros(t time.Time) int64 { return sqlstate.Micros(t) }
