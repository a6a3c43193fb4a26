package records

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// How often a message whose neighbours went through is tried again, and how
// long before the first of these.
const (
	attempts   = 4
	firstPause = 50 * time.Millisecond
)

// retryLater is the hint to callers while the broker is away.
const retryLater = 2 * time.Second

// parcel is a message on its way, and which of the batch's good records it is.
type parcel struct {
	record.Chunk
	message broker.Message
	ticket  door.Ticket
	err     error // nil: durable
}

// publish makes the good records of a batch durable. Records that the broker
// refuses for good join the rejected ones. With an error the caller may send
// the whole batch again; what is durable already counts as accepted, and is
// stored once however often it is sent.
func (s *Service) publish(ctx context.Context, tenant string, v *record.Verdict) (accepted int, err error) {
	chunks, err := record.Cut(v.Good, s.limits.MessageBytes)
	if err != nil {
		return 0, err
	}
	parcels := make([]*parcel, len(chunks))
	for i, c := range chunks {
		t := s.sequence.Take()
		parcels[i] = &parcel{Chunk: c, ticket: t, message: envelope.New(event.Records, envelope.Stamp{
			Tenant: tenant, Type: event.TypeRecords, Count: c.End - c.Start,
			Accepted: s.now(), Seq: t.Seq(), Void: t.Void(),
		}, c.Value)}
	}
	s.send(ctx, parcels)
	for _, p := range parcels {
		switch {
		case p.err == nil:
			s.sequence.Published(p.ticket)
			accepted += p.End - p.Start
			continue
		case notStored(p.err):
			s.sequence.Failed(p.ticket)
		default:
			s.sequence.Unknown(p.ticket)
		}
		if errors.Is(p.err, broker.ErrTooLarge) || errors.Is(p.err, broker.ErrInvalid) {
			refuseAll(v, p)
			continue
		}
		err = p.err
	}
	s.counters.Accept(tenant, event.SignalRecords, accepted)
	if err != nil {
		return accepted, fault.Unavailable.Wrap(err, "the records could not be made durable now").
			WithReason("BROKER_UNAVAILABLE").WithRetryAfter(retryLater)
	}
	return accepted, nil
}

// notStored reports whether a failed publish has surely left nothing behind.
func notStored(err error) bool {
	for _, sure := range []error{
		broker.ErrUnavailable, broker.ErrBackpressure, broker.ErrClosed, broker.ErrTooLarge,
		broker.ErrInvalid, broker.ErrUnroutable, broker.ErrDenied,
	} {
		if errors.Is(err, sure) && !errors.Is(err, broker.ErrUnknownOutcome) {
			return true
		}
	}
	return false
}

func refuseAll(v *record.Verdict, p *parcel) {
	for i := p.Start; i < p.End; i++ {
		v.Rejected.RefuseTooLarge(v.Index[i], v.Good[i])
	}
}

// send publishes until every parcel is durable or refused for good, the broker
// takes none of them, or time is up. A caller that goes away does not stop it:
// the outcome would be unknown, to no use.
func (s *Service) send(ctx context.Context, parcels []*parcel) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.PublishTimeout)
	defer cancel()
	left := parcels
	pause := firstPause
	for attempt := 1; ; attempt++ {
		msgs := make([]broker.Message, len(left))
		for i, p := range left {
			msgs[i] = p.message
		}
		failed := outcome(left, s.publisher.Publish(ctx, msgs))
		if len(failed) == 0 || len(failed) == len(parcels) && !unknown(failed) || attempt == attempts {
			return
		}
		left = failed
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// outcome notes each parcel's fate and returns those worth another try.
func outcome(sent []*parcel, err error) []*parcel {
	for _, p := range sent {
		p.err = nil
	}
	if err == nil {
		return nil
	}
	partial, ok := errors.AsType[*broker.PublishError](err)
	if !ok {
		for _, p := range sent {
			p.err = err
		}
		return sent
	}
	var again []*parcel
	for _, f := range partial.Failed {
		p := sent[f.Index]
		p.err = f.Err
		if !broker.Permanent(f.Err) {
			again = append(again, p)
		}
	}
	return again
}

// unknown reports whether the fate of one of them is not known: then trying
// again, under the same id, is the way to find out.
func unknown(parcels []*parcel) bool {
	for _, p := range parcels {
		if errors.Is(p.err, broker.ErrUnknownOutcome) {
			return true
		}
	}
	return false
}
