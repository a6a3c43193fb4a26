package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// SetRetention makes a table forget rows whose time, an SQL expression of type
// DateTime over its columns, is longer ago than keep; 0 keeps everything. A
// table that is set already is left alone. Rows that are there already go with
// their part when it is next merged, or whole parts at a time where the table
// is made so.
func (db *DB) SetRetention(ctx context.Context, table, expression string, keep time.Duration) error {
	ttl := fmt.Sprintf("%s + toIntervalSecond(%d)", expression, int64(keep.Seconds()))
	var engine string
	err := db.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}",
		Named("database", db.Database()), Named("table", table)).Scan(&engine)
	if err != nil {
		return fmt.Errorf("look at table %s: %w", table, err)
	}
	has := strings.Contains(engine, " TTL ")
	switch {
	case keep == 0 && !has, keep > 0 && strings.Contains(engine, "TTL "+ttl):
		return nil
	case keep == 0:
		err = db.Exec(ctx, "ALTER TABLE "+table+" REMOVE TTL")
	default:
		err = db.Exec(ctx, "ALTER TABLE "+table+" MODIFY TTL "+ttl+" SETTINGS materialize_ttl_after_modify = 0")
	}
	if err != nil {
		return fmt.Errorf("set retention of table %s: %w", table, err)
	}
	return nil
}
