package broker

import (
	"errors"
	"fmt"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Errors of the contract, for errors.Is. Each carries the fault kind that says
// what a service does with it; a broker that refuses us is Unavailable, not
// Denied, because the data is good and must not be parked for it.
var (
	// ErrTooLarge: the message exceeds the broker's limit. Permanent.
	ErrTooLarge = fault.Invalid.New("the message is too large for the broker").WithReason("MESSAGE_TOO_LARGE")
	// ErrInvalid: a key, header or topic breaks a rule. Permanent.
	ErrInvalid = fault.Invalid.New("the message is not valid").WithReason("MESSAGE_INVALID")
	// ErrUnroutable: the topic does not exist; nothing was stored.
	ErrUnroutable = fault.Unavailable.New("the topic does not exist").WithReason("TOPIC_MISSING")
	// ErrDenied: the broker refused our credentials, certificate or permission.
	ErrDenied = fault.Unavailable.New("the broker refused us").WithReason("BROKER_DENIED")
	// ErrUnavailable: the broker is away; nothing was stored.
	ErrUnavailable = fault.Unavailable.New("the broker is not reachable").WithReason("BROKER_UNAVAILABLE")
	// ErrBackpressure: the broker or our window is full; nothing was stored.
	ErrBackpressure = fault.Exhausted.New("the broker is full").WithReason("BROKER_FULL")
	// ErrUnknownOutcome: the message may or may not be stored. Retry it only
	// with an ID.
	ErrUnknownOutcome = fault.Unavailable.New("the broker did not confirm in time").WithReason("BROKER_UNCONFIRMED")
	// ErrLeaseLost: the deliveries belong to the group again and will come
	// back; nothing was changed.
	ErrLeaseLost = fault.Conflict.New("the lease on the batch is lost").WithReason("LEASE_LOST")
	// ErrUnsupported: this broker cannot do it (Capabilities).
	ErrUnsupported = fault.Unsupported.New("the broker cannot do this").WithReason("BROKER_UNSUPPORTED")
	// ErrNoGroup: the group, or its topic, does not exist.
	ErrNoGroup = fault.Unavailable.New("the group does not exist").WithReason("GROUP_MISSING")
	// ErrClosed: Close was called.
	ErrClosed = fault.Unavailable.New("the broker client is closed").WithReason("BROKER_CLOSED")
)

// Failure is the fate of one message of a Publish that was not stored for
// certain.
type Failure struct {
	// Index is its place in the published slice.
	Index int
	// Err is why, and matches one of the errors above.
	Err error
}

// PublishError says which messages of one Publish failed, in order of index;
// all others are durable. errors.Is looks at every failure.
type PublishError struct {
	// Total is how many messages were to be published.
	Total int
	// Failed has at least one entry, in order of index.
	Failed []Failure
}

// Published is the result of a Publish by what became of each message: nil when
// all are durable, else a *PublishError.
func Published(errs []error) error {
	var failed []Failure
	for i, err := range errs {
		if err != nil {
			failed = append(failed, Failure{Index: i, Err: err})
		}
	}
	if failed == nil {
		return nil
	}
	return &PublishError{Total: len(errs), Failed: failed}
}

// Error names the first failures.
func (e *PublishError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "publish: %d of %d failed", len(e.Failed), e.Total)
	for i, f := range e.Failed {
		if i == 3 {
			b.WriteString(", …")
			break
		}
		fmt.Fprintf(&b, "; [%d] %v", f.Index, f.Err)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As each failure.
func (e *PublishError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, f := range e.Failed {
		errs = append(errs, f.Err)
	}
	return errs
}

// Retryable are the indexes that may be published again: those not stored for
// a passing reason, and those of unknown outcome whose message has an ID.
func (e *PublishError) Retryable(msgs []Message) []int {
	var idx []int
	for _, f := range e.Failed {
		unknown := errors.Is(f.Err, ErrUnknownOutcome)
		if Permanent(f.Err) || unknown && msgs[f.Index].ID == "" {
			continue
		}
		idx = append(idx, f.Index)
	}
	return idx
}

// Permanent reports whether publishing the same message again can not succeed
// without a change to it or to the broker's configuration.
func Permanent(err error) bool {
	return errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalid) ||
		errors.Is(err, ErrUnroutable) || errors.Is(err, ErrDenied) || errors.Is(err, ErrUnsupported)
}
