package store

import (
	"context"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

//go:embed found.sql
var foundSQL string

// Kind is which table a record is in.
type Kind string

// The kinds of records, as people call them.
const (
	KindFeatures Kind = "features"
	KindLabels   Kind = "labels"
	KindMetrics  Kind = "metrics"
	KindContext  Kind = "context"
)

// tables has the table of each kind of record.
var tables = map[Kind]string{
	KindFeatures: "observations", KindLabels: "labels", KindMetrics: "metric_records", KindContext: "contexts",
}

// Search says which records are looked for: those of a trace, and there of a span,
// or those of an id.
type Search struct {
	Tenant string
	Trace  string // 32 hex digits; empty: by id
	Span   string // 16 hex digits; empty for all
	// Profiles are those whose records are looked for.
	Profiles []uuid.UUID
	// Derived are those of them whose rows of features are made of something else
	// that is stored as well, such as metrics.
	Derived []uuid.UUID
	ID      string // without a trace
}

// Name names one stored record, and the row of it that counts.
type Name struct {
	Kind    Kind
	Profile string
	ID      string
	At      int64 // nanoseconds since 1970
	Bytes   uint64
	version *big.Int
	minute  uint32
}

// Stored is a record as it is kept.
type Stored struct {
	Name
	Trace, Span    string // hex; empty for none
	Received       time.Time
	Numbers        []float64
	NumberStates   []uint8
	Categories     []string
	CategoryStates []uint8
	Names          []string
	Values         []float64
	JSON           string
}

// findMemory bounds one search.
const findMemory = 256 << 20

// ProfilesOf are the profiles of which the tenant has records in a trace, at most
// limit.
func (s *Store) ProfilesOf(ctx context.Context, tenant, trace string, limit int) ([]uuid.UUID, error) {
	parts := make([]string, 0, len(tables))
	for _, table := range tables {
		parts = append(parts, "SELECT Profile FROM "+table+" WHERE Tenant = {tenant:String} AND TraceId = toFixedString(unhex({trace:String}), 16)")
	}
	rows, err := s.db.QueryWithin(ctx, clickhousego.Settings{}, "SELECT DISTINCT toString(Profile) FROM ("+strings.Join(parts, " UNION ALL ")+") LIMIT {limit:UInt32}",
		clickhouse.Named("tenant", tenant), clickhouse.Named("trace", trace), clickhouse.Named("limit", limit))
	if err != nil {
		return nil, fmt.Errorf("find profiles of a trace: %w", err)
	}
	defer rows.Close()
	var out []uuid.UUID
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("find profiles of a trace: %w", err)
		}
		uid, err := uuid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("find profiles of a trace: %w", err)
		}
		out = append(out, uid)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find profiles of a trace: %w", err)
	}
	return out, nil
}

// candidates selects the names of rows of a kind that may be looked for.
func (q *Search) candidates(kind Kind) string {
	if q.Trace == "" {
		return "SELECT Profile, RecordId FROM " + tables[kind] +
			" WHERE Tenant = {tenant:String} AND " + among("Profile", q.profiles(kind)) + " AND RecordId = {id:String}"
	}
	return "SELECT Profile, RecordId FROM " + tables[kind] + " WHERE Tenant = {tenant:String} AND " + among("Profile", q.profiles(kind)) +
		" AND TraceId = toFixedString(unhex({trace:String}), 16)"
}

func (q *Search) profiles(kind Kind) []uuid.UUID {
	if kind != KindFeatures || len(q.Derived) == 0 {
		return q.Profiles
	}
	derived := make(map[uuid.UUID]bool, len(q.Derived))
	for _, uid := range q.Derived {
		derived[uid] = true
	}
	var out []uuid.UUID
	for _, uid := range q.Profiles {
		if !derived[uid] {
			out = append(out, uid)
		}
	}
	return out
}

// among is a condition; uids have nothing in them that means something in SQL.
func among(column string, uids []uuid.UUID) string {
	if len(uids) == 0 {
		return "false"
	}
	list := make([]string, len(uids))
	for i, uid := range uids {
		list[i] = "toUUID('" + uid.String() + "')"
	}
	return column + " IN (" + strings.Join(list, ", ") + ")"
}

