package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// CheckedProfiles lists the profiles of a tenant that have checks, of spaces that may
// be seen.
func (s *State) CheckedProfiles(ctx context.Context, tenant string, within policy.Spaces) ([]string, error) {
	condition, args := inSpaces("space", within)
	found, err := sqlstate.All(ctx, s.db, scanText, `SELECT uid FROM profiles WHERE tenant = ? AND checks = ?`+condition,
		append([]any{tenant, true}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("list profiles with checks: %w", err)
	}
	return found, nil
}

func scanText(rows *sql.Rows) (text string, err error) {
	err = rows.Scan(&text)
	return text, err
}

// CheckedPage asks for records with a context, and what their checks came to.
type CheckedPage struct {
	Tenant     string
	Profiles   []string // uids
	Record     string   // "" for all
	Done       *bool    // only those whose checks were run, or are to be; nil for all
	Start, End time.Time
	After      *CheckedPlace // nil for the first page
	Contexts   bool
	Limit      int
}

// CheckedPlace is the place of a record in the list: its event time in microseconds
// since 1970, since not all who carry it back keep more, and its number.
type CheckedPlace struct {
	At     int64
	Number uint64
}

// CheckedRecord is a record with a context, and what its checks came to.
type CheckedRecord struct {
	ContextRow
	Profile        string
	Number         uint64
	Done           bool
	At             time.Time
	Took           time.Duration
	Passed, Failed uint16
	Results        []CheckResult
}

const (
	// maxPageBytes keeps a page of contexts within one message; one record is always
	// let in.
	maxPageBytes = 2 << 20
	// contextsAtOnce are read at a time.
	contextsAtOnce = 20
	// number tells records of the same moment apart, within what every reader of JSON
	// can hold.
	number = "bitShiftRight(cityHash64(RecordId), 11)"
)

// namesSQL gives the names of a page of records with a context, the newest first. It
// reads no context.
var namesSQL = fmt.Sprintf(`SELECT toString(Profile), RecordId, EventTime, ReceivedAt, %[1]s, %[2]s AS Number, ContentHash, toUnixTimestamp64Micro(EventTime) AS Micros,
	(Profile, RecordId, bitShiftRight(ContentHash, %[3]d)) IN (SELECT Profile, RecordId, bitShiftRight(Version, %[3]d) FROM check_results
		WHERE Tenant = {tenant:String} AND toString(Profile) IN {profiles:Array(String)} AND ({record:String} = '' OR RecordId = {record:String})) AS Done
	FROM contexts FINAL
	WHERE Tenant = {tenant:String} AND Profile IN (SELECT toUUID(arrayJoin({profiles:Array(String)}))) AND ({record:String} = '' OR RecordId = {record:String})
		AND toUnixTimestamp64Nano(EventTime) >= {start:Int64} AND toUnixTimestamp64Nano(EventTime) < {end:Int64}
		AND ({first:Bool} OR (Micros, Number) < ({at:Int64}, {number:UInt64}))
		AND ({all:Bool} OR Done = {done:Bool})
	ORDER BY Micros DESC, Number DESC LIMIT {limit:UInt32}`, traceHex, number, spanBits)

// ListChecked gives a page of records with a context, the newest first. It may be
// shorter than the limit where contexts are long; full says that there may be more.
func (c *Cells) ListChecked(ctx context.Context, q CheckedPage) (page []CheckedRecord, full bool, err error) {
	if len(q.Profiles) == 0 {
		return nil, false, nil
	}
	page, err = c.checkedNames(ctx, &q)
	if err != nil || len(page) == 0 {
		return page, false, err
	}
	full = len(page) == q.Limit
	byName := make(map[string]*CheckedRecord, len(page))
	for i := range page {
		byName[page[i].Profile+page[i].Record] = &page[i]
	}
	if err := c.checkResults(ctx, q.Tenant, page, byName); err != nil {
		return nil, false, err
	}
	if !q.Contexts {
		return page, full, nil
	}
	bytes := 0
	for begin := 0; begin < len(page); begin += contextsAtOnce {
		part := page[begin:min(begin+contextsAtOnce, len(page))]
		if err := c.contexts(ctx, q.Tenant, part, byName); err != nil {
			return nil, false, err
		}
		for i := range part {
			if bytes += len(part[i].JSON); bytes > maxPageBytes && begin+i > 0 {
				return page[:begin+i], true, nil
			}
		}
	}
	return page, full, nil
}

func (c *Cells) checkedNames(ctx context.Context, q *CheckedPage) (page []CheckedRecord, err error) {
	after, done := CheckedPlace{}, false
	if q.After != nil {
		after = *q.After
	}
	if q.Done != nil {
		done = *q.Done
	}
	rows, err := c.db.Query(ctx, namesSQL, clickhouse.Named("tenant", q.Tenant), clickhouse.Named("profiles", q.Profiles), clickhouse.Named("record", q.Record),
		clickhouse.Named("start", q.Start.UnixNano()), clickhouse.Named("end", q.End.UnixNano()), clickhouse.Named("first", q.After == nil),
		clickhouse.Named("at", after.At), clickhouse.Named("number", after.Number), clickhouse.Named("all", q.Done == nil), clickhouse.Named("done", done),
		clickhouse.Named("limit", q.Limit))
	if err != nil {
		return nil, fmt.Errorf("list checked records: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r CheckedRecord
		var micros int64
		var done uint8
		if err := rows.Scan(&r.Profile, &r.Record, &r.Event, &r.Received, &r.Trace, &r.Number, &r.hash, &micros, &done); err != nil {
			return nil, fmt.Errorf("read checked records: %w", err)
		}
		r.Done = done == 1
		page = append(page, r)
	}
	return page, rows.Err()
}

// named are the profiles and ids of records.
func named(page []CheckedRecord) (profiles, records []string) {
	for i := range page {
		profiles, records = append(profiles, page[i].Profile), append(records, page[i].Record)
	}
	slices.Sort(profiles)
	return slices.Compact(profiles), records
}

func (c *Cells) checkResults(ctx context.Context, tenant string, page []CheckedRecord, byName map[string]*CheckedRecord) error {
	profiles, records := named(page)
	rows, err := c.db.Query(ctx, `SELECT toString(Profile), RecordId, `+traceHex+`, CheckedAt, Took, Passed, Failed, Results, Version FROM check_results FINAL
		WHERE Tenant = {tenant:String} AND Profile IN (SELECT toUUID(arrayJoin({profiles:Array(String)})))
			AND RecordId IN (SELECT arrayJoin({records:Array(String)}))`,
		clickhouse.Named("tenant", tenant), clickhouse.Named("profiles", profiles), clickhouse.Named("records", records))
	if err != nil {
		return fmt.Errorf("look up results of checks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r CheckedRecord
		var took, version uint64
		var results string
		if err := rows.Scan(&r.Profile, &r.Record, &r.Trace, &r.At, &took, &r.Passed, &r.Failed, &results, &version); err != nil {
			return fmt.Errorf("read results of checks: %w", err)
		}
		of := byName[r.Profile+r.Record]
		if of == nil || !of.Done || version>>spanBits != of.hash>>spanBits {
			continue // of what the record was before
		}
		if err := json.Unmarshal([]byte(results), &of.Results); err != nil {
			return fault.Internal.Wrap(err, "stored results of checks cannot be read")
		}
		of.Trace, of.At, of.Took, of.Passed, of.Failed = r.Trace, r.At, time.Duration(took)*time.Microsecond, r.Passed, r.Failed //nolint:gosec // a time
	}
	return rows.Err()
}

// contexts reads the contexts of some records.
func (c *Cells) contexts(ctx context.Context, tenant string, part []CheckedRecord, byName map[string]*CheckedRecord) error {
	profiles, records := named(part)
	rows, err := c.db.Query(ctx, `SELECT toString(Profile), RecordId, Json FROM contexts FINAL
		WHERE Tenant = {tenant:String} AND Profile IN (SELECT toUUID(arrayJoin({profiles:Array(String)})))
			AND RecordId IN (SELECT arrayJoin({records:Array(String)}))`,
		clickhouse.Named("tenant", tenant), clickhouse.Named("profiles", profiles), clickhouse.Named("records", records))
	if err != nil {
		return fmt.Errorf("look up contexts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var profile, record, text string
		if err := rows.Scan(&profile, &record, &text); err != nil {
			return fmt.Errorf("read contexts: %w", err)
		}
		if of := byName[profile+record]; of != nil {
			of.JSON = text
		}
	}
	return rows.Err()
}
