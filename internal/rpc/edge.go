package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/requestid"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// edge is what every call passes on its way in and out of a server. It is the
// chain's one place: quotas and audit join it here, behind who may.
//
//	count ▶ recovery ▶ name ▶ who calls ▶ who may ▶ span ▶ deadline ▶ decode the request ▶ handler
//
// A call whose caller is not known, or may not make it, ends before its request
// is read from the connection, let alone decompressed and decoded, and leaves no
// span.
type edge struct {
	log          *slog.Logger
	authenticate Authenticate
	ofStream     Authenticate // authenticate, unless something else is said of streams
	timeout      time.Duration
	tracer       trace.Tracer
	allowance    *telemetry.Allowance
	streams      map[string]*Method // of all streaming methods; not written to once calls come
	unknown      *Method            // stands for all others, whose names are the callers' to choose
	refused      func(ctx context.Context, method string, err error)
	elsewhere    func(method string) error // about methods that are not there; may be nil
}

// unary stands around decoding too (see Server.around).
func (e *edge) unary(ctx context.Context, call Call, next func(context.Context) (any, error)) (resp any, err error) {
	var span trace.Span = noop.Span{}
	ctx = Named(ctx)
	defer func() {
		err = e.leave(ctx, call, span, err, recover())
		if err != nil {
			resp = nil
			return
		}
		call.Sent()
	}()
	if ctx, span, err = e.enter(ctx, call.Method, e.authenticate); err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.timeout)
		defer cancel()
	}
	return next(ctx)
}

func (e *edge) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	ctx := Named(ss.Context())
	method, known := e.streams[info.FullMethod]
	if !known {
		err := unimplemented(srv, ss)
		if e.elsewhere != nil {
			if said := e.elsewhere(info.FullMethod); said != nil {
				err = Status(said).Err()
			}
		}
		err = WithRequest(status.Convert(err), requestid.From(ctx)).Err()
		e.unknown.Begin().End(status.Code(err), trace.SpanContext{})
		return err
	}
	call := method.Begin()
	var span trace.Span = noop.Span{}
	defer func() {
		panicked := recover()
		if why := ended(ctx); err != nil && why != nil {
			err = why
		}
		err = e.leave(ctx, call, span, err, panicked)
	}()
	ctx, span, err = e.enter(ctx, method, e.ofStream)
	if err != nil {
		return err
	}
	return next(srv, &stream{ServerStream: ss, ctx: ctx, call: call})
}

// ended is the fault for which a stream was ended before its caller did, if it
// was.
func ended(ctx context.Context) error {
	if f, ok := errors.AsType[*fault.Fault](context.Cause(ctx)); ok {
		return f
	}
	return nil
}

// unimplemented answers calls of methods that are not there, which gRPC takes
// for streams.
func unimplemented(_ any, ss grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(ss)
	return status.Errorf(codes.Unimplemented, "unknown method %.200s", strings.TrimPrefix(method, "/"))
}

// open services say nothing of anybody's data.
func open(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.") || strings.HasPrefix(method, "/grpc.reflection.")
}

// enter finds out who calls, and whether who calls may, and begins the span of
// the call. What anybody may call has none: it would be a stranger's to fill the
// store with.
func (e *edge) enter(ctx context.Context, method *Method, authenticate Authenticate) (context.Context, trace.Span, error) {
	var nobody trace.Span = noop.Span{}
	if open(method.name) {
		return ctx, nobody, nil
	}
	if authenticate != nil {
		known, err := authenticate(ctx, method.name)
		if err == nil {
			ctx = known
			err = identity.Authorize(ctx, method.permission)
		}
		if err != nil {
			if e.refused != nil {
				e.refused(ctx, method.name, err)
			}
			return ctx, nobody, err
		}
		if _, is := identity.From(ctx); !is {
			return ctx, nobody, nil
		}
	}
	ctx, span := e.begin(ctx, method.name)
	return ctx, span, nil
}

// leave turns what a handler returned, or panicked with, into a status that
// tells the caller what it may know, and logs what it may not.
func (e *edge) leave(ctx context.Context, call Call, span trace.Span, err error, panicked any) error {
	if panicked != nil {
		err = fault.Internal.Wrap(fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()), "internal error")
	}
	st := Status(err)
	end(span, st.Code(), st.Message())
	call.End(st.Code(), span.SpanContext())
	if err == nil {
		return nil
	}
	if st.Code() == codes.Internal || st.Code() == codes.Unknown {
		e.log.Error("call failed", slog.String(telemetry.KeyMethod, call.name), slog.String(telemetry.KeyRequestID, requestid.From(ctx)), telemetry.Err(err))
	}
	return WithRequest(st, requestid.From(ctx)).Err()
}

// stream is a stream of a known caller, whose messages are counted.
type stream struct {
	grpc.ServerStream
	ctx  context.Context //nolint:containedctx // grpc hands a stream its context this way
	call Call
}

func (s *stream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *stream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	s.call.Received()
	return ended(s.ctx) // what comes after is not taken
}

// SendMsg implements grpc.ServerStream.
func (s *stream) SendMsg(m any) error {
	if err := ended(s.ctx); err != nil {
		return err
	}
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.call.Sent()
	}
	return err
}
