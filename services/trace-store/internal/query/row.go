package query

import (
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/spantree"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/value"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// spanColumns are what row.scan reads, in its order.
const spanColumns = `
    TraceId, SpanId, ParentSpanId, TraceState, TraceFlags, SpanName, SpanKind,
    toUnixTimestamp64Nano(Timestamp), Duration, StatusCode, StatusMessage,
    mapKeys(SpanAttributes), mapValues(SpanAttributes), SpanAttributeTypes, SpanRest,
    Resource, Scope, ServiceName`

// row is a row of the table spans.
type row struct {
	traceID, spanID, parentID, state string
	flags                            uint32
	name                             string
	kind                             int32
	start                            int64
	duration                         uint64
	status                           int32
	message                          string
	attrs                            attributes
	rest                             string
	resource, scope                  string // protobuf, see the table
	service                          string
}

type attributes struct {
	keys, vals []string
	types      string
}

func (r *row) scan(rows driver.Rows) error {
	*r = row{}
	return rows.Scan(
		&r.traceID, &r.spanID, &r.parentID, &r.state, &r.flags, &r.name, &r.kind,
		&r.start, &r.duration, &r.status, &r.message,
		&r.attrs.keys, &r.attrs.vals, &r.attrs.types, &r.rest,
		&r.resource, &r.scope, &r.service,
	)
}

// node is the row as the tree of its trace sees it.
func (r *row) node() spantree.Span {
	s := spantree.Span{Service: r.service, Kind: r.kind, Start: uint64(r.start), End: uint64(r.start) + r.duration}
	copy(s.ID[:], r.spanID)
	copy(s.Parent[:], r.parentID)
	for c := wire.Of([]byte(r.rest)); c.Next(); { // times that could not stand in columns
		switch {
		case c.Is(otlp.SpanStartTimeUnixNano, wire.Fixed64):
			s.Start = c.U
		case c.Is(otlp.SpanEndTimeUnixNano, wire.Fixed64):
			s.End = c.U
		}
	}
	return s
}

// appendSpan appends the OTLP Span message of the row.
func (r *row) appendSpan(dst []byte) ([]byte, error) {
	dst = wire.AppendString(dst, otlp.SpanTraceID, r.traceID)
	dst = wire.AppendString(dst, otlp.SpanSpanID, r.spanID)
	dst = wire.AppendString(dst, otlp.SpanTraceState, r.state)
	if r.parentID != noParent {
		dst = wire.AppendString(dst, otlp.SpanParentSpanID, r.parentID)
	}
	dst = wire.AppendString(dst, otlp.SpanName, r.name)
	dst = wire.AppendVarint(dst, otlp.SpanKind, uint64(int64(r.kind)))
	dst = wire.AppendFixed64(dst, otlp.SpanStartTimeUnixNano, uint64(r.start))
	dst = wire.AppendFixed64(dst, otlp.SpanEndTimeUnixNano, uint64(r.start)+r.duration)
	dst, err := r.attrs.append(dst, otlp.SpanAttributes)
	if err != nil {
		return dst, err
	}
	if r.status != 0 || r.message != "" {
		var status []byte
		status = wire.AppendString(status, otlp.StatusMessage, r.message)
		status = wire.AppendVarint(status, otlp.StatusCode, uint64(int64(r.status)))
		dst = wire.AppendBytes(dst, otlp.SpanStatus, status)
	}
	dst = wire.AppendFixed32(dst, otlp.SpanFlags, r.flags)
	return append(dst, r.rest...), nil
}

// noParent is how a span without a parent stands in ParentSpanId.
const noParent = "\x00\x00\x00\x00\x00\x00\x00\x00"

// append appends the attributes as repeated KeyValue fields.
func (a *attributes) append(dst []byte, field int32) ([]byte, error) {
	if len(a.keys) != len(a.vals) || len(a.keys) != len(a.types) {
		return dst, fault.Internal.New("stored attributes and their types differ in number")
	}
	var kv []byte
	var err error
	for i, key := range a.keys {
		if kv, err = value.AppendKeyValue(kv[:0], key, a.types[i], a.vals[i]); err != nil {
			return dst, err
		}
		dst = wire.AppendBytes(dst, field, kv)
	}
	return dst, nil
}
