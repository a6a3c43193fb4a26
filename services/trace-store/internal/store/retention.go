package store

import (
	"context"
	"fmt"
	"strings"
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
		spansTable: "toDateTime(ReceivedAt)", indexTable: "toDateTime(ReceivedAt)", ledgerTable: "toDateTime(ReceivedAt)", operationsTable: "LastSeen",
	} {
		ttl := fmt.Sprintf("%s + toIntervalSecond(%d)", column, int64(keep.Seconds()))
		var engine string
		err := db.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}",
			clickhouse.Named("database", db.Database()), clickhouse.Named("table", table)).Scan(&engine)
		if err != nil {
			return fmt.Errorf("look at table %s: %w", table, err)
		}
		has := strings.Contains(engine, " TTL ")
		switch {
		case keep == 0 && !has, keep > 0 && strings.Contains(engine, "TTL "+ttl):
			continue
		case keep == 0:
			err = db.Exec(ctx, "ALTER TABLE "+table+" REMOVE TTL")
		default:
			err = db.Exec(ctx, "ALTER TABLE "+table+" MODIFY TTL "+ttl+" SETTINGS materialize_ttl_after_modify = 0")
		}
		if err != nil {
			return fmt.Errorf("set retention of table %s: %w", table, err)
		}
	}
	return nil
}
