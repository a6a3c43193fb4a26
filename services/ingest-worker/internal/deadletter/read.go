package deadletter

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/pagetoken"
)

// Filter says which letters of a tenant. Fields that are zero match all.
type Filter struct {
	Topic, Reason string
	Start, End    time.Time // of being parked: from Start, before End
	States        []State   // any of these; none is Parked
	IDs           []ID      // any of these
	Whole         bool      // only those that can be redriven
}

// Place is where a letter stands in a list: by when it was parked, then by id.
// The zero Place is before the beginning.
type Place struct {
	DeadAt time.Time
	ID     ID
}

// Token is the place as text that goes through URLs.
func (p Place) Token() string {
	if p == (Place{}) {
		return ""
	}
	return pagetoken.Of(p.DeadAt.UnixNano(), p.ID.String())
}

// ParsePlace reads what Token writes. The error is fault.Invalid.
func ParsePlace(token string) (Place, error) {
	if token == "" {
		return Place{}, nil
	}
	at, parts, err := pagetoken.Parse(token, 1)
	if err != nil {
		return Place{}, err
	}
	id, err := ParseID(parts[0])
	return Place{time.Unix(0, at).UTC(), id}, err
}

// Order is how a list is sorted.
type Order int

// The orders, by when letters were parked.
const (
	NewestFirst Order = iota
	OldestFirst
)

// Page is a part of a list.
type Page struct {
	Order Order
	After Place // the last letter of the page before
	Limit int
}

// letterColumns are what scanLetter reads.
const letterColumns = `lower(hex(Id)), Version, Redrives, Topic, ` + "`Group`" + `, MessageId, Reason, Error, Attempts, Lane, Position,
    FirstSeen, DeadAt, Worker, Type, Count, ValueBytes, Headers['` + event.HeaderDLQCut + `'], marks.Last, marks.At, marks.By`

// fromLetters is every letter of the tenant, once, with its last redrive.
const fromLetters = `
FROM dead_letters FINAL
LEFT JOIN
(
    SELECT Id, max(Version) AS Last, argMax(RedrivenAt, Version) AS At, argMax(RedrivenBy, Version) AS By
    FROM dead_letter_redrives
    WHERE Tenant = {tenant:String}
    GROUP BY Id
) AS marks USING (Id)
WHERE Tenant = {tenant:String}`

// List gives the letters of a tenant that match.
func (s *Store) List(ctx context.Context, tenant string, f Filter, p Page) ([]Letter, error) {
	conditions, args := f.sql(tenant)
	sort := "DESC"
	if p.Order == OldestFirst {
		sort = "ASC"
	}
	if p.After != (Place{}) {
		than := "<"
		if p.Order == OldestFirst {
			than = ">"
		}
		conditions += "\n  AND (toUnixTimestamp64Nano(DeadAt), lower(hex(Id))) " + than + " ({at:Int64}, {last:String})"
		args = append(args, clickhouse.Named("at", p.After.DeadAt.UnixNano()), clickhouse.Named("last", p.After.ID.String()))
	}
	args = append(args, clickhouse.Named("limit", p.Limit))
	rows, err := s.db.Query(ctx, "SELECT "+letterColumns+fromLetters+conditions+
		"\nORDER BY DeadAt "+sort+", Id "+sort+"\nLIMIT {limit:UInt32}", args...)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	defer rows.Close()
	var out []Letter
	for rows.Next() {
		l := Letter{Tenant: tenant}
		if err := scan(rows, &l); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return out, nil
}

// Load gives letters of a tenant with their contents, in no order; those that
// do not exist are left out. The caller bounds how much that is.
func (s *Store) Load(ctx context.Context, tenant string, ids []ID) ([]Letter, []Content, error) {
	f := Filter{IDs: ids, States: []State{Parked, Redriven}}
	conditions, args := f.sql(tenant)
	rows, err := s.db.Query(ctx, "SELECT "+letterColumns+", Headers, Key, Value"+fromLetters+conditions, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("load dead letters: %w", err)
	}
	defer rows.Close()
	var letters []Letter
	var contents []Content
	for rows.Next() {
		l, headers, key, value := Letter{Tenant: tenant}, map[string]string{}, "", ""
		if err := scan(rows, &l, &headers, &key, &value); err != nil {
			return nil, nil, err
		}
		letters = append(letters, l)
		contents = append(contents, Content{Headers: sorted(headers), Key: []byte(key), Value: []byte(value)})
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("load dead letters: %w", err)
	}
	return letters, contents, nil
}

func sorted(headers map[string]string) []broker.Header {
	out := make([]broker.Header, 0, len(headers))
	for key, value := range headers {
		out = append(out, broker.Header{Key: key, Value: []byte(value)})
	}
	slices.SortFunc(out, func(a, b broker.Header) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// scan reads letterColumns, and what follows them into more.
func scan(rows driver.Rows, l *Letter, more ...any) error {
	var (
		id, reason, cut    string
		redrives, attempts uint32
		count, size, last  uint64
		at                 time.Time
	)
	err := rows.Scan(append([]any{
		&id, &l.Version, &redrives, &l.Topic, &l.Group, &l.MessageID, &reason, &l.Error, &attempts, &l.Lane, &l.Position,
		&l.FirstSeen, &l.DeadAt, &l.Worker, &l.Type, &count, &size, &cut, &last, &at, &l.RedrivenBy,
	}, more...)...)
	if err != nil {
		return fmt.Errorf("read dead letter: %w", err)
	}
	if l.ID, err = ParseID(id); err != nil {
		return fmt.Errorf("read dead letter: %w", err)
	}
	l.Reason, l.Redrives, l.Attempts, l.Count, l.Bytes = runner.Reason(reason), int(redrives), int(attempts), int(count), int(size)
	if cut != "" {
		l.Cut = strings.Split(cut, ",")
	}
	l.State = Parked
	if last >= l.Version {
		l.State = Redriven
	}
	if last > 0 {
		l.RedrivenAt = at
	}
	return nil
}

// sql is the conditions beside the tenant's, each with AND before it, and all
// arguments.
func (f *Filter) sql(tenant string) (string, []any) {
	var sql strings.Builder
	args := []any{clickhouse.Named("tenant", tenant)}
	add := func(condition, name string, value any) {
		sql.WriteString("\n  AND " + condition)
		args = append(args, clickhouse.Named(name, value))
	}
	if f.Topic != "" {
		add("Topic = {topic:String}", "topic", f.Topic)
	}
	if f.Reason != "" {
		add("Reason = {reason:String}", "reason", f.Reason)
	}
	if !f.Start.IsZero() {
		add("DeadAt >= fromUnixTimestamp64Nano({start:Int64})", "start", within(f.Start, f.Start).UnixNano())
	}
	if !f.End.IsZero() {
		add("DeadAt < fromUnixTimestamp64Nano({end:Int64})", "end", within(f.End, f.End).UnixNano())
	}
	if f.IDs != nil {
		hexes := make([]string, len(f.IDs))
		for i, id := range f.IDs {
			hexes[i] = id.String()
		}
		// As a subquery, since only constants and sets find granules by key.
		add("Id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))", "ids", hexes)
	}
	if f.Whole {
		sql.WriteString("\n  AND Headers['" + event.HeaderDLQCut + "'] = ''")
	}
	parked := len(f.States) == 0 || slices.Contains(f.States, Parked)
	switch redriven := slices.Contains(f.States, Redriven); {
	case parked && !redriven:
		sql.WriteString("\n  AND marks.Last < Version")
	case redriven && !parked:
		sql.WriteString("\n  AND marks.Last >= Version")
	}
	return sql.String(), args
}
