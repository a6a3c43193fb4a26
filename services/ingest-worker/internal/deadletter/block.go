package deadletter

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// nanoTime is a DateTime64(9, 'UTC') column.
func nanoTime() *proto.ColDateTime64 {
	return new(proto.ColDateTime64).WithPrecision(proto.PrecisionNano).WithLocation(time.UTC)
}

func words() *proto.ColLowCardinality[string] { return new(proto.ColStr).LowCardinality() }

// block is rows for the table dead_letters.
type block struct {
	tenant, topic, group, reason, worker, typ *proto.ColLowCardinality[string]
	id                                        proto.ColFixedStr16
	version, count, bytes                     proto.ColUInt64
	redrives, attempts                        proto.ColUInt32
	message, failure, lane, position          proto.ColStr
	key, value                                proto.ColStr
	firstSeen, deadAt                         *proto.ColDateTime64
	headers                                   *proto.ColMap[string, string]
}

func newBlock() *block {
	return &block{
		tenant: words(), topic: words(), group: words(), reason: words(), worker: words(), typ: words(),
		firstSeen: nanoTime(), deadAt: nanoTime(),
		headers: proto.NewMap[string, string](words(), new(proto.ColStr)),
	}
}

func (b *block) append(l *Letter, c *Content) {
	b.tenant.Append(l.Tenant)
	b.id.Append(l.ID)
	b.version.Append(l.Version)
	b.redrives.Append(uint32(l.Redrives))
	b.topic.Append(l.Topic)
	b.group.Append(l.Group)
	b.message.Append(l.MessageID)
	b.reason.Append(string(l.Reason))
	b.failure.Append(l.Error)
	b.attempts.Append(uint32(max(l.Attempts, 0)))
	b.lane.Append(l.Lane)
	b.position.Append(l.Position)
	b.firstSeen.AppendRaw(proto.DateTime64(l.FirstSeen.UnixNano()))
	b.deadAt.AppendRaw(proto.DateTime64(l.DeadAt.UnixNano()))
	b.worker.Append(l.Worker)
	b.typ.Append(l.Type)
	b.count.Append(uint64(l.Count))
	headers := make(map[string]string, len(c.Headers))
	for _, h := range c.Headers {
		headers[h.Key] = string(h.Value)
	}
	b.headers.Append(headers)
	b.key.AppendBytes(c.Key)
	b.bytes.Append(uint64(l.Bytes))
	b.value.AppendBytes(c.Value)
}

func (b *block) input() proto.Input {
	return proto.Input{
		{Name: "Tenant", Data: b.tenant}, {Name: "Id", Data: &b.id}, {Name: "Version", Data: &b.version},
		{Name: "Redrives", Data: &b.redrives}, {Name: "Topic", Data: b.topic}, {Name: "Group", Data: b.group},
		{Name: "MessageId", Data: &b.message}, {Name: "Reason", Data: b.reason}, {Name: "Error", Data: &b.failure},
		{Name: "Attempts", Data: &b.attempts}, {Name: "Lane", Data: &b.lane}, {Name: "Position", Data: &b.position},
		{Name: "FirstSeen", Data: b.firstSeen}, {Name: "DeadAt", Data: b.deadAt}, {Name: "Worker", Data: b.worker},
		{Name: "Type", Data: b.typ}, {Name: "Count", Data: &b.count}, {Name: "Headers", Data: b.headers},
		{Name: "Key", Data: &b.key}, {Name: "ValueBytes", Data: &b.bytes}, {Name: "Value", Data: &b.value},
	}
}

// marks is rows for the table dead_letter_redrives.
type marks struct {
	tenant, by *proto.ColLowCardinality[string]
	id         proto.ColFixedStr16
	version    proto.ColUInt64
	at         *proto.ColDateTime64
}

func newMarks() *marks { return &marks{tenant: words(), by: words(), at: nanoTime()} }

func (m *marks) append(l *Letter, at time.Time, by string) {
	m.tenant.Append(l.Tenant)
	m.id.Append(l.ID)
	m.version.Append(l.Version)
	m.at.AppendRaw(proto.DateTime64(at.UnixNano()))
	m.by.Append(by)
}

func (m *marks) input() proto.Input {
	return proto.Input{
		{Name: "Tenant", Data: m.tenant}, {Name: "Id", Data: &m.id}, {Name: "Version", Data: &m.version},
		{Name: "RedrivenAt", Data: m.at}, {Name: "RedrivenBy", Data: m.by},
	}
}
