package normalize

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Field numbers of driftmesh.event.v1.RecordBatch and driftmesh.ingest.v1. The
// fuzz test holds them against the generated code.
const (
	batchRecords = 1

	recordID          = 1
	recordEventTime   = 2
	recordProfile     = 3
	recordTraceParent = 4
	recordFeatures    = 10
	recordMetrics     = 11
	recordContext     = 12
	recordLabels      = 13
	recordCounted     = 14

	timeSeconds = 1
	timeNanos   = 2

	listValues = 1 // of Features and Metrics
	entryName  = 1 // of Feature and Metric

	featureInt     = 2
	featureFloat   = 3
	featureString  = 4
	featureBool    = 5
	featureMissing = 6

	metricValue = 2
	contextJSON = 1

	countedFeature = 1
	countedBin     = 2
	countedCount   = 3
)

// ErrDecode is returned for a message that is no list of records: it can only
// be parked.
var ErrDecode = fault.Invalid.New("the message is not a batch of records").WithReason("DECODE")

// body is what a record says.
type body uint8

const (
	bodyNone body = iota
	bodyFeatures
	bodyMetrics
	bodyContext
	bodyLabels
	bodyCounted
)

// form is how a value came.
type form uint8

const (
	formMissing form = iota
	formInt
	formFloat
	formString
	formBool
)

// value is a named value, still in the order of the message.
type value struct {
	name []byte
	text []byte // formString
	bits uint64 // int64, bits of a float64, or 0 and 1
	form form
}

// record is one record as it came. Its slices point into the message.
type record struct {
	id          []byte
	profile     []byte
	traceParent []byte
	json        []byte
	bin         int64 // of what was counted
	seconds     int64
	nanos       int32
	timed       bool // an event time is set
	body        body
	reason      Reason // "" unless the record is unreadable
	from, to    int    // its values in Batch.values
}

// Batch is a decoded message, in memory that the next Decode reuses. It points
// into the message's bytes, so it must not outlive them. The zero Batch is
// ready; it is not safe for concurrent use.
type Batch struct {
	records []record
	values  []value
	row     Row
	seen    []uint32 // per feature slot: the last record that named it
	stamp   uint32
	scratch []byte
}

// Len is how many records the message holds, unreadable ones included.
func (b *Batch) Len() int { return len(b.records) }

// Decode reads the value of a message on the topic records. It returns
// ErrDecode when that is not a list of records; a record that cannot be read is
// kept as rejected instead.
func (b *Batch) Decode(msg []byte) error {
	clear(b.records)
	clear(b.values)
	b.records, b.values = b.records[:0], b.values[:0]
	for len(msg) > 0 {
		num, typ, raw, rest, ok := field(msg)
		if !ok {
			return ErrDecode
		}
		msg = rest
		if num != batchRecords || typ != protowire.BytesType {
			continue
		}
		b.records = append(b.records, b.record(raw))
	}
	if len(b.records) == 0 {
		return ErrDecode
	}
	return nil
}

// record reads one record; what it cannot read it marks as rejected.
func (b *Batch) record(raw []byte) record {
	r := record{from: len(b.values)}
	for len(raw) > 0 && r.reason == "" {
		num, typ, v, rest, ok := field(raw)
		if !ok {
			r.reason = Malformed
			break
		}
		raw = rest
		if typ == protowire.BytesType {
			r.reason = b.recordField(&r, num, v)
		}
	}
	if r.reason != "" {
		b.values = b.values[:r.from]
	}
	r.to = len(b.values)
	return r
}

func (b *Batch) recordField(r *record, num protowire.Number, v []byte) Reason {
	switch num {
	case recordID:
		r.id = v
		return checkText(v)
	case recordProfile:
		r.profile = v
		return checkText(v)
	case recordTraceParent:
		r.traceParent = v
		return checkText(v)
	case recordEventTime:
		return r.time(v)
	case recordFeatures:
		b.begin(r, bodyFeatures)
		return b.list(v, b.feature)
	case recordMetrics:
		b.begin(r, bodyMetrics)
		return b.list(v, b.metric)
	case recordContext:
		b.begin(r, bodyContext)
		return r.context(v)
	case recordLabels:
		b.begin(r, bodyLabels)
		return b.list(v, b.feature)
	case recordCounted:
		b.begin(r, bodyCounted)
		return b.counted(r, v)
	default: // unknown, and allowed to be
		return ""
	}
}

// begin starts a body. As protobuf has it, the last kind of a oneof wins, and a
// kind that comes twice is merged.
func (b *Batch) begin(r *record, kind body) {
	if r.body == kind {
		return
	}
	r.body, r.json = kind, nil
	b.values = b.values[:r.from]
}

func (r *record) time(raw []byte) Reason {
	r.timed = true
	for len(raw) > 0 {
		num, typ, v, rest, ok := field(raw)
		if !ok {
			return Malformed
		}
		raw = rest
		if typ != protowire.VarintType {
			continue
		}
		n, _ := protowire.ConsumeVarint(v)
		switch num {
		case timeSeconds:
			r.seconds = int64(n)
		case timeNanos:
			r.nanos = int32(n)
		default: // unknown, and allowed to be
		}
	}
	return ""
}

func (r *record) context(raw []byte) Reason {
	for len(raw) > 0 {
		num, typ, v, rest, ok := field(raw)
		if !ok {
			return Malformed
		}
		raw = rest
		if num == contextJSON && typ == protowire.BytesType {
			r.json = v
			if reason := checkText(v); reason != "" {
				return reason
			}
		}
	}
	return ""
}

func checkText(v []byte) Reason {
	if !utf8.Valid(v) {
		return InvalidUTF8
	}
	return ""
}

func wellFormed(raw []byte) bool {
	for len(raw) > 0 {
		_, _, _, rest, ok := field(raw)
		if !ok {
			return false
		}
		raw = rest
	}
	return true
}

// field cuts the first field off b. For a length-delimited field raw is the
// content, for any other it is the encoded value.
func field(b []byte) (num protowire.Number, typ protowire.Type, raw, rest []byte, ok bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, 0, nil, nil, false
	}
	b = b[n:]
	if typ == protowire.BytesType {
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return 0, 0, nil, nil, false
		}
		return num, typ, v, b[n:], true
	}
	n = protowire.ConsumeFieldValue(num, typ, b)
	if n < 0 {
		return 0, 0, nil, nil, false
	}
	return num, typ, b[:n], b[n:], true
}
