package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/tap"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// gRPC reads the request of a unary call for as long as the caller likes: a
// deadline is the caller's to set, and keepalive asks whether the machine is there,
// not whether the request is. What is read can only be given up by ending the
// context that the transport made for the call, so that context has to be ours.

// endable is the context of a call that the server can end.
type endable struct {
	context.Context //nolint:containedctx // it is one
	end             context.CancelCauseFunc
}

type endKey struct{}

// Value implements context.Context.
func (e *endable) Value(key any) any {
	if key == (endKey{}) {
		return e
	}
	return e.Context.Value(key)
}

// Err implements context.Context. gRPC answers a caller whose request it gave up
// reading, or whose answer it gave up writing, with the code of this error, before any
// handler can.
func (e *endable) Err() error {
	err := e.Context.Err()
	if err != nil && errors.Is(context.Cause(e.Context), fault.Timeout) {
		return context.DeadlineExceeded
	}
	return err
}

// Endable is for a server that bounds the time in which requests come, with
// WithinTime.
func Endable() grpc.ServerOption {
	return grpc.InTapHandle(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		ctx, end := context.WithCancelCause(ctx)
		return &endable{ctx, end}, nil
	})
}

var errSlow = fault.Timeout.New("the request did not come in time").WithReason("REQUEST_TOO_SLOW")

// WithinTime reads a request by decode, and ends the call when that takes longer
// than limit: the error is fault.Timeout then. Without Endable there is no limit.
func WithinTime(ctx context.Context, limit time.Duration, decode func(any) error, into any) error {
	call, ok := ctx.Value(endKey{}).(*endable)
	if !ok || limit <= 0 {
		return decode(into)
	}
	timer := time.AfterFunc(limit, func() { call.end(errSlow) })
	err := decode(into)
	if !timer.Stop() {
		return errSlow
	}
	return err
}

var errTakenSlowly = fault.Timeout.New("the answer was not taken in time").WithReason("ANSWER_TOO_SLOW")

// EndAfter ends the call of a context after a while with fault.Timeout, also where it
// waits for a caller who takes its answer slowly; stop lets it go on. Without Endable
// there is no limit.
func EndAfter(ctx context.Context, limit time.Duration) (stop func()) {
	call, ok := ctx.Value(endKey{}).(*endable)
	if !ok || limit <= 0 {
		return func() {}
	}
	timer := time.AfterFunc(limit, func() { call.end(errTakenSlowly) })
	return func() { timer.Stop() }
}
