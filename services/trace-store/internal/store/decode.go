package store

import (
	"time"

	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// Reasons for which the store itself rejects spans, beside those of package
// otlp. The ledger counts by them.
const (
	// Malformed: the bytes of a span, or of the resource or scope around it,
	// are not well-formed protobuf.
	Malformed = "malformed"
	// NoRoom: the span alone, with its resource, is larger than a block may be.
	NoRoom = "span_too_large"
)

// Message is one ExportTraceServiceRequest as it came from the broker.
type Message struct {
	// ID is the message's unique id, the key of its ledger row.
	ID string
	// Tenant owns the spans.
	Tenant string
	// ReceivedAt is when the door accepted the message; the same on every
	// delivery.
	ReceivedAt time.Time
	// Count is how many spans the door counted; 0 when it did not.
	Count int
	// Instance is the account that accepted the message and Seq the number it
	// has there. Empty outside the ledger.
	Instance string
	Seq      uint64
	// Sender is the principal who brought the message to the door.
	Sender string
	// Value is the request in protobuf, packed as Encoding says (see
	// envelope.Unpack). It is only read during Decode.
	Value    []byte
	Encoding string
}

// Outcome is what became of the spans of one message.
type Outcome struct {
	// Stored is how many spans went into columns.
	Stored int
	// Rejected is how many did not, by reason; nil when there are none.
	Rejected map[string]int
}

func (o *Outcome) reject(reason string, n int) {
	if n <= 0 {
		return
	}
	if o.Rejected == nil {
		o.Rejected = map[string]int{}
	}
	o.Rejected[reason] += n
}

func (o *Outcome) rejected() int {
	n := 0
	for _, k := range o.Rejected {
		n += k
	}
	return n
}

// Decoder turns messages into rows of Columns. It keeps scratch memory between
// messages and is not safe for concurrent use.
type Decoder struct {
	// MaxBlock is how many bytes Columns may hold before full is called in the
	// middle of a message: a short message can grow, because a resource is
	// repeated for each of its spans.
	MaxBlock int

	unpacked    []byte // scratch
	span        span
	parser      parser
	res, scope  group
	origin      origin
	blockBudget int
}

// Decode appends the spans of m to cols. When cols holds MaxBlock bytes it
// calls full, which has to write cols and reset it; an error of full ends
// Decode at once and is its only error. Spans that break a rule, and what
// cannot be read at all, are rejected in the outcome.
func (d *Decoder) Decode(m *Message, cols *Columns, full func() error) (Outcome, error) {
	var out Outcome
	d.origin.tenant = append(d.origin.tenant[:0], m.Tenant...)
	d.origin.received = m.ReceivedAt
	d.blockBudget = d.MaxBlock - cols.Size()
	c := wire.Of(d.unpack(m))
	for c.Next() {
		if !c.Is(otlp.RequestResourceSpans, wire.Bytes) {
			continue
		}
		if err := d.resourceSpans(c.V, cols, &out, full); err != nil {
			return out, err
		}
	}
	// What the door counted and we could not even find was in the part that
	// cannot be read.
	out.reject(Malformed, m.Count-out.Stored-out.rejected())
	return out, nil
}

// unpack gives the request of a message, valid until the next one; nothing when
// it cannot be read.
func (d *Decoder) unpack(m *Message) []byte {
	value, err := envelope.Unpack(m.Encoding, m.Value, d.unpacked)
	if err != nil {
		return nil
	}
	if m.Encoding != "" {
		d.unpacked = value
	}
	return value
}

// resourceSpans stops silently where the bytes end to make sense: the missing
// spans show in the count of the message.
func (d *Decoder) resourceSpans(b []byte, cols *Columns, out *Outcome, full func() error) error {
	ok := d.res.resource(b)
	c := wire.Of(b)
	for c.Next() {
		if !c.Is(otlp.ResourceSpansScopeSpans, wire.Bytes) {
			continue
		}
		if err := d.scopeSpans(c.V, ok, cols, out, full); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) scopeSpans(b []byte, ok bool, cols *Columns, out *Outcome, full func() error) error {
	ok = d.scope.scope(b) && ok
	c := wire.Of(b)
	for c.Next() {
		if !c.Is(otlp.ScopeSpansSpans, wire.Bytes) {
			continue
		}
		if !ok {
			out.reject(Malformed, 1)
			continue
		}
		if reason := d.parser.span(&d.span, c.V); reason != "" {
			out.reject(reason, 1)
			continue
		}
		d.span.settleTimes(d.origin.received)
		if err := d.store(cols, len(c.V), out, full); err != nil {
			return err
		}
	}
	return nil
}

// store appends the parsed span, after making room for it.
func (d *Decoder) store(cols *Columns, size int, out *Outcome, full func() error) error {
	need := d.res.bytes() + d.scope.bytes() + 2*size + rowOverhead
	if need > d.MaxBlock {
		out.reject(NoRoom, 1)
		return nil
	}
	if need > d.blockBudget {
		// Estimates run low: look before a block goes out half full.
		if d.blockBudget = d.MaxBlock - cols.Size(); need > d.blockBudget {
			if err := full(); err != nil {
				return err
			}
			d.blockBudget = d.MaxBlock - cols.Size()
		}
	}
	d.blockBudget -= need
	cols.append(&d.origin, &d.res, &d.scope, &d.span)
	out.Stored++
	return nil
}

// rowOverhead is about what a row takes beside its texts: fixed columns,
// indexes of dictionaries and ends of arrays.
const rowOverhead = 320
