package ledger

import (
	"strings"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/receipt"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// Inbox is what came in by the topic inbox for one tenant and signal. The zero
// Inbox is nothing.
type Inbox struct {
	Days    []*ledgerv1.Admitted
	Pending uint64 // messages still there, of all tenants
	Unknown bool   // there may be more
}

// Add makes the account of one signal. The inbox must have been read before the
// settled side: then what was taken in is settled, or pending in one of the two
// counts, or lost.
//
// So of the unsettled messages as many are lost as exceed what is pending. While
// anything may be on its way it is not known which, and their spans or records
// stay in flight.
func Add(tenant string, inbox Inbox, settled *ledgerv1.GetSettledResponse) *ledgerv1.Account {
	doors := settled.GetUnsettled()
	a := &ledgerv1.Account{
		Tenant: tenant, Signal: settled.GetSignal(), Stored: settled.GetStored(),
		Rejected: map[string]uint64{}, DeadLetteredReasons: map[string]uint64{}, RefusedRequests: doors.GetRefusedRequests(),
		PendingMessages: settled.GetPendingMessages() + inbox.Pending + doors.GetPendingReceipts(),
		PendingUnknown:  settled.GetPendingUnknown() || inbox.Unknown,
	}
	sum := sumUp(a, settled.GetInstances())
	admitted := inbox.since(settled.GetSinceDay())
	merge(a.Rejected, doors.GetRejected())
	merge(a.Rejected, admitted.GetRejected())
	merge(a.DeadLetteredReasons, admitted.GetDeadLettered())
	a.DeadLettered = total(a.DeadLetteredReasons)
	a.Duplicate = sub(sum.written, a.Stored)

	refused := total(admitted.GetRejected()) + total(admitted.GetDeadLettered())
	// A message that was forwarded and not yet entered anew after a crash is
	// settled, and so it did arrive.
	atInbox := max(admitted.GetAccepted(), refused+sum.inbox)
	unsettled := doors.GetItems() + atInbox - refused - sum.inbox
	messages := doors.GetMessages() + sub(admitted.GetMessages(), sum.inboxMessages)
	a.Accepted = sum.doors + doors.GetItems() + total(doors.GetRejected()) + atInbox

	onTheirWay := settled.GetPendingMessages() + inbox.Pending + doors.GetLateMessages()
	switch {
	case a.PendingUnknown:
		a.InFlight = unsettled
	case onTheirWay > 0:
		a.InFlight, a.MissingMessages = unsettled, receipt.Lost(messages, onTheirWay)
	default:
		a.Missing, a.MissingMessages = unsettled, messages
	}
	a.Balanced = a.MissingMessages == 0 && a.Missing == 0 && a.Accepted == outcome(a)
	return a
}

// since sums up the days from the given one on.
func (i Inbox) since(day uint32) *ledgerv1.Admitted {
	sum := &ledgerv1.Admitted{Rejected: map[string]uint64{}, DeadLettered: map[string]uint64{}}
	for _, d := range i.Days {
		if d.GetDay() != 0 && d.GetDay() < day {
			continue
		}
		sum.Accepted += d.GetAccepted()
		sum.Messages += d.GetMessages()
		merge(sum.Rejected, d.GetRejected())
		merge(sum.DeadLettered, d.GetDeadLettered())
	}
	return sum
}

// sums are what was settled of spans or records, by the way they came in.
type sums struct{ doors, inbox, inboxMessages, written uint64 }

// sumUp adds to a what became of what was settled.
func sumUp(a *ledgerv1.Account, instances []*ledgerv1.InstanceSettled) sums {
	var s sums
	for _, i := range instances {
		if process, _, _ := strings.Cut(i.GetInstance(), "/"); process == event.InstanceInbox {
			s.inbox += i.GetAccepted()
			s.inboxMessages += i.GetMessages()
		} else {
			s.doors += i.GetAccepted()
		}
		s.written += i.GetWritten()
		a.Sampled += i.GetSampled()
		merge(a.Rejected, i.GetRejected())
		merge(a.DeadLetteredReasons, i.GetDeadLettered())
	}
	return s
}

// outcome is the right side of the ledger's equation.
func outcome(a *ledgerv1.Account) uint64 {
	return a.GetStored() + a.GetDuplicate() + total(a.GetRejected()) +
		a.GetSampled() + a.GetDeadLettered() + a.GetInFlight() + a.GetMissing()
}

func merge(into, from map[string]uint64) {
	for reason, n := range from {
		into[reason] += n
	}
}

func total(m map[string]uint64) uint64 {
	var sum uint64
	for _, n := range m {
		sum += n
	}
	return sum
}

// sub is a − b, and 0 where the store holds more than was ever settled; the
// equation then does not hold, which is the point of it.
func sub(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}
