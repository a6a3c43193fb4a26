package ledger

import (
	"strings"

	"github.com/driftmesh/driftmesh/internal/event"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// Door is what this process has taken in for one tenant and signal.
type Door struct {
	Instance string            // names this process
	Accepted uint64            // everything that arrived, refused ones included
	Rejected map[string]uint64 // refused at the door, by reason
}

// Inbox is what came in by the topic inbox for one tenant and signal. The zero
// Inbox is nothing.
type Inbox struct {
	*ledgerv1.Admitted
	Pending uint64 // messages still there, of all tenants
	Unknown bool   // there may be more
}

// Add makes the account of one signal. A process numbers its messages in
// lanes, and the settled side tells them apart as "<process>/<lane>". Door and
// inbox must have been read before the settled side: then nothing can be
// settled that they do not know.
func Add(tenant string, door Door, inbox Inbox, settled *ledgerv1.GetSettledResponse) *ledgerv1.Account {
	a := &ledgerv1.Account{
		Tenant: tenant, Signal: settled.GetSignal(), Stored: settled.GetStored(),
		Rejected: map[string]uint64{}, DeadLetteredReasons: map[string]uint64{},
		PendingMessages: settled.GetPendingMessages() + inbox.Pending,
		PendingUnknown:  settled.GetPendingUnknown() || inbox.Unknown,
	}
	sum := sumUp(a, door.Instance, settled.GetInstances())
	merge(a.Rejected, door.Rejected)
	merge(a.Rejected, inbox.GetRejected())
	merge(a.DeadLetteredReasons, inbox.GetDeadLettered())
	a.DeadLettered = total(a.DeadLetteredReasons)
	a.Duplicate = sub(sum.written, a.Stored)

	atDoor := arrived(door.Accepted, total(door.Rejected), sum.own)
	atInbox := arrived(inbox.GetAccepted(), total(inbox.GetRejected())+total(inbox.GetDeadLettered()), sum.inbox)
	a.Accepted += atDoor.all + atInbox.all
	a.InFlight = atDoor.inFlight + atInbox.inFlight
	// A gap is a loss only when the missing message can not be on its way.
	if a.PendingMessages == 0 && !a.PendingUnknown {
		if atDoor.inFlight == 0 {
			a.MissingMessages = sum.gaps
		}
		if atInbox.inFlight > 0 {
			a.MissingMessages += max(sub(inbox.GetMessages(), sum.inboxMessages), 1)
		}
	}
	a.Balanced = a.MissingMessages == 0 && a.Accepted == outcome(a)
	return a
}

// sums are what the settled side says of spans or records by who accepted them.
type sums struct {
	own, inbox, written uint64
	inboxMessages, gaps uint64
}

// sumUp adds to a what was settled for others than this process and the inbox.
func sumUp(a *ledgerv1.Account, own string, instances []*ledgerv1.InstanceSettled) sums {
	var s sums
	for _, i := range instances {
		switch process, _, _ := strings.Cut(i.GetInstance(), "/"); process {
		case own:
			s.own += i.GetAccepted()
		case event.InstanceInbox:
			s.inbox += i.GetAccepted()
			s.inboxMessages += i.GetMessages()
		default:
			a.Accepted += i.GetAccepted()
		}
		s.written += i.GetWritten()
		s.gaps += i.GetMissingMessages()
		a.Sampled += i.GetSampled()
		merge(a.Rejected, i.GetRejected())
		merge(a.DeadLetteredReasons, i.GetDeadLettered())
	}
	return s
}

// arrival is what arrived one way, and how much of it nobody settled yet.
type arrival struct{ all, inFlight uint64 }

// arrived compares what was taken in with what became of it. A publish whose
// outcome nobody learned may have been stored after all: then it did arrive,
// whatever the caller was told.
func arrived(accepted, refused, settled uint64) arrival {
	all := max(accepted, refused+settled)
	return arrival{all, all - refused - settled}
}

// outcome is the right side of the ledger's equation.
func outcome(a *ledgerv1.Account) uint64 {
	return a.GetStored() + a.GetDuplicate() + total(a.GetRejected()) +
		a.GetSampled() + a.GetDeadLettered() + a.GetInFlight()
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
