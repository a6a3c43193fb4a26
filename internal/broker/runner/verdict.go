package runner

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// Handler handles deliveries of one batch and says, per delivery, what becomes
// of it. No verdicts (nil) with a nil error is Done for all; otherwise there
// are as many verdicts as deliveries.
//
// An error is about the whole slice, and its fault kind decides:
//
//	Exists                              done
//	Unavailable, Timeout, Exhausted     tried again here with back-off, for as long as it takes
//	Canceled                            given back
//	Conflict                            tried again at once, a few times; then as Internal
//	Internal and anything unknown       tried again, then halved until the culprit stands alone; parked after MaxAttempts
//	all others                          halved until the culprit stands alone, which is parked
//
// So a handler may see a delivery again, in the same or in another company, and
// must be idempotent. It must not keep the slice or what it refers to after it
// returned. ctx ends when the lease is lost or the runner's patience on
// stopping is over. Handlers of one runner run concurrently, one per batch.
type Handler func(ctx context.Context, ds []broker.Delivery) ([]Verdict, error)

// Verdict is what becomes of one delivery. The zero Verdict is Done.
type Verdict struct {
	kind   verdictKind
	after  time.Duration
	reason Reason
	err    error
}

type verdictKind int

const (
	verdictDone verdictKind = iota
	verdictRetry
	verdictDead
)

// Done acknowledges the delivery.
func Done() Verdict { return Verdict{} }

// Retry gives the delivery back, to come again not before after (0: the
// runner's back-off), or puts it into the runner's retry topic when err is
// Unavailable, Timeout or Exhausted. It counts as an attempt unless err is one of
// these, Conflict or Canceled; after MaxAttempts it is parked.
func Retry(after time.Duration, err error) Verdict {
	return Verdict{kind: verdictRetry, after: after, err: err}
}

// Dead parks the delivery.
func Dead(reason Reason, err error) Verdict {
	return Verdict{kind: verdictDead, reason: reason, err: err}
}

// FromError is the verdict on one delivery that a fault asks for: Done for
// Exists, Dead for what can never succeed, Retry for the rest.
func FromError(err error) Verdict {
	switch reactionTo(err) {
	case reactDone:
		return Done()
	case reactPark:
		return Dead(reasonOf(err), err)
	default:
		return Retry(fault.Of(err).RetryAfter(), err)
	}
}

// reaction is what a runner does about an error; see Handler.
type reaction int

const (
	reactDone reaction = iota
	reactPark
	reactWait
	reactGiveBack
	reactRetry
	reactFail
)

func reactionTo(err error) reaction {
	if err == nil || fault.KindOf(err) == fault.Exists {
		return reactDone
	}
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Precondition, fault.Unsupported:
		return reactPark
	case fault.Unavailable, fault.Timeout, fault.Exhausted:
		return reactWait
	case fault.Canceled:
		return reactGiveBack
	case fault.Conflict:
		return reactRetry
	default:
		return reactFail
	}
}

// burns reports whether a failure counts toward MaxAttempts.
func burns(err error) bool {
	switch reactionTo(err) {
	case reactWait, reactGiveBack, reactRetry:
		return false
	default:
		return true
	}
}

// reasonOf is the reason to park for an error that can never succeed.
func reasonOf(err error) Reason {
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.Denied:
		return ReasonDenied
	case fault.Invalid:
		if errors.Is(err, broker.ErrTooLarge) {
			return ReasonTooLarge
		}
		return ReasonSchema
	default:
		return ReasonStoreRejected
	}
}
