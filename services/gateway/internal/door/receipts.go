package door

import (
	"context"
	"iter"
	"maps"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
)

// Receipts puts on record what one process has taken in of one signal, before
// the callers are told: the ledger's word on what must be in the store. Make it
// with NewReceipts; it is safe for concurrent use.
//
// A message goes out with a ticket, the next number of a lane, and a lane has
// one message out at a time. So when the broker has acknowledged number n, it
// has acknowledged all from 1 to n, and "lane, n" says so for good. A lane whose
// message failed is never used again, so what a broker may have stored without
// our knowledge has a number above all that was ever put on record, also when
// the process is killed.
//
// Receipts are published by those who wait for them, for all who wait: few are
// under way at once, and each holds what changed by the time it was begun.
// Nothing in them ever takes back what an earlier one said, so their order, and
// how often they come, does not matter.
type Receipts struct {
	topic, instance string
	publisher       broker.Publisher
	now             func() time.Time

	mu       sync.Mutex
	accounts map[accountKey]*account
	day      uint32     // the newest
	lanes    uint32     // given out so far
	changed  []*account // to say something about, each once (account.listed)
	running  int        // rounds under way
	next     *round     // joined, not begun; nil when nobody waits
}

type accountKey struct {
	tenant string
	day    uint32
}

// account is what one tenant brought on one day. It and its lanes are guarded
// by the mutex of Receipts, but for the lane of a ticket that is out.
type account struct {
	accountKey
	idle     []*lane
	rejected map[string]uint64
	refused  map[string]uint64 // requests, by limit
	bytes    uint64            // acknowledged
	refusals bool              // something of these changed since the last receipt
	changed  []*lane           // since the last receipt
	listed   bool              // in Receipts.changed
}

type lane struct {
	number          uint32
	messages, items uint64 // acknowledged
	changed         bool
}

// NewReceipts makes receipts of a process, to be published on a topic of
// package event. The name of the process must be new at every start and hold no
// slash or colon.
func NewReceipts(topic, instance string, publisher broker.Publisher) *Receipts {
	return &Receipts{
		topic: topic, instance: instance, publisher: publisher, now: time.Now,
		accounts: map[accountKey]*account{},
	}
}

// Ticket is the number of one message.
type Ticket struct {
	lane *lane
	// Seq is the value of the header driftmesh-seq.
	Seq string
}

// Fate is what became of the message of a ticket.
type Fate int

// The fates. The zero Fate is any failure after which the message may be stored.
const (
	Lost         Fate = iota
	Refused           // certainly not stored
	Acknowledged      // durable
)

// Entry is what became of a load.
type Entry struct {
	account *account
	Tickets []Ticket
	Fates   []Fate // of the tickets
	Items   []int  // spans or records in their messages
	// Rejected counts by reason what was refused. Optional.
	Rejected iter.Seq2[string, int]
	// Refused counts requests that were turned away, by limit. Optional.
	Refused map[string]uint64
	// Bytes are those of the request, once all that is good of it is acknowledged.
	Bytes uint64
}

// Open begins the entry of a load with so many tickets. Every ticket must come
// back, with Enter or Commit.
func (r *Receipts) Open(tenant string, at time.Time, tickets int) *Entry {
	e := &Entry{Tickets: make([]Ticket, tickets), Fates: make([]Fate, tickets), Items: make([]int, tickets)}
	r.mu.Lock()
	e.account = r.account(accountKey{tenant, dayOf(at)})
	for i := range e.Tickets {
		e.Tickets[i].lane = r.lane(e.account)
	}
	r.mu.Unlock()
	for i := range e.Tickets { // without the mutex: a lane that is out is its ticket's alone
		e.Tickets[i].Seq = r.seq(e.Tickets[i].lane)
	}
	return e
}

func dayOf(at time.Time) uint32 {
	const day = 24 * 60 * 60
	return uint32(at.Unix() / day)
}

func (r *Receipts) seq(l *lane) string {
	b := make([]byte, 0, len(r.instance)+24)
	b = append(b, r.instance...)
	b = append(b, '/')
	b = strconv.AppendUint(b, uint64(l.number), 10)
	b = append(b, ':')
	return string(strconv.AppendUint(b, l.messages+1, 10))
}

func (r *Receipts) account(k accountKey) *account {
	if a := r.accounts[k]; a != nil {
		return a
	}
	if k.day > r.day {
		r.day = k.day
		for old := range r.accounts {
			if old.day+1 < k.day { // nothing new comes for it; entries that are out hold it themselves
				delete(r.accounts, old)
			}
		}
	}
	a := &account{accountKey: k}
	r.accounts[k] = a
	return a
}

func (r *Receipts) lane(a *account) *lane {
	if i := len(a.idle) - 1; i >= 0 { // the last used, so that few are in use
		l := a.idle[i]
		a.idle = a.idle[:i]
		return l
	}
	r.lanes++
	return &lane{number: r.lanes}
}

// Enter takes an entry in. It is on record with one of the next receipts,
// unless the process dies before: for loads of which nobody is told that they
// are safe.
func (r *Receipts) Enter(e *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enter(e)
}

