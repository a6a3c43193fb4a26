package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
		{"labels", b.labels.input()},
		{"metric_records", b.metrics.input()},
		{"contexts", b.contexts.input()},
		{"record_ledger", b.ledger.input()},
	} {
		if err := s.db.Insert(ctx, t.table, t.columns); err != nil {
			return err
		}
	}
	return s.touchLabelled(ctx, b)
}

// idsAtOnce bounds one look for the windows of records.
const idsAtOnce = 5000

// touchLabelled touches the windows of records that the block has labels of. A
// record that is stored after this look touches its window itself, and then its
// labels are there.
func (s *Store) touchLabelled(ctx context.Context, b *Block) error {
	for k, all := range b.labelled {
		for ids := range slices.Chunk(all, idsAtOnce) {
			rows, err := s.db.Query(ctx, `SELECT DISTINCT intDiv(toInt64(toUnixTimestamp(Minute)), 60) FROM observation_ids
				WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND RecordId IN {ids:Array(String)}`,
				clickhouse.Named("tenant", k.tenant), clickhouse.Named("profile", k.profile.String()), clickhouse.Named("ids", ids))
			if err != nil {
				return fmt.Errorf("find windows of labels: %w", err)
			}
			for rows.Next() {
				var minute int64
				if err := rows.Scan(&minute); err != nil {
					break // Err says it too
				}
				b.touched[k].minutes[minute] = struct{}{}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				return fmt.Errorf("find windows of labels: %w", err)
			}
		}
	}
	return nil
}

// Ping returns nil when the store answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.Ping(ctx) }
