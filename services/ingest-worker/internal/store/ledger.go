package store

import "github.com/ClickHouse/ch-go/proto"

// ledger are the columns of the table record_ledger.
type ledger struct {
	tenant, instance  *dict
	sender            *dict
	message           proto.ColStr
	seq               proto.ColUInt64
	accepted, written proto.ColUInt32
	rejected, dead    *proto.ColMap[string, uint32]
	received          *proto.ColDateTime64
}

func newLedger() ledger {
	return ledger{
		tenant: newDict(), instance: newDict(), sender: newDict(),
		rejected: newCounts(), dead: newCounts(), received: nanoTime(),
	}
}

func newCounts() *proto.ColMap[string, uint32] {
	return proto.NewMap[string, uint32](new(proto.ColStr).LowCardinality(), new(proto.ColUInt32))
}

func (l *ledger) append(m *Message, accepted, written uint32, rejected, dead map[string]uint32) {
	l.tenant.append([]byte(m.Tenant))
	l.message.Append(m.ID)
	l.instance.append([]byte(m.Instance))
	l.seq.Append(m.Seq)
	l.sender.append([]byte(m.Sender))
	l.accepted.Append(accepted)
	l.written.Append(written)
	l.rejected.Append(rejected)
	l.dead.Append(dead)
	l.received.AppendRaw(proto.DateTime64(m.Accepted.UnixNano()))
}

func (l *ledger) reset() {
	l.tenant.reset()
	l.message.Reset()
	l.instance.reset()
	l.seq.Reset()
	l.sender.reset()
	l.accepted.Reset()
	l.written.Reset()
	l.rejected.Reset()
	l.dead.Reset()
	l.received.Reset()
}

func (l *ledger) input() proto.Input {
	return proto.Input{
		{Name: "Tenant", Data: l.tenant}, {Name: "MessageId", Data: &l.message}, {Name: "Instance", Data: l.instance},
		{Name: "Seq", Data: &l.seq}, {Name: "Sender", Data: l.sender},
		{Name: "Accepted", Data: &l.accepted}, {Name: "Written", Data: &l.written},
		{Name: "Rejected", Data: l.rejected}, {Name: "DeadLettered", Data: l.dead}, {Name: "ReceivedAt", Data: l.received},
	}
}
