// Package fault is the error taxonomy of driftmesh: one set of kinds that
// answers three questions about any error that crosses a boundary: which gRPC
// code, which HTTP status, and whether a consumer that meets it retries or
// parks the message.
//
// A kind is itself an error, so
//
//	errors.Is(err, fault.NotFound)
//
// works wherever the error came from, also after it has crossed the wire (see
// package rpc). A Fault's message is safe to show to the caller; its cause is
// for logs only.
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
)

// Kind says what went wrong in general. The zero Kind is Internal.
type Kind int

// The kinds. The comment of each says what a consumer does that meets it.
const (
	Internal        Kind = iota // a bug or the unknown: retried a few times, then parked
	Invalid                     // the input breaks a rule: parked
	Unauthenticated             // nobody known is calling: parked
	Denied                      // known, but not allowed: parked
	NotFound                    // parked
	Exists                      // done already: acknowledged
	Conflict                    // lost a race: retried at once, a few times
	Precondition                // the system is not in the state needed: parked
	Exhausted                   // a limit is reached: retried after the hint
	Unavailable                 // a neighbour is away: retried with back-off, for ever
	Timeout                     // took too long: retried with back-off
	Canceled                    // the caller went away: given back
	Unsupported                 // this cannot be done here, ever: parked
)

type traits struct {
	name   string
	code   codes.Code
	status int
}

var table = [...]traits{
	Internal:        {"internal", codes.Internal, http.StatusInternalServerError},
	Invalid:         {"invalid", codes.InvalidArgument, http.StatusBadRequest},
	Unauthenticated: {"unauthenticated", codes.Unauthenticated, http.StatusUnauthorized},
	Denied:          {"denied", codes.PermissionDenied, http.StatusForbidden},
	NotFound:        {"not found", codes.NotFound, http.StatusNotFound},
	Exists:          {"exists", codes.AlreadyExists, http.StatusConflict},
	Conflict:        {"conflict", codes.Aborted, http.StatusConflict},
	Precondition:    {"precondition", codes.FailedPrecondition, http.StatusBadRequest},
	Exhausted:       {"exhausted", codes.ResourceExhausted, http.StatusTooManyRequests},
	Unavailable:     {"unavailable", codes.Unavailable, http.StatusServiceUnavailable},
	Timeout:         {"timeout", codes.DeadlineExceeded, http.StatusGatewayTimeout},
	Canceled:        {"canceled", codes.Canceled, 499},
	Unsupported:     {"unsupported", codes.Unimplemented, http.StatusNotImplemented},
}

func (k Kind) traits() traits {
	if k < 0 || int(k) >= len(table) {
		k = Internal
	}
	return table[k]
}

// Error makes a Kind an error, for errors.Is.
func (k Kind) Error() string { return k.traits().name }

// Code is the gRPC status code of the kind.
func (k Kind) Code() codes.Code { return k.traits().code }

// HTTP is the HTTP status of the kind.
func (k Kind) HTTP() int { return k.traits().status }

// Retryable reports whether the same call may succeed later without a change
// by the caller.
func (k Kind) Retryable() bool {
	switch k {
	case Exhausted, Unavailable, Timeout, Conflict, Canceled:
		return true
	default:
		return false
	}
}

// New makes a fault of kind k. The message is shown to the caller.
func (k Kind) New(format string, args ...any) *Fault {
	return &Fault{kind: k, message: fmt.Sprintf(format, args...)}
}

// Wrap makes a fault of kind k around a cause that only logs may see. It
// returns a Fault also when cause is nil.
func (k Kind) Wrap(cause error, format string, args ...any) *Fault {
	return &Fault{kind: k, message: fmt.Sprintf(format, args...), cause: cause}
}

// FromCode is the kind of a gRPC status code; it is the inverse of Kind.Code.
func FromCode(c codes.Code) Kind {
	for k := range table {
		if table[k].code == c {
			return Kind(k)
		}
	}
	if c == codes.OutOfRange {
		return Invalid
	}
	return Internal
}

// Fault is an error with a kind, a message for the caller and perhaps a
// reason, a retry hint and a private cause. It is immutable once returned; the
// methods that add to it return a copy.
type Fault struct {
	kind       Kind
	message    string
	reason     string
	retryAfter time.Duration
	cause      error
}

// Error is the whole story, cause included: for logs, not for callers.
func (f *Fault) Error() string {
	if f.cause == nil {
		return f.message
	}
	return f.message + ": " + f.cause.Error()
}

// Unwrap gives errors.Is and errors.As the kind and the cause.
func (f *Fault) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// Kind is the kind of the fault.
func (f *Fault) Kind() Kind { return f.kind }

// Message is what the caller may see.
func (f *Fault) Message() string { return f.message }

// Reason is the machine-readable reason (UPPER_SNAKE, AIP-193), or "".
func (f *Fault) Reason() string { return f.reason }

// RetryAfter is how long the caller should wait before it tries again, or 0.
func (f *Fault) RetryAfter() time.Duration { return f.retryAfter }

// RetryHeader is a wait as HTTP's Retry-After says it: in whole seconds, and never
// too short.
func RetryHeader(wait time.Duration) string {
	return strconv.FormatInt(int64(max((wait+time.Second-1)/time.Second, 1)), 10)
}

// WithReason returns a copy with a machine-readable reason.
func (f *Fault) WithReason(reason string) *Fault {
	c := *f
	c.reason = reason
	return &c
}

// WithRetryAfter returns a copy with a retry hint.
func (f *Fault) WithRetryAfter(d time.Duration) *Fault {
	c := *f
	c.retryAfter = d
	return &c
}

// Of returns the outermost Fault of err, or a fault that reveals nothing:
// context errors become Canceled and Timeout, a bare Kind keeps its kind, and
// everything else is "internal error". It returns nil for nil.
func Of(err error) *Fault {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return &Fault{kind: k, message: k.Error(), cause: err}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &Fault{kind: Canceled, message: "the call was canceled", cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Fault{kind: Timeout, message: "the call took too long", cause: err}
	}
	return &Fault{kind: Internal, message: "internal error", cause: err}
}

// KindOf is the kind of err, Internal for an error of unknown origin.
func KindOf(err error) Kind {
	if err == nil {
		return Internal
	}
	return Of(err).kind
}
