// Package proxy passes calls of the public API on to the services behind the
// gateway. What is public is said by the policy: a method that says nothing, or
// that only services call, is UNIMPLEMENTED at the door, whatever the service
// behind would say.
//
// Requests and answers travel as bytes. A request is only checked to be a
// message of its method, so that no garbage gets behind the door. Deadline and
// trace context go along with the call; who calls goes along as the service
// token that the connection's credentials make of the identity in the context.
// Nothing else of the caller's metadata passes.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/salvage"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/audited"
	"github.com/driftmesh/driftmesh/services/gateway/internal/wire"
)

// Route is one service behind the gateway.
type Route struct {
	Service string // as people call it, for errors
	Desc    *grpc.ServiceDesc
}

// The services behind the gateway.
var (
	Auth        = Route{"auth", &authv1.AuthService_ServiceDesc}
	Audit       = Route{"auth", &auditv1.AuditService_ServiceDesc}
	Drift       = Route{"drift", &driftv1.DriftService_ServiceDesc}
	Tags        = Route{"drift", &driftv1.TagService_ServiceDesc}
	Trace       = Route{"trace-store", &tracev1.TraceService_ServiceDesc}
	DeadLetters = Route{"ingest-worker", &deadletterv1.DeadLetterService_ServiceDesc}
	Records     = Route{"ingest-worker", &recordv1.RecordService_ServiceDesc}
)

type sourceKey struct{}

// WithSource notes the address that a call comes from whose caller is not known:
// the service behind is told, which counts wrong passwords by it.
func WithSource(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, sourceKey{}, address)
}

// vouch says in the gateway's own name where a call of nobody known comes from.
func vouch(ctx context.Context) context.Context {
	address, ok := ctx.Value(sourceKey{}).(string)
	if !ok {
		return ctx
	}
	ctx = identity.With(ctx, identity.ForService("gateway", identity.MeshTenant))
	return metadata.AppendToOutgoingContext(ctx, identity.HeaderSource, address)
}

// Register serves a route's public methods on reg by passing them on to conn.
func Register(reg grpc.ServiceRegistrar, route Route, conn grpc.ClientConnInterface, auditor *audited.Auditor) error {
	file, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(route.Desc.ServiceName))
	if err != nil {
		return fmt.Errorf("proxy %s: %w", route.Desc.ServiceName, err)
	}
	service, ok := file.(protoreflect.ServiceDescriptor)
	if !ok {
		return fmt.Errorf("proxy %s: is not a service", route.Desc.ServiceName)
	}
	desc := grpc.ServiceDesc{ServiceName: route.Desc.ServiceName, HandlerType: (*any)(nil), Metadata: route.Desc.Metadata}
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		asks := policy.MethodOf("/" + route.Desc.ServiceName + "/" + string(method.Name()))
		if asks.Inner || asks.Permission == 0 {
			continue
		}
		if err := add(&desc, route, method, conn, auditor); err != nil {
			return err
		}
	}
	reg.RegisterService(&desc, struct{}{})
	return nil
}

func add(desc *grpc.ServiceDesc, route Route, method protoreflect.MethodDescriptor, conn grpc.ClientConnInterface,
	auditor *audited.Auditor,
) error {
	name := string(method.Name())
	if method.IsStreamingClient() {
		return fmt.Errorf("proxy %s/%s: its callers stream", route.Desc.ServiceName, name)
	}
	input, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
	if err != nil {
		return fmt.Errorf("proxy %s/%s: %w", route.Desc.ServiceName, name, err)
	}
	f := &forward{
		conn: conn, service: route.Service, input: input, auditor: auditor,
		method: "/" + route.Desc.ServiceName + "/" + name,
	}
	if !method.IsStreamingServer() {
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: name, Handler: f.unary})
		return nil
	}
	i := slices.IndexFunc(route.Desc.Streams, func(s grpc.StreamDesc) bool { return s.StreamName == name })
	f.stream = grpc.StreamDesc{StreamName: name, ServerStreams: true}
	if i < 0 {
		return fmt.Errorf("proxy %s/%s: no such stream", route.Desc.ServiceName, name)
	}
	desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: name, ServerStreams: true, Handler: f.serverStream})
	return nil
}

// forward passes one method on.
type forward struct {
	conn    grpc.ClientConnInterface
	service string
	method  string
	input   protoreflect.MessageType
	stream  grpc.StreamDesc
	auditor *audited.Auditor
}

//nolint:revive // the order of arguments is gRPC's
func (f *forward) unary(_ any, ctx context.Context, dec func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	in := new(wire.Frame)
	if err := dec(in); err != nil {
		return nil, err
	}
	if intercept == nil {
		return f.call(ctx, in)
	}
	return intercept(ctx, in, &grpc.UnaryServerInfo{FullMethod: f.method}, f.call)
}

func (f *forward) call(ctx context.Context, req any) (any, error) {
	in, ok := req.(*wire.Frame)
	if !ok {
		return nil, fault.Internal.New("proxy: %T is no frame", req)
	}
	if err := salvage.Check(in.Bytes, f.input); err != nil {
		return nil, err
	}
	out := new(wire.Frame)
	if err := f.audited(ctx, in, func() error {
		return f.explain(f.conn.Invoke(vouch(ctx), f.method, in, out, grpc.ForceCodecV2(wire.Codec{})))
	}); err != nil {
		return nil, err
	}
	return out, nil
}

// audited does a call and sees that it is recorded where it has to be.
func (f *forward) audited(ctx context.Context, in *wire.Frame, do func() error) error {
	if audited.Is(f.method) {
		if err := f.auditor.Begin(ctx); err != nil {
			return err
		}
	}
	err := do()
	f.auditor.Done(ctx, audited.Call{Method: f.method, Input: f.input, Request: in.Bytes}, err)
	return err
}

func (f *forward) serverStream(_ any, caller grpc.ServerStream) error {
	in := new(wire.Frame)
	if err := caller.RecvMsg(in); err != nil {
		return err
	}
	if err := salvage.Check(in.Bytes, f.input); err != nil {
		return err
	}
	return f.audited(caller.Context(), in, func() error { return f.follow(caller, in) })
}

// follow passes on what a stream answers.
func (f *forward) follow(caller grpc.ServerStream, in *wire.Frame) error {
	ctx, cancel := context.WithCancel(caller.Context())
	defer cancel() // ends the call behind when the caller is gone
	behind, err := f.conn.NewStream(ctx, &f.stream, f.method, grpc.ForceCodecV2(wire.Codec{}))
	if err != nil {
		return f.explain(err)
	}
	if err := behind.SendMsg(in); err != nil && !errors.Is(err, io.EOF) {
		return f.explain(err)
	}
	if err := behind.CloseSend(); err != nil {
		return f.explain(err)
	}
	for {
		out := new(wire.Frame)
		err := behind.RecvMsg(out)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return f.explain(err)
		}
		if err := caller.SendMsg(out); err != nil {
			return err
		}
	}
}

// retryAfter is when a service that is away may be asked for again.
const retryAfter = time.Second

// explain keeps what the service said, and says in our own words that it said
// nothing: what gRPC says of a broken connection names addresses.
func (f *forward) explain(err error) error {
	if err == nil {
		return nil
	}
	said := fault.Of(err)
	if said.Kind() != fault.Unavailable || said.Reason() != "" {
		return err
	}
	return fault.Unavailable.Wrap(err, "%s is not available now", f.service).
		WithReason("SERVICE_UNAVAILABLE").WithRetryAfter(retryAfter)
}
