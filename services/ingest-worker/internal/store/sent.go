package store

import (
	_ "embed"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

//go:embed sent.sql
var sentSQL string

// Sent selects the records of a profile whose event time is from start to before end,
// in whole minutes, or with an id that one, for receipt.Book's Senders.
func Sent(profile uuid.UUID, id string, start, end time.Time) (items string, args []any) {
	const seconds = "2006-01-02 15:04:05"
	return sentSQL, []any{
		clickhouse.Named("profile", profile.String()), clickhouse.Named("id", id),
		clickhouse.Named("start", start.UTC().Format(seconds)), clickhouse.Named("end", end.UTC().Format(seconds)),
	}
}
