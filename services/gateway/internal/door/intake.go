package door

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
)

// IntakeConfig says what an intake takes and where to.
type IntakeConfig struct {
	Topic, Type, Signal string // of package event
	// Timeout bounds one load. Default 10 s.
	Timeout time.Duration
}

// IntakeDeps is what an intake needs. Every field is required.
type IntakeDeps struct {
	Publisher broker.Publisher
	Counters  *Counters
	Sequence  *Sequence // of the topic
}

// Intake makes durable what callers send, and counts it: the way from a door to
// its topic. Make it with NewIntake; it is safe for concurrent use.
type Intake struct {
	cfg  IntakeConfig
	deps IntakeDeps
}

// NewIntake makes an intake.
func NewIntake(cfg IntakeConfig, deps IntakeDeps) *Intake {
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	return &Intake{cfg: cfg, deps: deps}
}

// Load is what one request brings.
type Load struct {
	Tenant  string
	Time    time.Time // when it arrived
	Parcels []Parcel  // what is good of it
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

// Take publishes a load and counts what became of it. With nil everything but
// what was refused is durable. After an error the caller may be told to send
// the whole load again: what is durable already counts as accepted, and is
// stored once however often it comes. The error matches one of package broker.
//
// A caller that goes away does not stop it: the outcome would be unknown, to no
// use.
func (x *Intake) Take(ctx context.Context, l *Load) (accepted int, err error) {
	if len(l.Parcels) > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.cfg.Timeout)
		defer cancel()
		if accepted, err = x.publish(ctx, l); err != nil {
			return accepted, err
		}
	}
	if l.Rejected != nil {
		for reason, n := range l.Rejected {
			x.deps.Counters.Reject(l.Tenant, x.cfg.Signal, reason, n)
		}
	}
	return accepted, nil
}

func (x *Intake) publish(ctx context.Context, l *Load) (accepted int, err error) {
	msgs := make([]broker.Message, len(l.Parcels))
	tickets := make([]Ticket, len(l.Parcels))
	for i, p := range l.Parcels {
		tickets[i] = x.deps.Sequence.Take()
		msgs[i] = envelope.New(x.cfg.Topic, envelope.Stamp{
			Tenant: l.Tenant, Type: x.cfg.Type, Count: p.Count, Accepted: l.Time,
			Seq: tickets[i].Seq(), Void: tickets[i].Void(),
		}, p.Value)
		if l.Pack != nil {
			l.Pack(&msgs[i])
		}
	}
	failed := x.send(ctx, msgs)
	for i, t := range tickets {
		switch {
		case failed == nil || failed[i] == nil:
			x.deps.Sequence.Published(t)
			accepted += l.Parcels[i].Count
			continue
		case errors.Is(failed[i], broker.ErrUnknownOutcome):
			x.deps.Sequence.Unknown(t)
		default:
			x.deps.Sequence.Failed(t)
		}
		if l.Refused != nil && forGood(failed[i]) {
			l.Refused(i)
			continue
		}
		err = failed[i]
	}
	x.deps.Counters.Accept(l.Tenant, x.cfg.Signal, accepted)
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
func (x *Intake) send(ctx context.Context, msgs []broker.Message) []error {
	err := x.deps.Publisher.Publish(ctx, msgs)
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
		err = x.deps.Publisher.Publish(ctx, again)
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
