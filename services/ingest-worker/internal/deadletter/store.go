package deadletter

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Tables.
const (
	lettersTable  = "dead_letters"
	redrivesTable = "dead_letter_redrives"
)

// Store is the tables of dead letters. It is safe for concurrent use.
type Store struct{ db *clickhouse.DB }

// NewStore makes a store over an open ClickHouse, which stays the caller's.
func NewStore(db *clickhouse.DB) *Store { return &Store{db: db} }

// markMargin is how much longer the marks of redrives are kept than letters: a
// letter whose mark was gone would look as if nobody had redriven it.
const markMargin = 48 * time.Hour

// Migrate makes the tables exist and forget what was parked longer ago than
// keep; 0 keeps everything. Several workers may call it at once.
func (s *Store) Migrate(ctx context.Context, keep time.Duration) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	if err := s.db.Migrate(ctx, "dead-letters", files); err != nil {
		return err
	}
	if err := s.db.SetRetention(ctx, lettersTable, "toDateTime(DeadAt)", keep); err != nil {
		return err
	}
	if keep > 0 {
		keep += markMargin
	}
	return s.db.SetRetention(ctx, redrivesTable, "toDateTime(RedrivenAt)", keep)
}

// Write stores letters and returns nil only when all of them are stored.
// Writing the same again is harmless.
func (s *Store) Write(ctx context.Context, letters []Letter, contents []Content) error {
	b := newBlock()
	for i := range letters {
		b.append(&letters[i], &contents[i])
	}
	return s.db.Insert(ctx, lettersTable, b.input())
}

// Mark writes down that these versions of letters were redriven.
func (s *Store) Mark(ctx context.Context, letters []Letter, at time.Time, by string) error {
	m := newMarks()
	for i := range letters {
		m.append(&letters[i], at, by)
	}
	return s.db.Insert(ctx, redrivesTable, m.input())
}
