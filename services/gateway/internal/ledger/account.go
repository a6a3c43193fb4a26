package ledger

import (
	"strings"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// Door is what this process has taken in for one tenant and signal.
type Door struct {
	Instance string            // names this process
	Accepted uint64            // everything that arrived, refused ones included
	Rejected map[string]uint64 // refused at the door, by reason
}

// Add makes the account of one signal. A process numbers its messages in
// lanes, and the settled side tells them apart as "<process>/<lane>". The door must have been read before the
// settled side: then nothing can be settled that the door does not know.
func Add(tenant string, door Door, settled *ledgerv1.GetSettledResponse) *ledgerv1.Account {
	a := &ledgerv1.Account{
		Tenant: tenant, Signal: settled.GetSignal(), Stored: settled.GetStored(),
		Rejected: map[string]uint64{}, DeadLetteredReasons: map[string]uint64{},
		PendingMessages: settled.GetPendingMessages(),
	}
	var written, gaps, own uint64
	for _, i := range settled.GetInstances() {
		if process, _, _ := strings.Cut(i.GetInstance(), "/"); process == door.Instance {
			own += i.GetAccepted()
		} else {
			a.Accepted += i.GetAccepted()
		}
		written += i.GetWritten()
		a.Sampled += i.GetSampled()
		merge(a.Rejected, i.GetRejected())
		merge(a.DeadLetteredReasons, i.GetDeadLettered())
		gaps += i.GetMissingMessages()
	}
	merge(a.Rejected, door.Rejected)
	a.DeadLettered = total(a.DeadLetteredReasons)
	a.Duplicate = sub(written, a.Stored)

	// A publish whose outcome the door never learned may have been stored after
	// all: then it did arrive, whatever the caller was told.
	refused := total(door.Rejected)
	accepted := max(door.Accepted, refused+own)
	a.Accepted += accepted
	a.InFlight = accepted - refused - own
	// A gap is a loss only when the missing message can not be on its way.
	if a.InFlight == 0 && a.PendingMessages == 0 {
		a.MissingMessages = gaps
	}
	a.Balanced = a.MissingMessages == 0 && a.Accepted == outcome(a)
	return a
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
