package query

import (
	"context"
	"encoding/hex"
	"errors"
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
	// MaxSpans is how many spans of one trace are given. Default 50,000.
	MaxSpans int
	// PartBytes is about how large a part of a trace is. Default 1 MiB.
	PartBytes int
	// Timeout bounds one statement. Default 30 s.
	Timeout time.Duration
	// MeasureMemory is what one measure may take of ClickHouse's. Default 256
	// MiB, which two million spans take.
	MeasureMemory int64
	// CountRows is how many rows a count looks at whole; of more, a sample of half as
	// many at most.
	// Default 500,000.
	CountRows int
	// AttributeRows is how many spans a list of attributes looks at. Default 4,000.
	AttributeRows int
	// AttributeScan is how many spans are read for that, those between included.
	// Default 150,000.
	AttributeScan int
	// GraphSpans is how many spans of its time a graph looks at. Default 300,000.
	GraphSpans int
}

func (l Limits) withDefaults() Limits {
	if l.MaxTraces <= 0 {
		l.MaxTraces = 1500
	}
	if l.MaxSpans <= 0 {
		l.MaxSpans = 50_000
	}
	if l.PartBytes <= 0 {
		l.PartBytes = 1 << 20
	}
	if l.Timeout <= 0 {
		l.Timeout = 30 * time.Second
	}
	if l.MeasureMemory <= 0 {
		l.MeasureMemory = 256 << 20
	}
	if l.CountRows <= 0 {
		l.CountRows = 500_000
	}
	if l.AttributeRows <= 0 {
		l.AttributeRows = 4000
	}
	if l.AttributeScan <= 0 {
		l.AttributeScan = 150_000
	}
	if l.GraphSpans <= 0 {
		l.GraphSpans = 300_000
	}
	return l
}

// Reader answers questions about stored spans. It is safe for concurrent use.
type Reader struct {
	db        *clickhouse.DB
	limits    Limits
	measuring chan struct{} // holds one for each measure at work
}

// New makes a reader on db, which the caller closes.
func New(db *clickhouse.DB, limits Limits) *Reader {
	return &Reader{db: db, limits: limits.withDefaults(), measuring: make(chan struct{}, maxMeasures)}
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
	// Place is where the trace stands in a search; zero where none was made.
	Place Place
	// Warnings, on the last part of a trace, say what is odd about its spans as
	// far as they were given.
	Warnings []Warning
}

// Trace gives the spans of one trace, and what the mesh did on the tenant's
// behalf in it, to send, in parts of about Limits.PartBytes, by start time. The
// error is fault.NotFound when there is none; an error of send ends the call
// and is returned.
func (q *Reader) Trace(ctx context.Context, tenant string, id TraceID, send func(Part) error) error {
	w := newWhereWithHops(tenant)
	w.key("TraceId = toFixedString(unhex({trace:String}), 16)")
	w.arg("trace", id.String())
	found := false
	err := q.parts(ctx, w, "Timestamp, SpanId, Twin", func(p Part) error {
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
	return q.parts(ctx, w, "indexOf({ids:Array(String)}, lower(hex(TraceId))), Timestamp, SpanId, Twin", send)
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
	return c.end()
}

func (q *Reader) query(ctx context.Context, sql string, args []any) (driver.Rows, error) {
	return q.queryWith(ctx, clickhousego.Settings{}, sql, args)
}

// queryWith adds the bound of time to the settings. The error is fault.Invalid
// for texts that are longer than can be asked for.
func (q *Reader) queryWith(ctx context.Context, settings clickhousego.Settings, sql string, args []any) (driver.Rows, error) {
	if n := textBytes(args); n > maxText {
		return nil, fault.Invalid.New("names and values of %d bytes are asked for, at most %d can be", n, maxText)
	}
	settings["max_execution_time"] = math.Ceil(q.limits.Timeout.Seconds())
	return q.db.QueryWithin(ctx, settings, sql, args...)
}

// row reads the one row of an answer.
func (q *Reader) row(ctx context.Context, sql string, args []any, to ...any) error {
	rows, err := q.query(ctx, sql, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// tooMany is the error of doing something; message says what to do where the engine had
// no room for the spans of a time.
func tooMany(err error, doing, message string) error {
	if e, ok := errors.AsType[*clickhouse.Error](err); ok && e.Code == clickhouse.CodeMemoryLimit {
		return fault.Exhausted.Wrap(err, "%s", message).WithReason("TOO_MANY_SPANS")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// maxText is how many bytes the texts of a statement may have. ClickHouse takes
// them as a URL of at most 1 MiB, in which a byte takes up to three.
const maxText = 256 << 10

func textBytes(args []any) (n int) {
	for _, arg := range args {
		named, _ := arg.(driver.NamedValue)
		switch v := named.Value.(type) {
		case string:
			n += len(v)
		case []string:
			for _, s := range v {
				n += len(s)
			}
		}
	}
	return n
}

// once reads every span that w selects once: the version that was accepted
// last. It does without FINAL, which reads half as much again; conditions on
// the key go to PREWHERE, so that only their granules are read at all. w must
// not ask for what may differ between versions.
func once(columns string, w *where) string {
	return "SELECT " + columns + "\nFROM spans\n" + w.sql() + "\nORDER BY ReceivedAt DESC\nLIMIT 1 BY " + identity
}

// identity is what makes two rows the same span: the sort key of the table.
const identity = "Tenant, TraceId, SpanId, Twin"