// Find gives the names of a page of records after one that was found before; nil
// for the first page.
func (s *Store) Find(ctx context.Context, q Search, after *Name, limit int) ([]Name, error) {
	match := "true"
	if q.Trace != "" {
		match = "TraceId = toFixedString(unhex({trace:String}), 16)"
	}
	if q.Span != "" {
		match += " AND SpanId = toFixedString(unhex({span:String}), 8)"
	}
	// Of ids, those of observations are sorted by them; the table is not.
	features := q.candidates(KindFeatures)
	if q.Trace == "" {
		features = strings.Replace(features, "FROM observations", "FROM observation_ids", 1)
	}
	text := strings.NewReplacer("$features", features, "$labels", q.candidates(KindLabels), "$metrics", q.candidates(KindMetrics),
		"$contexts", q.candidates(KindContext), "$match", match).Replace(foundSQL)
	first := after == nil
	if first {
		after = &Name{}
	}
	rows, err := s.db.QueryWithin(ctx, clickhousego.Settings{"max_memory_usage": findMemory}, text, clickhouse.Named("tenant", q.Tenant), clickhouse.Named("trace", q.Trace), clickhouse.Named("span", q.Span),
		clickhouse.Named("id", q.ID), clickhouse.Named("first", first), clickhouse.Named("at", after.At), clickhouse.Named("kind", string(after.Kind)),
		clickhouse.Named("profile", after.Profile), clickhouse.Named("record", after.ID), clickhouse.Named("limit", limit))
	if err != nil {
		return nil, fmt.Errorf("find records: %w", err)
	}
	defer rows.Close()
	var out []Name
	for rows.Next() {
		var n Name
		var kind string
		n.version = new(big.Int)
		if err := rows.Scan(&kind, &n.Profile, &n.ID, &n.At, n.version, &n.minute, &n.Bytes); err != nil {
			return nil, fmt.Errorf("find records: %w", err)
		}
		n.Kind = Kind(kind)
		out = append(out, n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find records: %w", err)
	}
	return out, nil
}

// head are the columns of every kind of record.
const headColumns = `toString(Profile), RecordId, if(TraceId = toFixedString('', 16), '', lower(hex(TraceId))),
	if(SpanId = toFixedString('', 8), '', lower(hex(SpanId))), ReceivedAt`

// Load gives what is kept of named records, in their order. One that went between
// the two looks is left out.
func (s *Store) Load(ctx context.Context, tenant string, names []Name) ([]Stored, error) {
	type key struct {
		kind        Kind
		profile, id string
	}
	loaded := make(map[key]Stored, len(names))
	for _, kind := range []Kind{KindFeatures, KindLabels, KindMetrics, KindContext} {
		which := rowsOf(kind, names)
		if which == "" {
			continue
		}
		body := map[Kind]string{KindMetrics: "CAST(Names, 'Array(String)'), Values", KindContext: "Json"}[kind]
		if body == "" {
			body = "Numbers, NumberStates, CAST(Categories, 'Array(String)'), CategoryStates"
		}
		rows, err := s.db.QueryWithin(ctx, clickhousego.Settings{}, "SELECT "+headColumns+", "+body+" FROM "+tables[kind]+" WHERE Tenant = {tenant:String} AND "+which,
			clickhouse.Named("tenant", tenant))
		if err != nil {
			return nil, fmt.Errorf("load records: %w", err)
		}
		for rows.Next() {
			var r Stored
			to := []any{&r.Profile, &r.ID, &r.Trace, &r.Span, &r.Received}
			switch kind {
			case KindMetrics:
				to = append(to, &r.Names, &r.Values)
			case KindContext:
				to = append(to, &r.JSON)
			default:
				to = append(to, &r.Numbers, &r.NumberStates, &r.Categories, &r.CategoryStates)
			}
			if err := rows.Scan(to...); err != nil {
				rows.Close()
				return nil, fmt.Errorf("load records: %w", err)
			}
			loaded[key{kind, r.Profile, r.ID}] = r
		}
		err = rows.Err()
		rows.Close()
		if err != nil {
			return nil, fmt.Errorf("load records: %w", err)
		}
	}
	out := make([]Stored, 0, len(names))
	for _, n := range names {
		if r, ok := loaded[key{n.Kind, n.Profile, n.ID}]; ok {
			r.Name = n
			out = append(out, r)
		}
	}
	return out, nil
}

// rowsOf is a condition for the very rows of a kind; empty when there are none. Ids
// are written in hex, so that they are nothing but text.
func rowsOf(kind Kind, names []Name) string {
	var list []string
	for _, n := range names {
		if n.Kind != kind {
			continue
		}
		row := "(toUUID('" + n.Profile + "'), unhex('" + hex.EncodeToString([]byte(n.ID)) + "'), "
		switch kind {
		case KindFeatures:
			row += fmt.Sprintf("toDateTime(%d, 'UTC'), toUInt64(%s))", n.minute, n.version)
		case KindLabels:
			row += fmt.Sprintf("toUInt128('%s'))", n.version)
		default:
			row += fmt.Sprintf("toUInt64(%s))", n.version)
		}
		list = append(list, row)
	}
	if len(list) == 0 {
		return ""
	}
	columns := map[Kind]string{KindFeatures: "Minute, ContentHash", KindLabels: "Version"}[kind]
	if columns == "" {
		columns = "ContentHash"
	}
	return "(Profile, RecordId, " + columns + ") IN (" + strings.Join(list, ", ") + ")"
}
