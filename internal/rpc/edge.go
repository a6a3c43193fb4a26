package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// edge is what every call passes on its way in and out of a server. It is the
// chain's one place: authorisation by role, quotas and audit join it here.
type edge struct {
	log          *slog.Logger
	authenticate Authenticate
	timeout      time.Duration
}

func (e *edge) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		err = e.leave(info.FullMethod, err, recover())
		if err != nil {
			resp = nil
		}
	}()
	ctx, err = e.enter(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.timeout)
		defer cancel()
	}
	return next(ctx, req)
}

func (e *edge) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() { err = e.leave(info.FullMethod, err, recover()) }()
	ctx, err := e.enter(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, &streamWithContext{ServerStream: ss, ctx: ctx})
}

// open services say nothing of anybody's data.
func open(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.") || strings.HasPrefix(method, "/grpc.reflection.")
}

func (e *edge) enter(ctx context.Context, method string) (context.Context, error) {
	if e.authenticate == nil || open(method) {
		return ctx, nil
	}
	return e.authenticate(ctx, method)
}

// leave turns what a handler returned, or panicked with, into a status that
// tells the caller what it may know, and logs what it may not.
func (e *edge) leave(method string, err error, panicked any) error {
	if panicked != nil {
		err = fault.Internal.Wrap(fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()), "internal error")
	}
	if err == nil {
		return nil
	}
	st := Status(err)
	if st.Code() == codes.Internal || st.Code() == codes.Unknown {
		e.log.Error("call failed", slog.String(telemetry.KeyMethod, method), telemetry.Err(err))
	}
	return st.Err()
}

type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // grpc hands a stream its context this way
}

func (s *streamWithContext) Context() context.Context { return s.ctx }
