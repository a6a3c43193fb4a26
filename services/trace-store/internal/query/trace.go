package query

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// Limits bound the answers. Zero fields have defaults.
type Limits struct {
	// MaxTraces is how many traces a search may give. Default 1500.
	MaxTraces int
	// MaxSpans is how many spans of one trace are given. Default 20,000.
	MaxSpans int
	// PartBytes is about how large a part of a trace is. Default 1 MiB.
	PartBytes int
	// Timeout bounds one statement. Default 30 s.
	Timeout time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.MaxTraces <= 0 {
		l.MaxTraces = 1500
	}
	if l.MaxSpans <= 0 {
		l.MaxSpans = 20_000
	}
	if l.PartBytes <= 0 {
		l.PartBytes = 1 << 20
	}
	if l.Timeout <= 0 {
		l.Timeout = 30 * time.Second
	}
	return l
}

// Reader answers questions about stored spans. It is safe for concurrent use.
type Reader struct {
	db     *clickhouse.DB
	limits Limits
}

// New makes a reader on db, which the caller closes.
func New(db *clickhouse.DB, limits Limits) *Reader {
	return &Reader{db: db, limits: limits.withDefaults()}
}

// TraceID is the id of a trace.
type TraceID [16]byte

// ParseTraceID reads 32 hex digits, or 16 for an id of 64 bits. The error is
// fault.Invalid.
func ParseTraceID(s string) (TraceID, error) {
	var id TraceID
	if len(s) != 32 && len(s) != 16 {
		return id, fault.Invalid.New("trace_id must be 32 hex digits, or 16, not %d", len(s))
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		return id, fault.Invalid.New("trace_id is not hexadecimal")
	}
	copy(id[len(id)-len(raw):], raw)
	return id, nil
}

// String is the id as 32 hex digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// Range is a range of time. A zero bound is open.
type Range struct {
	// Start is inclusive, End exclusive.
	Start, End time.Time
}

// Part is a trace or a piece of one.
type Part struct {
	TraceID TraceID
	// Traces is OTLP TracesData in protobuf.
	Traces []byte
	// Spans is how many are in Traces.
	Spans int
	// Truncated is true on the last part of a trace that has more spans than
	// Limits.MaxSpans.
	Truncated bool
}

// Trace gives the spans of one trace, and what the mesh did on the tenant's
// behalf in it, that start within r to send, in parts of
// about Limits.PartBytes, by start time. The error is fault.NotFound when
// there is none; an error of send ends the call and is returned.
func (q *Reader) Trace(ctx context.Context, tenant string, id TraceID, r Range, send func(Part) error) error {
	w := newWhereWithHops(tenant)
	w.key("TraceId = toFixedString(unhex({trace:String}), 16)")
	w.arg("trace", id.String())
	w.timeRange("Timestamp", r)
	found := false
	err := q.parts(ctx, w, "Timestamp, SpanId", func(p Part) error {
		found = true
		return send(p)
	})
	if err == nil && !found {
		return fault.NotFound.New("trace %s", id)
	}
	return err
}

// traces gives whole traces in the order of ids.
func (q *Reader) traces(ctx context.Context, tenant string, ids []TraceID, send func(Part) error) error {
	w := newWhere(tenant)
	w.traceIDs(ids)
	return q.parts(ctx, w, "indexOf({ids:Array(String)}, lower(hex(TraceId))), Timestamp, SpanId", send)
}

// parts reads the spans that w selects, which come trace by trace, and cuts
// them into parts.
func (q *Reader) parts(ctx context.Context, w *where, order string, send func(Part) error) error {
	w.arg("max", uint64(q.limits.MaxSpans)+1)
	sql := "SELECT " + spanColumns + "\nFROM (" + once("*", w) + ")\nORDER BY " + order + "\nLIMIT {max:UInt64} BY TraceId"
	rows, err := q.query(ctx, sql, w.args)
	if err != nil {
		return fmt.Errorf("read traces: %w", err)
	}
	defer rows.Close()
	c := cutter{limits: q.limits, send: send}
	var r row
	for rows.Next() {
		if err := r.scan(rows); err != nil {
			return fmt.Errorf("read span: %w", err)
		}
		if err := c.add(&r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read traces: %w", err)
	}
	return c.flush(false)
}

// cutter makes parts of a sequence of spans.
type cutter struct {
	limits Limits
	send   func(Part) error
	id     string
	seen   int // spans of the trace
	b      *builder
}

func (c *cutter) add(r *row) error {
	if r.traceID != c.id {
		if err := c.flush(false); err != nil {
			return err
		}
		c.id, c.seen = r.traceID, 0
	}
	c.seen++
	switch {
	case c.seen > c.limits.MaxSpans+1:
		return nil
	case c.seen > c.limits.MaxSpans:
		return c.flush(true)
	case c.b != nil && c.b.size >= c.limits.PartBytes:
		if err := c.flush(false); err != nil {
			return err
		}
	}
	if c.b == nil {
		c.b = newBuilder()
	}
	return c.b.add(r)
}

func (c *cutter) flush(truncated bool) error {
	if c.b == nil {
		return nil
	}
	p := Part{Traces: c.b.bytes(), Spans: c.b.spans, Truncated: truncated}
	copy(p.TraceID[:], c.id)
	c.b = nil
	return c.send(p)
}

func (q *Reader) query(ctx context.Context, sql string, args []any) (driver.Rows, error) {
	ctx = clickhousego.Context(ctx, clickhousego.WithSettings(clickhousego.Settings{
		"max_execution_time": math.Ceil(q.limits.Timeout.Seconds()),
	}))
	return q.db.Query(ctx, sql, args...)
}

// once reads every span that w selects once. It does without FINAL, which
// reads half as much again; conditions on the key go to PREWHERE, so that only
// their granules are read at all.
func once(columns string, w *where) string {
	return "SELECT " + columns + "\nFROM spans\n" + w.sql() + "\nORDER BY ReceivedAt DESC\nLIMIT 1 BY Tenant, TraceId, SpanId"
}
