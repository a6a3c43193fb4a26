// Package drifttest gives drift's tests real tables with observations in them.
package drifttest

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/schema"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Record is one row of observations in short.
type Record struct {
	ID         string
	Minute     int64 // since 1970
	Hash       uint64
	Trace      bool // has the trace and span that TraceOf tells
	Numbers    []float64
	Missing    []bool   // of Numbers; nil is none
	Categories []string // "" is missing
	// Nano is when in its minute, in nanoseconds; 0 is its place among the records.
	Nano int64
}

// Tables gives a fresh database with the tables of ingest-worker, trace-store and
// drift.
func Tables(t testing.TB) *clickhouse.DB {
	t.Helper()
	db := clickhousetest.Open(t)
	if err := db.Migrate(t.Context(), schema.RecordsOwner, schema.Records()); err != nil {
		t.Fatalf("migrate the tables of records: %v", err)
	}
	if err := db.Migrate(t.Context(), schema.SpansOwner, schema.Spans()); err != nil {
		t.Fatalf("migrate the tables of spans: %v", err)
	}
	if err := store.NewCells(db).Migrate(t.Context()); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return db
}

// TraceOf is the trace and span of the record with that id.
func TraceOf(id string) (trace [16]byte, span [8]byte) {
	binary.BigEndian.PutUint64(trace[:], uint64(len(id)))
	copy(trace[8:], id)
	copy(span[:], id)
	return trace, span
}

// Insert stores records as ingest-worker does.
func Insert(ctx context.Context, db *clickhouse.DB, tenant string, profile uuid.UUID, records []Record) error {
	return insert(ctx, db, "observations", tenant, profile, records)
}

// Label stores records as labels of those with their ids, as of their minutes.
func Label(ctx context.Context, db *clickhouse.DB, tenant string, profile uuid.UUID, labels []Record) error {
	return insert(ctx, db, "labels", tenant, profile, labels)
}

func insert(ctx context.Context, db *clickhouse.DB, table, tenant string, profile uuid.UUID, records []Record) error {
	tenants, ids := new(proto.ColStr).LowCardinality(), new(proto.ColStr)
	var profiles proto.ColUUID
	var traces proto.ColFixedStr16
	var spans proto.ColFixedStr8
	var hashes proto.ColUInt64
	at, received := nanos(), nanos()
	numbers, states := new(proto.ColFloat64).Array(), new(proto.ColUInt8).Array()
	categories, present := proto.NewArray(new(proto.ColStr).LowCardinality()), new(proto.ColUInt8).Array()
	for i := range records {
		r := &records[i]
		tenants.Append(tenant)
		profiles.Append(profile)
		at.Append(time.Unix(r.Minute*60, cmp.Or(r.Nano, int64(i))))
		received.Append(time.Unix(r.Minute*60+1, 0))
		ids.Append(r.ID)
		trace, span := [16]byte{}, [8]byte{}
		if r.Trace {
			trace, span = TraceOf(r.ID)
		}
		traces.Append(trace)
		spans.Append(span)
		numbers.Append(r.Numbers)
		states.Append(numberStates(r))
		categories.Append(r.Categories)
		present.Append(categoryStates(r))
		hashes.Append(r.Hash)
	}
	return db.Insert(ctx, table, proto.Input{
		{Name: "Tenant", Data: tenants}, {Name: "Profile", Data: &profiles}, {Name: "EventTime", Data: at}, {Name: "RecordId", Data: ids},
		{Name: "TraceId", Data: &traces}, {Name: "SpanId", Data: &spans}, {Name: "Numbers", Data: numbers}, {Name: "NumberStates", Data: states},
		{Name: "Categories", Data: categories}, {Name: "CategoryStates", Data: present}, {Name: "ReceivedAt", Data: received}, {Name: "ContentHash", Data: &hashes},
	})
}

func nanos() *proto.ColDateTime64 {
	return new(proto.ColDateTime64).WithPrecision(proto.PrecisionNano).WithLocation(time.UTC)
}

func numberStates(r *Record) []uint8 {
	states := make([]uint8, len(r.Numbers))
	for k, v := range r.Numbers {
		switch {
		case r.Missing != nil && r.Missing[k]:
			states[k] = 1
		case math.IsNaN(v):
			states[k] = 2
		case math.IsInf(v, 1):
			states[k] = 3
		case math.IsInf(v, -1):
			states[k] = 4
		}
	}
	return states
}

func categoryStates(r *Record) []uint8 {
	states := make([]uint8, len(r.Categories))
	for k, text := range r.Categories {
		if text == "" {
			states[k] = 1
		}
	}
	return states
}

// Context is a record with a context.
type Context struct {
	ID   string
	At   time.Time
	JSON string
	Hash uint64
	// Trace is that of its traceparent; zero for none.
	Trace [16]byte
}

// Contexts stores records with a context as ingest-worker does.
func Contexts(ctx context.Context, db *clickhouse.DB, tenant string, profile uuid.UUID, all []Context) error {
	tenants, ids, texts := new(proto.ColStr).LowCardinality(), new(proto.ColStr), new(proto.ColStr)
	var profiles proto.ColUUID
	var traces proto.ColFixedStr16
	var spans proto.ColFixedStr8
	var hashes proto.ColUInt64
	at, received := nanos(), nanos()
	for _, r := range all {
		tenants.Append(tenant)
		profiles.Append(profile)
		at.Append(r.At)
		received.Append(r.At.Add(time.Second))
		ids.Append(r.ID)
		traces.Append(r.Trace)
		spans.Append([8]byte{})
		texts.Append(r.JSON)
		hashes.Append(r.Hash)
	}
	return db.Insert(ctx, "contexts", proto.Input{
		{Name: "Tenant", Data: tenants}, {Name: "Profile", Data: &profiles}, {Name: "EventTime", Data: at}, {Name: "RecordId", Data: ids},
		{Name: "TraceId", Data: &traces}, {Name: "SpanId", Data: &spans}, {Name: "Json", Data: texts}, {Name: "ReceivedAt", Data: received},
		{Name: "ContentHash", Data: &hashes},
	})
}
