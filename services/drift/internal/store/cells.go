package store

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// Cells is what drift keeps in ClickHouse.
type Cells struct{ db *clickhouse.DB }

// NewCells makes Cells over an open ClickHouse, which stays the caller's.
func NewCells(db *clickhouse.DB) *Cells { return &Cells{db: db} }

// Migrate makes the tables exist. It does not wait for ClickHouse.
func (c *Cells) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/clickhouse")
	if err != nil {
		return err
	}
	return c.db.Migrate(ctx, "drift", files)
}

// Ping returns nil when ClickHouse answers.
func (c *Cells) Ping(ctx context.Context) error { return c.db.Ping(ctx) }

// Range is a range of event time of one profile, in minutes since 1970; End is
// exclusive.
type Range struct {
	Tenant, Profile string
	Start, End      int64
}

const inRange = ` FROM cells FINAL WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
	AND Minute >= toDateTime({start:Int64}, 'UTC') AND Minute < toDateTime({end:Int64}, 'UTC') `

func (r Range) args() []any {
	return []any{
		clickhouse.Named("tenant", r.Tenant), clickhouse.Named("profile", r.Profile),
		clickhouse.Named("start", r.Start*60), clickhouse.Named("end", r.End*60),
	}
}

// place is where an exemplar key stands.
type place struct {
	feature uint16
	bin     uint32
}

// Exemplars finds the exemplars of some features in a range: for each feature a
// list for each bin, always the same for the same data. A record that is not
// kept any more is left out.
func (c *Cells) Exemplars(ctx context.Context, s *window.Statements, r Range, features []int) (map[int][][]score.Exemplar, error) {
	if len(features) == 0 {
		return nil, nil
	}
	places, keys, minutes, err := c.exemplarKeys(ctx, r, features)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	records, err := c.lookUp(ctx, s, minutes, keys)
	if err != nil {
		return nil, err
	}
	found := make(map[int][][]score.Exemplar, len(features))
	for _, p := range places {
		list := found[int(p.feature)]
		for len(list) <= int(p.bin) {
			list = append(list, nil)
		}
		for _, key := range p.keys {
			if x, ok := records[key]; ok {
				list[p.bin] = append(list[p.bin], x)
			}
		}
		found[int(p.feature)] = list
	}
	return found, nil
}

// placed are the keys of one bin, ascending.
type placed struct {
	place
	keys []uint64
}

func (c *Cells) exemplarKeys(ctx context.Context, r Range, features []int) (places []placed, keys []uint64, minutes []int64, err error) {
	wanted := make([]uint16, len(features))
	for i, f := range features {
		wanted[i] = uint16(f)
	}
	rows, err := c.db.Query(ctx, fmt.Sprintf(`SELECT Feature, bin, arrayMap(x -> x.1, best), arrayMap(x -> x.2, best) FROM
		(SELECT Feature, toUInt32(list.1 - 1) AS bin, groupArraySorted(%d)((key, toInt64(toUnixTimestamp(Minute)) DIV 60)) AS best FROM
			(SELECT Feature, Minute, arrayJoin(arrayZip(arrayEnumerate(Exemplars), Exemplars)) AS list, arrayJoin(list.2) AS key`+
		inRange+`AND has({features:Array(UInt16)}, Feature)) GROUP BY Feature, bin) ORDER BY Feature, bin`, window.MaxExemplars),
		append(r.args(), clickhouse.Named("features", wanted))...)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("choose exemplars: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p placed
		var in []int64
		if err := rows.Scan(&p.feature, &p.bin, &p.keys, &in); err != nil {
			return nil, nil, nil, fmt.Errorf("read exemplars: %w", err)
		}
		places, keys, minutes = append(places, p), append(keys, p.keys...), append(minutes, in...)
	}
	slices.Sort(keys)
	slices.Sort(minutes)
	return places, slices.Compact(keys), slices.Compact(minutes), rows.Err()
}

func (c *Cells) lookUp(ctx context.Context, s *window.Statements, minutes []int64, keys []uint64) (map[uint64]score.Exemplar, error) {
	rows, err := c.db.Query(ctx, s.Exemplars(minutes, keys))
	if err != nil {
		return nil, fmt.Errorf("look up exemplars: %w", err)
	}
	defer rows.Close()
	found := make(map[uint64]score.Exemplar, len(keys))
	for rows.Next() {
		var key uint64
		var x score.Exemplar
		if err := rows.Scan(&key, &x.Record, &x.Trace, &x.Span); err != nil {
			return nil, fmt.Errorf("read exemplars: %w", err)
		}
		found[key] = x
	}
	return found, rows.Err()
}
