package door

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/quota"
)

// IntakeConfig says what an intake takes and where to.
type IntakeConfig struct {
	Topic, Type, Receipts string // of package event: the topic, what its values are, and the topic of its receipts
	// Timeout bounds the publishing of one load. Default 10 s. Its receipt may
	// take a quarter longer.
	Timeout time.Duration
	// Count, if set, is told how many spans or records were accepted, or
	// rejected for a reason.
	Count func(outcome string, n int)
	// Of is what the topic is to tenants' limits, Tenants has those whose requests it
	// counts, and Backlog bounds what of the topic is one tenant's; the last two may be
	// nil.
	Of      quota.Topic
	Tenants *quota.Book
	Backlog *quota.Backlog
}

// Intake makes durable what callers send, and puts it on record: the way from a
// door to its topic. Make it with NewIntake; it is safe for concurrent use.
type Intake struct {
	cfg       IntakeConfig
	publisher broker.Publisher
	receipts  *Receipts
}

// NewIntake makes an intake, of a process that is named as NewReceipts wants.
func NewIntake(cfg IntakeConfig, instance string, publisher broker.Publisher) *Intake {
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	return &Intake{cfg: cfg, publisher: publisher, receipts: NewReceipts(cfg.Receipts, instance, publisher)}
}

// Load is what one request brings.
type Load struct {
	Tenant  string
	Sender  string        // the principal who brings it
	Owner   *quota.Tenant // the tenant, where its limits count; nil for none
	Bytes   int           // of the request, as it was sent, unpacked
	Time    time.Time     // when it arrived
	Parcels []Parcel      // what is good of it
	// Pack may compress a message before it is published. Optional.
	Pack func(*broker.Message)
	// Refused is told of a parcel that the broker refuses for good, before
	// Rejected is asked. Without it such a parcel fails the load.
	Refused func(i int)
	// Rejected counts by reason, of a closed set, what the answer will name as
	// rejected. Optional.
	Rejected iter.Seq2[string, int]
}

// Parcel is the value of one message, and how many spans or records it holds.
type Parcel struct {
	Value []byte
	Count int
}

// Take publishes a load and puts what became of it on record. With nil
// everything but what was refused is durable, and so is its receipt. After an
// error the caller may be told to send the whole load again: what is durable
// counts as accepted, and is stored once however often it comes. The error
// matches one of package broker.
//
// A caller that goes away does not stop it: the outcome would be unknown, to no
// use.
func (x *Intake) Take(ctx context.Context, l *Load) (accepted int, err error) {
	if len(l.Parcels) == 0 && l.Rejected == nil {
		x.charge(l)
		return 0, nil
	}
	ctx = context.WithoutCancel(ctx)
	deadline := time.Now().Add(x.cfg.Timeout)
	e := x.receipts.Open(l.Tenant, l.Time, len(l.Parcels))
	x.charge(l)
	if len(l.Parcels) > 0 {
		if accepted, err = x.publish(ctx, deadline, l, e); err != nil {
			x.refund(l)
			x.receipts.Enter(e)
			return accepted, err
		}
		e.Bytes = uint64(l.Bytes)
	}
	e.Rejected = l.Rejected
	if l.Rejected != nil {
		for reason, n := range l.Rejected {
			x.count(reason, n)
		}
	}
	ctx, cancel := context.WithDeadline(ctx, later(deadline, time.Now().Add(x.cfg.Timeout/4)))
	defer cancel()
	return accepted, x.receipts.Commit(ctx, e)
}

// least is what a request counts as at least, in bytes: so much is done for one that
// brings nothing.
const least = 256

// charge counts a load before it is published: its bytes, and what is good of it.
func (x *Intake) charge(l *Load) {
	if l.Owner != nil {
		l.Owner.Charge(l.Time, max(l.Bytes, least), l.items())
	}
}

// refund takes that back: the caller is told to send it again.
func (x *Intake) refund(l *Load) {
	if l.Owner != nil {
		l.Owner.Refund(max(l.Bytes, least), l.items())
	}
}

