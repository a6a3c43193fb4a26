package store

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

// What the ledger of records is kept in, for package receipt.
const (
	ReceiptsTable = "record_receipts"
	LedgerTable   = "record_ledger"
	LedgerWritten = "Written" // the column
)

//go:embed stored.sql
var storedSQL string

// Stored counts the distinct records of a tenant. Concurrent writes may or may
// not be in it.
func (s *Store) Stored(ctx context.Context, tenant string) (n uint64, err error) {
	if err := s.db.QueryRow(ctx, storedSQL, clickhouse.Named("tenant", tenant)).Scan(&n); err != nil {
		return 0, fmt.Errorf("count records: %w", err)
	}
	return n, nil
}
