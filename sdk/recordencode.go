package sdk

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Tags of driftmesh.ingest.v1.
const (
	recordsField = 1<<3 | length // of PublishRecordsRequest

	recordTagID          = 1<<3 | length
	recordTagTime        = 2<<3 | length
	recordTagProfile     = 3<<3 | length
	recordTagTraceparent = 4<<3 | length
	recordTagTracestate  = 5<<3 | length
	recordTagFeatures    = 10<<3 | length
	recordTagMetrics     = 11<<3 | length
	recordTagContext     = 12<<3 | length
	recordTagLabels      = 13<<3 | length

	timeTagSeconds = 1<<3 | varint
	timeTagNanos   = 2<<3 | varint

	listTagValue = 1<<3 | length // of Features and Metrics

	valueTagName    = 1<<3 | length // of Feature and Metric
	featureTagInt   = 2<<3 | varint
	featureTagFloat = 3<<3 | fix64
	featureTagText  = 4<<3 | length
	featureTagBool  = 5<<3 | varint
	featureTagNone  = 6<<3 | length
	metricTagValue  = 2<<3 | fix64
	contextTagJSON  = 1<<3 | length
)

// recordWriter encodes records, and remembers which features one has. It is used by
// one goroutine at a time.
type recordWriter struct {
	buf   []byte
	seen  []uint32
	stamp uint32
}

var writers = sync.Pool{New: func() any { return new(recordWriter) }}

// begin begins a record of a profile with n features.
func (w *recordWriter) begin(n int) {
	if w.stamp++; w.stamp == 0 || len(w.seen) < n { // wrapped around
		w.seen = make([]uint32, max(n, len(w.seen)))
		w.stamp = 1
	}
}

// twice notes a feature and tells whether it was there before.
func (w *recordWriter) twice(at int) bool {
	if w.seen[at] == w.stamp {
		return true
	}
	w.seen[at] = w.stamp
	return false
}

// write encodes a record as an element of a PublishRecordsRequest.
func (w *recordWriter) write(in *Inserter, sc trace.SpanContext, r *body, values []Value) {
	now := time.Now()
	b, record := open(w.buf[:0], recordsField)
	if r.id != "" {
		b = appendString(b, recordTagID, r.id)
	} else {
		b = append(b, recordTagID, idLength)
		b = appendID(b, now)
	}
	at := r.at
	if at.IsZero() {
		at = now
	}
	b, stamp := open(b, recordTagTime)
	b = protowire.AppendVarint(append(b, timeTagSeconds), uint64(at.Unix())) //nolint:gosec // as protobuf has it
	if n := at.Nanosecond(); n > 0 {
		b = protowire.AppendVarint(append(b, timeTagNanos), uint64(n)) //nolint:gosec // not negative
	}
	b = shut(b, stamp)
	b = appendString(b, recordTagProfile, in.ref)
	if sc.IsValid() {
		b = append(b, recordTagTraceparent, traceparentLength)
		b = appendTraceparent(b, sc)
		b = appendTraceState(b, recordTagTracestate, sc.TraceState())
	}
	switch {
	case r.json != nil:
		b, inner := open(b, recordTagContext)
		b = protowire.AppendBytes(append(b, contextTagJSON), r.json)
		w.buf = shut(shut(b, inner), record)
		return
	case in.of == profile.MetricRecords:
		b = appendMetrics(b, values)
	case r.labels:
		b = appendFeatures(b, recordTagLabels, values)
	default:
		b = appendFeatures(b, recordTagFeatures, values)
	}
	w.buf = shut(b, record)
}

func appendFeatures(b []byte, tag byte, values []Value) []byte {
	b, list := open(b, tag)
	for i := range values {
		v := &values[i]
		var at int
		b, at = open(b, listTagValue)
		b = appendString(b, valueTagName, v.name)
		switch v.is {
		case valueInt:
			b = protowire.AppendVarint(append(b, featureTagInt), protowire.EncodeZigZag(int64(v.bits))) //nolint:gosec // its bits
		case valueFloat:
			b = binary.LittleEndian.AppendUint64(append(b, featureTagFloat), v.bits)
		case valueString:
			b = appendString(b, featureTagText, v.text)
		case valueBool:
			b = append(b, featureTagBool, byte(v.bits)) //nolint:gosec // 0 or 1
		case valueMissing, noValue:
			b = append(b, featureTagNone, 0)
		}
		b = shut(b, at)
	}
	return shut(b, list)
}

func appendMetrics(b []byte, values []Value) []byte {
	b, list := open(b, recordTagMetrics)
	for i := range values {
		v := &values[i]
		var at int
		b, at = open(b, listTagValue)
		b = appendString(b, valueTagName, v.name)
		b = binary.LittleEndian.AppendUint64(append(b, metricTagValue), math.Float64bits(v.number()))
		b = shut(b, at)
	}
	return shut(b, list)
}

const (
	traceparentLength = 55
	idLength          = 29
)

// appendTraceparent writes a span context as W3C Trace Context has it, version 00.
func appendTraceparent(b []byte, sc trace.SpanContext) []byte {
	traceID, spanID := sc.TraceID(), sc.SpanID()
	b = hex.AppendEncode(append(b, "00-"...), traceID[:])
	b = hex.AppendEncode(append(b, '-'), spanID[:])
	return append(b, '-', '0', '0'+byte(sc.TraceFlags()&trace.FlagsSampled))
}

// idAlphabet is that of base32, in lower case.
const idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

// appendID writes a name that sorts by time, which the store compresses better, with
// 80 random bits behind it.
func appendID(b []byte, now time.Time) []byte {
	ms := uint64(now.UnixMilli()) //nolint:gosec // after 1970
	for shift := 44; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[ms>>shift&15])
	}
	b = append(b, '-')
	const bits, perWord = 5, 8
	for range 2 {
		random := rand.Uint64()
		for range perWord {
			b = append(b, idAlphabet[random&31])
			random >>= bits
		}
	}
	return b
}