func (l *Load) items() (n int) {
	for _, p := range l.Parcels {
		n += p.Count
	}
	return n
}

func (x *Intake) count(outcome string, n int) {
	if x.cfg.Count != nil && n > 0 {
		x.cfg.Count(outcome, n)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (x *Intake) publish(ctx context.Context, deadline time.Time, l *Load, e *Entry) (accepted int, err error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	msgs := make([]broker.Message, len(l.Parcels))
	for i, p := range l.Parcels {
		e.Items[i] = p.Count
		msgs[i] = envelope.New(x.cfg.Topic, envelope.Stamp{
			Tenant: l.Tenant, Type: x.cfg.Type, Count: p.Count, Accepted: l.Time, Seq: e.Tickets[i].Seq, Sender: l.Sender,
		}, p.Value)
		if l.Pack != nil {
			l.Pack(&msgs[i])
		}
	}
	failed := send(ctx, x.publisher, msgs)
	for i, p := range l.Parcels {
		switch {
		case failed == nil || failed[i] == nil:
			e.Fates[i] = Acknowledged
			if l.Owner != nil && x.cfg.Backlog != nil {
				x.cfg.Backlog.Published(l.Owner, int64(len(msgs[i].Value)))
			}
			accepted += p.Count
		case forGood(failed[i]) && l.Refused != nil:
			e.Fates[i] = Refused
			l.Refused(i)
		case forGood(failed[i]):
			e.Fates[i] = Refused
			err = failed[i]
		default:
			err = failed[i]
		}
	}
	x.count("accepted", accepted)
	return accepted, err
}

// forGood reports whether the broker would never take the message.
func forGood(err error) bool {
	return errors.Is(err, broker.ErrTooLarge) || errors.Is(err, broker.ErrInvalid)
}

// How often a message is tried whose neighbours went through or whose fate is
// not known, and how long before the second time.
const (
	attempts   = 4
	firstPause = 50 * time.Millisecond
)

// send publishes until every message is durable or refused for good, the broker
// takes none of them, or time is up. It returns why each message failed, nil
// when none did.
func send(ctx context.Context, publisher broker.Publisher, msgs []broker.Message) []error {
	if len(msgs) == 0 {
		return nil
	}
	err := publisher.Publish(ctx, msgs)
	if err == nil {
		return nil
	}
	failed := make([]error, len(msgs))
	left := make([]int, len(msgs))
	for i := range left {
		left[i] = i
	}
	pause := firstPause
	for attempt := 1; ; attempt++ {
		left = note(failed, left, err)
		if len(left) == 0 || len(left) == len(msgs) && !unknown(failed) || attempt == attempts {
			return failed
		}
		select {
		case <-ctx.Done():
			return failed
		case <-time.After(pause):
		}
		pause *= 2
		again := make([]broker.Message, len(left))
		for k, i := range left {
			again[k] = msgs[i]
		}
		err = publisher.Publish(ctx, again)
	}
}

// note enters into failed what became of the messages that were sent, and
// returns those worth another try. What a message's fate was stays unknown
// until it is durable.
func note(failed []error, sent []int, err error) (again []int) {
	fates := make([]error, len(sent))
	if partly, ok := errors.AsType[*broker.PublishError](err); ok {
		for _, f := range partly.Failed {
			fates[f.Index] = f.Err
		}
	} else {
		for k := range fates {
			fates[k] = err
		}
	}
	for k, i := range sent {
		if fates[k] == nil || !errors.Is(failed[i], broker.ErrUnknownOutcome) {
			failed[i] = fates[k]
		}
		if fates[k] != nil && !broker.Permanent(fates[k]) {
			again = append(again, i)
		}
	}
	return again
}

// unknown reports whether the fate of one of them is not known: then trying
// again, under the same id, is the way to find out.
func unknown(failed []error) bool {
	for _, err := range failed {
		if errors.Is(err, broker.ErrUnknownOutcome) {
			return true
		}
	}
	return false
}
