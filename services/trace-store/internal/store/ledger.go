package store

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// Entry is what became of one message: a row of span_ledger.
type Entry struct {
	Message *Message
	// Accepted is how many spans the message held.
	Accepted int
	// Stored is how many of them were written, repeats included.
	Stored int
	// Rejected and DeadLettered count the others by reason.
	Rejected, DeadLettered map[string]int
}

// ledgerColumns is a block for the table span_ledger.
type ledgerColumns struct {
	tenant, instance     *proto.ColLowCardinality[string]
	sender               *proto.ColLowCardinality[string]
	received, settled    *words
	id                   *texts
	seq                  *words
	accepted, stored     *words
	rejected, deadLetter *proto.ColMap[string, uint32]
}

func newLedgerColumns() *ledgerColumns {
	counts := func() *proto.ColMap[string, uint32] {
		return proto.NewMap(new(proto.ColStr).LowCardinality(), proto.ColumnOf[uint32](new(proto.ColUInt32)))
	}
	return &ledgerColumns{
		tenant: new(proto.ColStr).LowCardinality(), instance: new(proto.ColStr).LowCardinality(), sender: new(proto.ColStr).LowCardinality(),
		received: newDateTime(), settled: newDateTime(), id: &texts{}, seq: newUint64(),
		accepted: newUint32(), stored: newUint32(),
		rejected: counts(), deadLetter: counts(),
	}
}

func (c *ledgerColumns) input() proto.Input {
	return proto.Input{
		{Name: "Tenant", Data: c.tenant}, {Name: "ReceivedAt", Data: c.received},
		{Name: "MessageId", Data: c.id}, {Name: "Instance", Data: c.instance},
		{Name: "Seq", Data: c.seq}, {Name: "Sender", Data: c.sender},
		{Name: "Accepted", Data: c.accepted}, {Name: "Stored", Data: c.stored},
		{Name: "Rejected", Data: c.rejected}, {Name: "DeadLettered", Data: c.deadLetter},
		{Name: "SettledAt", Data: c.settled},
	}
}

func (c *ledgerColumns) append(e *Entry, now time.Time) {
	m := e.Message
	c.tenant.Append(m.Tenant)
	c.received.append64(uint64(m.ReceivedAt.UnixNano()))
	c.id.append([]byte(m.ID))
	c.instance.Append(m.Instance)
	c.seq.append64(m.Seq)
	c.sender.Append(m.Sender)
	c.accepted.append32(uint32(e.Accepted))
	c.stored.append32(uint32(e.Stored))
	c.rejected.Append(counts(e.Rejected))
	c.deadLetter.Append(counts(e.DeadLettered))
	c.settled.append64(uint64(now.UnixNano()))
}

func counts(m map[string]int) map[string]uint32 {
	out := make(map[string]uint32, len(m))
	for k, n := range m {
		out[k] = uint32(n)
	}
	return out
}
