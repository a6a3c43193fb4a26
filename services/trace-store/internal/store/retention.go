package store

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

// MinRetention is the shortest time that spans can be kept.
const MinRetention = time.Hour

// SetRetention makes the tables forget what the door accepted longer ago than
// keep; 0 keeps everything. Whole parts go at a time, so that it may take a day
// longer. Tables that are set already are left alone.
func SetRetention(ctx context.Context, db *clickhouse.DB, keep time.Duration) error {
	for table, column := range map[string]string{
		spansTable: "toDateTime(ReceivedAt)", indexTable: "toDateTime(ReceivedAt)", ledgerTable: "toDateTime(ReceivedAt)",
		ReceiptsTable: "toDateTime(Day) + toIntervalDay(1)", operationsTable: "LastSeen",
	} {
		if err := db.SetRetention(ctx, table, column, keep); err != nil {
			return err
		}
	}
	return nil
}
