package store

import (
	"context"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/schema"
)

// Store is the tables of records. It is safe for concurrent use.
type Store struct {
	db *clickhouse.DB
}

// New makes a store over an open ClickHouse, which stays the caller's.
func New(db *clickhouse.DB) *Store { return &Store{db: db} }

// Migrate makes the tables exist. Several workers may call it at once.
func (s *Store) Migrate(ctx context.Context) error {
	return s.db.Migrate(ctx, schema.RecordsOwner, schema.Records())
}

// Write stores a block and returns nil only when all of it is stored, the
// ledger last: an entry there means that the rows are there. After an error
// some of it may be stored; writing the same again is harmless.
func (s *Store) Write(ctx context.Context, b *Block) error {
	for _, t := range []struct {
		table   string
		columns proto.Input
	}{
		{"observations", b.observations.input()},
		{"metric_records", b.metrics.input()},
		{"contexts", b.contexts.input()},
		{"record_ledger", b.ledger.input()},
	} {
		if err := s.db.Insert(ctx, t.table, t.columns); err != nil {
			return err
		}
	}
	return nil
}

// Ping returns nil when the store answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.Ping(ctx) }
