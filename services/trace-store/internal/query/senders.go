package query

import (
	"context"
	_ "embed"
	"fmt"
	"time"
)

// Sent is what one sender sent of a trace.
type Sent struct {
	Sender      string // the principal; "" where it is not known
	Spans       uint64
	First, Last time.Time // when they were accepted
}

//go:embed senders.sql
var sendersSQL string

// Senders tells who sent the spans of a trace that stand in the store, who sent
// most first.
func (q *Reader) Senders(ctx context.Context, tenant string, id TraceID) (sent []Sent, err error) {
	w := newWhere(tenant)
	w.arg("trace", id.String())
	rows, err := q.query(ctx, sendersSQL, w.args)
	if err != nil {
		return nil, fmt.Errorf("look for senders: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var of Sent
		if err := rows.Scan(&of.Sender, &of.Spans, &of.First, &of.Last); err != nil {
			return nil, fmt.Errorf("read senders: %w", err)
		}
		sent = append(sent, of)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for senders: %w", err)
	}
	return sent, nil
}
