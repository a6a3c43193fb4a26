package store

import (
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
)

// Message is what the rows of one message and its entry in the ledger share.
type Message struct {
	ID       string
	Tenant   string
	Instance string // the gateway process that accepted it; "" outside the ledger
	Seq      uint64 // its number there
	Traced   bool   // whether it belongs to a trace that is recorded
	Accepted time.Time
	Sender   string // the principal who brought it
}

// Touch says which windows of a profile got rows.
type Touch struct {
	Tenant  string
	Profile uuid.UUID
	Minutes []int64 // since 1970, ascending, each once
	Message int     // the first message that touched them, counted from 0; a traced one if there is any
}

// Block is what many messages leave in the tables: columns, entries of the
// ledger, touched windows. It keeps its memory when it is reset. The zero Block
// is not ready, use NewBlock; it is not safe for concurrent use.
//
// For each message call Begin, give its records to Row and Reject (it is a
// normalize.Sink), and call End; or Dead alone. When it is Full, also in the
// midst of a message, write it and call Written, which keeps everything but
// what is stored now.
type Block struct {
	observations observations
	labels       observations
	metrics      metrics
	contexts     contexts
	ledger       ledger

	limit    int // bytes at which it is full
	bytes    int // of the columns, roughly
	rows     Rows
	messages int
	current  Message
	tenant   []byte
	written  uint32
	rejected map[string]uint32
	total    map[normalize.Reason]int

	touched  map[touchKey]*touch
	labelled map[touchKey][]string // ids of records that labels in the columns are of
	last     *touch                // of the row before
	lastKey  touchKey
}

type touchKey struct {
	tenant  string
	profile uuid.UUID
}

type touch struct {
	minutes map[int64]struct{}
	last    int64
	message int
	traced  bool
}

var _ normalize.Sink = (*Block)(nil)

// Rows counts records by table.
type Rows struct{ Observations, Metrics, Contexts, Labels int }

// NewBlock makes an empty block that is full at about so many bytes.
func NewBlock(limit int) *Block {
	b := &Block{
		limit:        limit,
		observations: newObservations(), labels: newObservations(), metrics: newMetrics(), contexts: newContexts(), ledger: newLedger(),
		rejected: map[string]uint32{}, total: map[normalize.Reason]int{}, touched: map[touchKey]*touch{},
		labelled: map[touchKey][]string{},
	}
	b.observations.counted = &counted{}
	return b
}

// Reset empties the block.
func (b *Block) Reset() {
	b.Written()
	b.rows, b.messages, b.last = Rows{}, 0, nil
	clear(b.total)
	clear(b.touched)
}

// Written empties the columns, which are stored now, and keeps the rest: the
// message at hand, the touched windows and the counts.
func (b *Block) Written() {
	b.observations.reset()
	b.labels.reset()
	clear(b.labelled)
	b.metrics.reset()
	b.contexts.reset()
	b.ledger.reset()
	b.bytes = 0
}

// Full implements normalize.Sink.
func (b *Block) Full() bool { return b.bytes >= b.limit }

// Begin starts a message.
func (b *Block) Begin(m Message) {
	b.current, b.tenant, b.written, b.last = m, append(b.tenant[:0], m.Tenant...), 0, nil
	clear(b.rejected)
}

// Row implements normalize.Sink.
func (b *Block) Row(r *normalize.Row) {
	b.written++
	switch r.Body {
	case normalize.Features, normalize.Counted:
		b.rows.Observations++
		b.bytes += b.observations.append(b, r)
		b.touch(r)
	case normalize.Metrics:
		b.rows.Metrics++
		b.bytes += b.metrics.append(b, r)
		b.observed(r)
	case normalize.Context:
		b.rows.Contexts++
		b.bytes += b.contexts.append(b, r)
		b.observed(r)
		if r.Checked {
			b.touch(r)
		}
	case normalize.Labels:
		b.rows.Labels++
		b.bytes += b.labels.append(b, r) + len(r.ID)
		b.label(r)
	}
}

// observed adds a row that is an observation as well.
func (b *Block) observed(r *normalize.Row) {
	if r.Observed {
		b.bytes += b.observations.append(b, r)
		b.touch(r)
	}
}

// Reject implements normalize.Sink.
func (b *Block) Reject(_ int, reason normalize.Reason) {
	b.rejected[string(reason)]++
	b.total[reason]++
}

// End finishes the message: its entry goes into the ledger.
func (b *Block) End() {
	accepted := b.written
	for _, n := range b.rejected {
		accepted += n
	}
	b.ledger.append(&b.current, accepted, b.written, b.rejected, nil)
	b.messages++
}

