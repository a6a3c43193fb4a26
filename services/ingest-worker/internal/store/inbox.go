package store

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

// Admission is what became of one message of the topic inbox when it was taken
// in: a row of inbox_ledger.
type Admission struct {
	Tenant, ID, Signal string
	Accepted           int // spans or records that arrived, refused ones included
	Forwarded          int // messages that carry the good ones on
	Rejected           map[string]int
	DeadLettered       map[string]int
	Received           time.Time // stable: a message that comes again says the same
}

// Admit stores admissions. Writing one again replaces it.
func (s *Store) Admit(ctx context.Context, list []Admission) error {
	var (
		tenant, signal    = new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality()
		id                proto.ColStr
		accepted, forward proto.ColUInt32
		rejected, dead    = newCounts(), newCounts()
		received          = nanoTime()
	)
	for i := range list {
		a := &list[i]
		tenant.Append(a.Tenant)
		signal.Append(a.Signal)
		id.Append(a.ID)
		accepted.Append(uint32(a.Accepted))
		forward.Append(uint32(a.Forwarded))
		rejected.Append(counts(a.Rejected))
		dead.Append(counts(a.DeadLettered))
		received.AppendRaw(proto.DateTime64(a.Received.UnixNano()))
	}
	return s.db.Insert(ctx, "inbox_ledger", proto.Input{
		{Name: "Tenant", Data: tenant}, {Name: "MessageId", Data: &id}, {Name: "Signal", Data: signal},
		{Name: "Accepted", Data: &accepted}, {Name: "Forwarded", Data: &forward},
		{Name: "Rejected", Data: rejected}, {Name: "DeadLettered", Data: dead}, {Name: "ReceivedAt", Data: received},
	})
}

func counts(m map[string]int) map[string]uint32 {
	out := make(map[string]uint32, len(m))
	for k, n := range m {
		out[k] = uint32(n)
	}
	return out
}

// Admitted sums up what came in by the topic inbox for one signal.
type Admitted struct {
	Signal       string
	Accepted     uint64
	Forwarded    uint64
	Rejected     map[string]uint64 // by reason
	DeadLettered map[string]uint64 // by reason
	Day          uint32            // of arrival, in days since 1970; 0 when not told apart
}

//go:embed admitted.sql
var admittedSQL string

// Admitted reads what came in for a tenant, by signal and perhaps by day.
// Concurrent writes may or may not be in it.
func (s *Store) Admitted(ctx context.Context, tenant string, byDay bool) ([]Admitted, error) {
	rows, err := s.db.Query(ctx, admittedSQL, clickhouse.Named("tenant", tenant), clickhouse.Named("by_day", byDay))
	if err != nil {
		return nil, fmt.Errorf("read inbox ledger: %w", err)
	}
	defer rows.Close()
	var list []Admitted
	for rows.Next() {
		var a Admitted
		if err := rows.Scan(&a.Signal, &a.Accepted, &a.Forwarded, &a.Rejected, &a.DeadLettered, &a.Day); err != nil {
			return nil, fmt.Errorf("read inbox ledger: %w", err)
		}
		list = append(list, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read inbox ledger: %w", err)
	}
	return list, nil
}
