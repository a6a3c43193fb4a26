package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/evaluate"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// spanBits of a version tell how many spans of the trace there were; the others are
// those of the hash of the context (migration 010).
const spanBits = 20

// ContextRow is a stored record with a context.
type ContextRow struct {
	Record   string
	Event    time.Time
	Received time.Time
	Trace    string // hex; empty for none
	JSON     string
	hash     uint64
}

// Version is that of the results of a record whose trace has so many spans.
func (r *ContextRow) Version(spans int) uint64 {
	return r.hash>>spanBits<<spanBits | uint64(min(max(spans, 0), 1<<spanBits-1)) //nolint:gosec // bounded
}

// traceHex is a column of a trace's id as text.
const traceHex = "if(TraceId = toFixedString('', 16), '', lower(hex(TraceId)))"

// inMinutes are the ids of the records with a context of some minutes.
const inMinutes = `SELECT RecordId FROM context_minutes WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
	AND Minute IN (SELECT toDateTime(60 * arrayJoin({minutes:Array(Int64)}), 'UTC'))`

// unchecked is the condition that there are no results of the record as it is.
var unchecked = fmt.Sprintf(`(RecordId, bitShiftRight(ContentHash, %[1]d)) NOT IN (SELECT RecordId, bitShiftRight(Version, %[1]d) FROM check_results
	WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND $among)`, spanBits)

// pendingSQL finds the records with a context in some minutes whose checks are to be
// run.
var pendingSQL = `SELECT RecordId, EventTime, ReceivedAt, ` + traceHex + `, Json, ContentHash FROM contexts FINAL
	WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND RecordId > {after:String} AND RecordId IN (` + inMinutes + `)
	AND ` + strings.ReplaceAll(unchecked, "$among", "RecordId IN ("+inMinutes+")") + `
	ORDER BY RecordId LIMIT {limit:UInt32}`

// uncheckedBytes bounds the contexts of a page: each may have a mebibyte.
const uncheckedBytes = 16 << 20

// Unchecked gives a page of the records with a context in the minutes whose checks are
// to be run, in the order of their ids, after one of them; it is shorter than the limit
// where they are long.
func (c *Cells) Unchecked(ctx context.Context, of Owner, minutes []int64, after string, limit int) ([]ContextRow, error) {
	rows, err := c.db.Query(ctx, pendingSQL, clickhouse.Named("tenant", of.Tenant), clickhouse.Named("profile", of.Profile),
		clickhouse.Named("minutes", minutes), clickhouse.Named("after", after), clickhouse.Named("limit", limit))
	if err != nil {
		return nil, fmt.Errorf("look for records to check: %w", err)
	}
	defer rows.Close()
	var out []ContextRow
	for bytes := 0; bytes < uncheckedBytes && rows.Next(); {
		var r ContextRow
		if err := rows.Scan(&r.Record, &r.Event, &r.Received, &r.Trace, &r.JSON, &r.hash); err != nil {
			return nil, fmt.Errorf("read records to check: %w", err)
		}
		bytes += len(r.JSON)
		out = append(out, r)
	}
	return out, rows.Err()
}

// Owner is whose something is.
type Owner struct{ Tenant, Profile string }

// CheckResult is what one check came to, as it is kept.
type CheckResult struct {
	Name    string           `json:"name"`
	Outcome evaluate.Outcome `json:"outcome"`
	Actual  json.RawMessage  `json:"actual,omitempty"`
	Message string           `json:"message,omitempty"`
	Stage   int              `json:"stage,omitempty"`
}

// Checked is what the checks of a record came to.
type Checked struct {
	*ContextRow
	Trace   [16]byte // zero for none
	Spans   int      // how many of it there were
	Numbers []float64
	States  []uint8 // of the numbers, as observations have them
	Sum     evaluate.Sum
	Results []CheckResult
	At      time.Time
	Took    time.Duration
}

// WriteChecked stores what checks came to. The same again changes nothing.
func (c *Cells) WriteChecked(ctx context.Context, of Owner, all []Checked) error {
	uid, err := uuid.Parse(of.Profile)
	if err != nil {
		return fault.Internal.Wrap(err, "profile uid %q is malformed", of.Profile)
	}
	b := newCheckBlock()
	for i := range all {
		if err := b.append(of.Tenant, uid, &all[i]); err != nil {
			return err
		}
	}
	if err := c.db.Insert(ctx, "check_results", b.input()); err != nil {
		return fmt.Errorf("store results of checks: %w", err)
	}
	return nil
}

// checkBlock is rows of table check_results.
type checkBlock struct {
	tenant                   *proto.ColLowCardinality[string]
	profile                  proto.ColUUID
	record, results          proto.ColStr
	event, received, checked *proto.ColDateTime64
	trace                    proto.ColFixedStr16
	numbers                  *proto.ColArr[float64]
	states                   *proto.ColArr[uint8]
	passed, failed           proto.ColUInt16
	took, version            proto.ColUInt64
}

func newCheckBlock() *checkBlock {
	at := func(p proto.Precision) *proto.ColDateTime64 {
		return new(proto.ColDateTime64).WithPrecision(p).WithLocation(time.UTC)
	}
	return &checkBlock{
		tenant: new(proto.ColStr).LowCardinality(), event: at(proto.PrecisionNano), received: at(proto.PrecisionNano), checked: at(proto.PrecisionMicro),
		numbers: new(proto.ColFloat64).Array(), states: new(proto.ColUInt8).Array(),
	}
}

func (b *checkBlock) append(tenant string, uid uuid.UUID, c *Checked) error {
	results, err := json.Marshal(c.Results)
	if err != nil {
		return fmt.Errorf("encode results of checks: %w", err)
	}
	b.tenant.Append(tenant)
	b.profile.Append(uid)
	b.record.Append(c.Record)
	b.event.Append(c.Event)
	b.trace.Append(c.Trace)
	b.numbers.Append(c.Numbers)
	b.states.Append(c.States)
	b.passed.Append(uint16(c.Sum.Passed)) //nolint:gosec // checks are few
	b.failed.Append(uint16(c.Sum.Failed)) //nolint:gosec // checks are few
	b.results.AppendBytes(results)
	b.checked.Append(c.At)
	b.took.Append(uint64(max(c.Took.Microseconds(), 0))) //nolint:gosec // positive
	b.received.Append(c.Received)
	b.version.Append(c.Version(c.Spans))
	return nil
}

func (b *checkBlock) input() proto.Input {
	return proto.Input{
		{Name: "Tenant", Data: b.tenant}, {Name: "Profile", Data: &b.profile}, {Name: "RecordId", Data: &b.record}, {Name: "EventTime", Data: b.event},
		{Name: "TraceId", Data: &b.trace}, {Name: "Numbers", Data: b.numbers}, {Name: "NumberStates", Data: b.states},
		{Name: "Passed", Data: &b.passed}, {Name: "Failed", Data: &b.failed}, {Name: "Results", Data: &b.results}, {Name: "CheckedAt", Data: b.checked},
		{Name: "Took", Data: &b.took}, {Name: "ReceivedAt", Data: b.received}, {Name: "Version", Data: &b.version},
	}
}