// Dead enters a whole message of count records into the ledger as parked.
func (b *Block) Dead(m Message, count int, reason string) {
	b.ledger.append(&m, uint32(count), 0, nil, map[string]uint32{reason: uint32(count)})
	b.messages++
}

// at is the entry of a profile in touched, for a row of the message at hand.
func (b *Block) at(k touchKey) *touch {
	t, ok := b.touched[k]
	if !ok {
		t = &touch{minutes: map[int64]struct{}{}, last: -1, message: b.messages, traced: b.current.Traced}
		b.touched[k] = t
	}
	if b.current.Traced && !t.traced {
		t.message, t.traced = b.messages, true
	}
	return t
}

// label remembers whose windows are touched by labels: which they are, the store
// knows.
func (b *Block) label(r *normalize.Row) {
	k := touchKey{b.current.Tenant, r.Profile}
	b.at(k)
	b.labelled[k] = append(b.labelled[k], string(r.ID))
}

func (b *Block) touch(r *normalize.Row) {
	k := touchKey{b.current.Tenant, r.Profile}
	if b.last == nil || b.lastKey != k {
		b.last, b.lastKey = b.at(k), k
	}
	if minute := r.Minute(); minute != b.last.last {
		b.last.minutes[minute] = struct{}{}
		b.last.last = minute
	}
}

// Touched lists the windows that got rows, by tenant and profile.
func (b *Block) Touched() []Touch {
	out := make([]Touch, 0, len(b.touched))
	for k, t := range b.touched {
		if len(t.minutes) == 0 {
			continue // labels of records that did not come yet
		}
		minutes := make([]int64, 0, len(t.minutes))
		for m := range t.minutes {
			minutes = append(minutes, m)
		}
		slices.Sort(minutes)
		out = append(out, Touch{Tenant: k.tenant, Profile: k.profile, Minutes: minutes, Message: t.message})
	}
	slices.SortFunc(out, func(a, b Touch) int { return a.Message - b.Message })
	return out
}

// Messages is how many messages are in the block.
func (b *Block) Messages() int { return b.messages }

// Rows counts the good records since the last Reset.
func (b *Block) Rows() Rows { return b.rows }

// Rejected counts the rejected records since the last Reset, by reason. It
// belongs to the block.
func (b *Block) Rejected() map[normalize.Reason]int { return b.total }

// head are the columns that every table of records begins with.
type head struct {
	tenant    *dict
	profile   proto.ColUUID
	recordID  proto.ColStr
	eventTime *proto.ColDateTime64
	traceID   proto.ColFixedStr16
	spanID    proto.ColFixedStr8
	received  *proto.ColDateTime64
	hash      proto.ColUInt64
}

// nanoTime is a DateTime64(9, 'UTC') column.
func nanoTime() *proto.ColDateTime64 {
	return new(proto.ColDateTime64).WithPrecision(proto.PrecisionNano).WithLocation(time.UTC)
}

func newHead() head { return head{tenant: newDict(), eventTime: nanoTime(), received: nanoTime()} }

// headBytes is what a row takes in the columns of head, without its id.
const headBytes = 100

// append adds a row and returns about how many bytes that took.
func (h *head) append(b *Block, r *normalize.Row) int {
	h.tenant.append(b.tenant)
	h.profile.Append(r.Profile)
	h.recordID.AppendBytes(r.ID)
	h.eventTime.AppendRaw(proto.DateTime64(r.EventTime))
	h.traceID.Append(r.TraceID)
	h.spanID.Append(r.SpanID)
	h.received.AppendRaw(proto.DateTime64(b.current.Accepted.UnixNano()))
	h.hash.Append(r.Hash)
	return headBytes + len(r.ID)
}

func (h *head) reset() {
	h.tenant.reset()
	h.profile.Reset()
	h.recordID.Reset()
	h.eventTime.Reset()
	h.traceID.Reset()
	h.spanID.Reset()
	h.received.Reset()
	h.hash.Reset()
}

func (h *head) input() proto.Input {
	return proto.Input{
		{Name: "Tenant", Data: h.tenant}, {Name: "Profile", Data: &h.profile}, {Name: "RecordId", Data: &h.recordID},
		{Name: "EventTime", Data: h.eventTime}, {Name: "TraceId", Data: &h.traceID}, {Name: "SpanId", Data: &h.spanID},
		{Name: "ReceivedAt", Data: h.received}, {Name: "ContentHash", Data: &h.hash},
	}
}