func (r *Receipts) enter(e *Entry) {
	a := e.account
	for i, t := range e.Tickets {
		switch e.Fates[i] {
		case Acknowledged:
			t.lane.messages++
			t.lane.items += uint64(e.Items[i])
			a.change(t.lane)
		case Refused:
		default:
			continue // the lane is not used again
		}
		a.idle = append(a.idle, t.lane)
	}
	if e.Rejected != nil {
		for reason, n := range e.Rejected {
			if a.rejected == nil {
				a.rejected = map[string]uint64{}
			}
			a.rejected[reason] += uint64(n)
			a.refusals = true
		}
	}
	for limit, n := range e.Refused {
		if a.refused == nil {
			a.refused = map[string]uint64{}
		}
		a.refused[limit] += n
		a.refusals = true
	}
	a.bytes += e.Bytes // goes out with what was acknowledged
	if !a.listed && (a.refusals || len(a.changed) > 0) {
		a.listed = true
		r.changed = append(r.changed, a)
	}
}

func (a *account) change(l *lane) {
	if !l.changed {
		l.changed = true
		a.changed = append(a.changed, l)
	}
}

// Commit takes an entry in and waits until it is on record. After an error it
// may or may not be, and will be with one of the next receipts; the error
// matches one of package broker, or is that of ctx.
func (r *Receipts) Commit(ctx context.Context, e *Entry) error {
	r.mu.Lock()
	r.enter(e)
	if !e.account.listed { // nothing to say
		r.mu.Unlock()
		return nil
	}
	// Entered and joined under one lock: a round takes what changed when it
	// begins, and this one has not.
	joined := r.join()
	r.mu.Unlock()
	return r.wait(ctx, joined)
}

// receipt is what one message says of one account.
func (a *account) receipt() *eventv1.ReceiptAccount {
	out := &eventv1.ReceiptAccount{Tenant: a.tenant, Day: a.day, Bytes: a.bytes, Lanes: make([]*eventv1.ReceiptLane, len(a.changed))}
	for i, l := range a.changed {
		out.Lanes[i] = &eventv1.ReceiptLane{Lane: l.number, Messages: l.messages, Items: l.items}
		l.changed = false
	}
	if a.refusals {
		out.Rejected = make(map[string]uint64, len(a.rejected))
		for reason, n := range a.rejected {
			out.Rejected[reason] = n
		}
		out.Refused = maps.Clone(a.refused)
	}
	a.changed, a.refusals, a.listed = nil, false, false
	return out
}

// maxReceipt is about how many bytes of accounts go into one message.
const maxReceipt = 256 << 10

// messages encodes what accounts say. They have no id: they may come twice, and the
// broker need not remember them.
func (r *Receipts) messages(accounts []*eventv1.ReceiptAccount) []broker.Message {
	var msgs []broker.Message
	for len(accounts) > 0 {
		n, size := 0, 0
		for n < len(accounts) && (n == 0 || size+sizeOf(accounts[n]) <= maxReceipt) {
			size += sizeOf(accounts[n])
			n++
		}
		value := make([]byte, 0, size+64)
		value = protowire.AppendString(protowire.AppendTag(value, receiptInstance, protowire.BytesType), r.instance)
		for _, a := range accounts[:n] {
			value = appendAccount(value, a)
		}
		msgs = append(msgs, envelope.Bare(r.topic, envelope.Stamp{
			Tenant: event.Mesh, Type: event.TypeReceipt, Count: n, Accepted: r.now(),
		}, value))
		accounts = accounts[n:]
	}
	return msgs
}

// sizeOf is about how many bytes an account takes, and no less.
func sizeOf(a *eventv1.ReceiptAccount) int {
	const account, lane, number = 24, 32, 16
	n := account + number + len(a.GetTenant()) + lane*len(a.GetLanes())
	for reason := range a.GetRejected() {
		n += len(reason) + number
	}
	for limit := range a.GetRefused() {
		n += len(limit) + number
	}
	return n
}

// Fields of eventv1.Receipt and what is in it.
const (
	receiptInstance = 1
	receiptAccounts = 2

	accountTenant   = 1
	accountDay      = 2
	accountRejected = 3
	accountLanes    = 4
	accountRefused  = 5
	accountBytes    = 6

	laneLane     = 1
	laneMessages = 2
	laneItems    = 3

	mapKey   = 1
	mapValue = 2
)

// appendAccount appends an account to a receipt. It is written by hand because the
// library goes deep: half of what it costs is to grow the stack of a call that is
// new with every request.
func appendAccount(b []byte, a *eventv1.ReceiptAccount) []byte {
	var room, part [64]byte
	field := protowire.AppendString(protowire.AppendTag(make([]byte, 0, sizeOf(a)), accountTenant, protowire.BytesType), a.GetTenant())
	field = appendNumber(field, accountDay, uint64(a.GetDay()))
	for reason, n := range a.GetRejected() {
		entry := protowire.AppendString(protowire.AppendTag(part[:0], mapKey, protowire.BytesType), reason)
		field = appendPart(field, accountRejected, appendNumber(entry, mapValue, n))
	}
	for limit, n := range a.GetRefused() {
		entry := protowire.AppendString(protowire.AppendTag(part[:0], mapKey, protowire.BytesType), limit)
		field = appendPart(field, accountRefused, appendNumber(entry, mapValue, n))
	}
	if a.GetBytes() > 0 {
		field = appendNumber(field, accountBytes, a.GetBytes())
	}
	for _, l := range a.GetLanes() {
		lane := appendNumber(room[:0], laneLane, uint64(l.GetLane()))
		lane = appendNumber(appendNumber(lane, laneMessages, l.GetMessages()), laneItems, l.GetItems())
		field = appendPart(field, accountLanes, lane)
	}
	return appendPart(b, receiptAccounts, field)
}

func appendPart(b []byte, field protowire.Number, part []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), part)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}
