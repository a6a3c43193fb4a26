package query

import (
	"context"
	"fmt"
)

// Ledger is what became of a tenant's spans.
type Ledger struct {
	// Stored is how many distinct ones are in the store.
	Stored    uint64
	Instances []Settled
}

// Ledger reads the tenant's ledger. The parts are read one after the other:
// only when nothing is being written do they surely add up.
func (q *Reader) Ledger(ctx context.Context, tenant string) (Ledger, error) {
	stored, err := q.stored(ctx, tenant)
	if err != nil {
		return Ledger{}, err
	}
	instances, err := q.settled(ctx, tenant)
	return Ledger{Stored: stored, Instances: instances}, err
}

// Settled sums up the messages of one gateway process; those that no gateway
// numbered have no instance.
type Settled struct {
	Instance                  string
	Accepted, Written         uint64
	Rejected, DeadLettered    map[string]uint64
	Messages, MissingMessages uint64
}

// stored is how many distinct spans of the tenant are in the store.
func (q *Reader) stored(ctx context.Context, tenant string) (uint64, error) {
	w := newWhere(tenant)
	var n uint64
	rows, err := q.query(ctx, "SELECT count() FROM spans FINAL "+w.any(), w.args)
	if err != nil {
		return 0, fmt.Errorf("count spans: %w", err)
	}
	defer rows.Close()
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

// settled gives what was settled of the tenant's messages, by the process that
// accepted them.
//
// A process numbers its messages over all tenants, so the missing ones are
// counted over all: a number, and nothing else, of others' messages.
func (q *Reader) settled(ctx context.Context, tenant string) ([]Settled, error) {
	w := newWhere(tenant)
	rows, err := q.query(ctx, `WITH gaps AS (
    SELECT Instance, toUInt64(max(n) - uniqExact(n)) AS missing
    FROM (
        SELECT Instance, arrayJoin(arrayConcat([Seq], Void)) AS n
        FROM span_ledger
        WHERE Instance != '' AND Instance IN (SELECT Instance FROM span_ledger `+w.any()+`)
    )
    WHERE n > 0
    GROUP BY Instance
)
SELECT Instance, sum(Accepted), sum(Stored), sumMap(Rejected), sumMap(DeadLettered), count(), any(missing)
FROM span_ledger FINAL
LEFT JOIN gaps USING (Instance)
`+w.any()+`
GROUP BY Instance
ORDER BY Instance`, w.args)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	defer rows.Close()
	var out []Settled
	for rows.Next() {
		var s Settled
		if err := rows.Scan(&s.Instance, &s.Accepted, &s.Written, &s.Rejected, &s.DeadLettered, &s.Messages, &s.MissingMessages); err != nil {
			return nil, fmt.Errorf("read ledger row: %w", err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return out, nil
}
