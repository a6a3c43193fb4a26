package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

// Sent is what one sender sent of one kind.
type Sent struct {
	Sender      string // the principal; "" where it is not known
	Kind        string // features, metrics, context or label
	Items       uint64
	First, Last time.Time // when they were accepted
}

//go:embed senders.sql
var sendersSQL string

// Senders tells who sent the records of a profile whose event time is from start to
// before end, in whole minutes; with an id, who sent that one.
func (s *Store) Senders(ctx context.Context, tenant string, profile uuid.UUID, id string, start, end time.Time) (sent []Sent, err error) {
	const seconds = "2006-01-02 15:04:05"
	rows, err := s.db.Query(ctx, sendersSQL, clickhouse.Named("tenant", tenant), clickhouse.Named("profile", profile.String()), clickhouse.Named("id", id),
		clickhouse.Named("start", start.UTC().Format(seconds)), clickhouse.Named("end", end.UTC().Format(seconds)))
	if err != nil {
		return nil, fmt.Errorf("look for senders: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var of Sent
		if err := rows.Scan(&of.Sender, &of.Kind, &of.Items, &of.First, &of.Last); err != nil {
			return nil, fmt.Errorf("read senders: %w", err)
		}
		sent = append(sent, of)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for senders: %w", err)
	}
	return sent, nil
}
