package receipt

import (
	"context"
	"fmt"

	"github.com/ClickHouse/ch-go/proto"
	pb "google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
)

// entry names a row of the table; numbers are those that it has at least.
type entry struct {
	tenant, account, reason string
	day                     uint32
}

// Reasons of rows that are about no refused spans or records: requests that were
// turned away for a limit, which it names, and bytes that were acknowledged.
const (
	refusedPrefix = "limit:"
	bytesReason   = "bytes:"
)

type numbers struct{ messages, items uint64 }

// Handle implements runner.Handler for a topic of receipts: what they say is
// durable before they are acknowledged. A message that is no receipt is parked.
func (b *Book) Handle(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	verdicts := make([]runner.Verdict, len(ds))
	rows := map[entry]numbers{}
	for i := range ds {
		if err := read(&ds[i].Message, rows); err != nil {
			verdicts[i] = runner.Dead(runner.ReasonDecode, err)
		}
	}
	if err := b.db.Insert(ctx, b.cfg.Receipts, columns(rows)); err != nil {
		if fault.KindOf(err).Retryable() {
			return nil, err
		}
		// The rows are of the right form by construction: it is about the table
		// or our access to it, and is waited out.
		return nil, fault.Unavailable.Wrap(err, "the store is not ready for receipts")
	}
	return verdicts, nil
}

// read enters what a receipt says.
func read(m *broker.Message, rows map[entry]numbers) error {
	if t := envelope.Of(m).Type; t != event.TypeReceipt {
		return fault.Invalid.New("the message is of type %q", t)
	}
	var r eventv1.Receipt
	if err := pb.Unmarshal(m.Value, &r); err != nil {
		return fault.Invalid.Wrap(err, "the message is not a receipt")
	}
	enter := func(k entry, n numbers) {
		had := rows[k]
		rows[k] = numbers{max(had.messages, n.messages), max(had.items, n.items)}
	}
	for _, a := range r.GetAccounts() {
		for _, l := range a.GetLanes() {
			account := fmt.Sprintf("%s/%d", r.GetInstance(), l.GetLane())
			enter(entry{a.GetTenant(), account, "", a.GetDay()}, numbers{l.GetMessages(), l.GetItems()})
		}
		for reason, n := range a.GetRejected() {
			enter(entry{a.GetTenant(), r.GetInstance(), reason, a.GetDay()}, numbers{0, n})
		}
		for limit, n := range a.GetRefused() {
			enter(entry{a.GetTenant(), r.GetInstance(), refusedPrefix + limit, a.GetDay()}, numbers{0, n})
		}
		if n := a.GetBytes(); n > 0 {
			enter(entry{a.GetTenant(), r.GetInstance(), bytesReason, a.GetDay()}, numbers{0, n})
		}
	}
	return nil
}

func columns(rows map[entry]numbers) proto.Input {
	var (
		tenant, reason  = new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality()
		account         proto.ColStr
		date            proto.ColDate
		messages, items proto.ColUInt64
	)
	for k, n := range rows {
		tenant.Append(k.tenant)
		date = append(date, proto.Date(k.day))
		account.Append(k.account)
		reason.Append(k.reason)
		messages.Append(n.messages)
		items.Append(n.items)
	}
	return proto.Input{
		{Name: "Tenant", Data: tenant}, {Name: "Day", Data: &date}, {Name: "Account", Data: &account},
		{Name: "Reason", Data: reason}, {Name: "Messages", Data: &messages}, {Name: "Items", Data: &items},
	}
}
