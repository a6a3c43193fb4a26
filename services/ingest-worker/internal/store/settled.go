package store

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

// Settled is what became of a tenant's records here.
type Settled struct {
	Stored    uint64 // distinct records in the tables
	Instances []Instance
}

// Instance sums up the settled messages of one gateway process.
type Instance struct {
	Name         string
	Messages     uint64
	Accepted     uint64
	Written      uint64            // repeats included
	Rejected     map[string]uint64 // by reason
	DeadLettered map[string]uint64 // by reason
	Missing      uint64            // numbers below the highest seen that neither came nor were void
}

//go:embed stored.sql
var storedSQL string

//go:embed settled.sql
var settledSQL string

// Settled reads a tenant's part of the ledger. Concurrent writes may or may
// not be in it.
func (s *Store) Settled(ctx context.Context, tenant string) (Settled, error) {
	var out Settled
	if err := s.db.QueryRow(ctx, storedSQL, clickhouse.Named("tenant", tenant)).Scan(&out.Stored); err != nil {
		return Settled{}, fmt.Errorf("count records: %w", err)
	}
	rows, err := s.db.Query(ctx, settledSQL, clickhouse.Named("tenant", tenant))
	if err != nil {
		return Settled{}, fmt.Errorf("read ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var i Instance
		err := rows.Scan(&i.Name, &i.Messages, &i.Accepted, &i.Written, &i.Rejected, &i.DeadLettered, &i.Missing)
		if err != nil {
			return Settled{}, fmt.Errorf("read ledger: %w", err)
		}
		out.Instances = append(out.Instances, i)
	}
	if err := rows.Err(); err != nil {
		return Settled{}, fmt.Errorf("read ledger: %w", err)
	}
	return out, nil
}
