package query

import (
	"context"
	"fmt"
	"time"
)

// Stored is how many distinct spans of the tenant are in the store, of those
// that arrived since then.
func (q *Reader) Stored(ctx context.Context, tenant string, since time.Time) (uint64, error) {
	w := newWhere(tenant)
	w.add("ReceivedAt >= {since:DateTime64(9)}")
	w.arg("since", since.UTC().Format("2006-01-02 15:04:05"))
	rows, err := q.query(ctx, "SELECT count() FROM spans FINAL "+w.any(), w.args)
	if err != nil {
		return 0, fmt.Errorf("count spans: %w", err)
	}
	defer rows.Close()
	var n uint64
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, fmt.Errorf("read count: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("count spans: %w", err)
	}
	return n, nil
}
