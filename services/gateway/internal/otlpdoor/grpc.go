package otlpdoor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/services/gateway/internal/wire"
)

const (
	traceService = "opentelemetry.proto.collector.trace.v1.TraceService"
	exportMethod = "/" + traceService + "/Export"
)

// A connection's buffers. The one to read with holds most requests, which saves
// system calls; gRPC takes it from a pool when there is something to read, so
// that the thousands of connections that idle here have none. Those to write
// with are shared.
const (
	readBuffer  = 32 << 10
	writeBuffer = 4 << 10
	maxHeaders  = 16 << 10
)

// What a caller may send before it is read. A stream's window holds most
// requests four times over, so that none waits for an update, or costs one. That
// they do not grow, as gRPC's do by default, is what bounds a connection.
const (
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
)

// grpcServer makes the OTLP/gRPC server.
func (d *Door) grpcServer() *grpc.Server {
	options := append([]grpc.ServerOption{
		rpc.Endable(),
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.RPCDecompressor(packed{}), //nolint:staticcheck // the registry that replaces it is global and knows no limits of ours
		experimental.BufferPool(d.buffers),
		grpc.MaxRecvMsgSize(int(d.cfg.MaxRequest)),
		grpc.MaxConcurrentStreams(d.cfg.MaxStreams),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ReadBufferSize(readBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.ConnectionTimeout(20 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: d.cfg.MaxIdle, MaxConnectionAge: d.cfg.MaxConnAge, MaxConnectionAgeGrace: d.cfg.DrainTimeout,
			Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.UnknownServiceHandler(d.unimplemented),
		grpc.WaitForHandlers(true),
	}, append(d.deps.Calls.ServerOptions(), d.deps.Server...)...)
	if d.deps.TLS != nil {
		options = append(options, grpc.Creds(d.deps.TLS.Transport()))
	}
	s := grpc.NewServer(options...)
	s.RegisterService(Service(), d)
	for _, u := range d.metrics.unkept {
		s.RegisterService(d.desc(u), d)
	}
	return s
}

// Service is OTLP's service of traces, whose implementation is a Door, for another
// server: one whose codec knows the Readers and Writers of package wire.
func Service() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: traceService,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: export}},
		Metadata:    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
	}
}

// unimplemented answers every other method; for profiles in words that tell
// somebody what to change.
func (d *Door) unimplemented(_ any, stream grpc.ServerStream) error {
	d.calls.unknown.Begin().End(codes.Unimplemented, trace.SpanContext{})
	method, _ := grpc.MethodFromServerStream(stream)
	return errUnimplemented(strings.TrimPrefix(method, "/"))
}

func errUnimplemented(method string) error {
	if strings.HasPrefix(method, "opentelemetry.proto.collector.profiles.") {
		return status.Error(codes.Unimplemented, "driftmesh takes traces over OTLP, not profiles: turn the profiles exporter off")
	}
	return status.Errorf(codes.Unimplemented, "unknown method %.200s", method)
}

// export is the handler of TraceService/Export. It is called before the
// request is read, so that who may not come in costs nothing.
func export(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (resp any, err error) { //nolint:revive // gRPC wants this order
	d, ok := srv.(*Door)
	if !ok {
		return nil, status.Error(codes.Internal, "internal error")
	}
	r := &request{started: d.now(), lease: d.deps.Budget.Lease(), call: d.calls.export.Begin()}
	code := codes.OK
	ctx = rpc.Named(ctx)
	defer func() {
		r.lease.Free()
		if panicked := recover(); panicked != nil {
			d.deps.Log.Error("call failed", slog.String("method", exportMethod), slog.String("err", fmt.Sprintf("panic: %v\n%s", panicked, debug.Stack())))
			code, resp, err = codes.Internal, nil, status.Error(codes.Internal, "internal error")
		}
		r.end("grpc", code.String(), err)
		d.metrics.grpc.done(code, r.started)
		r.call.End(code, r.trace())
	}()
	rep, err := d.exportGRPC(ctx, r, decode)
	if err != nil {
		d.refused(r, err)
		code, err = d.refuse(ctx, exportMethod, err)
		return nil, err
	}
	r.call.Sent()
	return rawAnswer(protoAnswer(&rep)), nil
}

func (d *Door) exportGRPC(ctx context.Context, r *request, decode func(any) error) (otlp.Report, error) {
	id, err := d.identifyGRPC(ctx, d.asks.overGRPC)
	if err != nil {
		return otlp.Report{}, err
	}
	if err := d.enter(r, id); err != nil {
		return otlp.Report{}, err
	}
	// What the transport may hold of the request before its length is known.
	if !r.lease.Grow(streamWindow) {
		return otlp.Report{}, r.lease.Why(errBusy())
	}
	ctx = d.begin(ctx, r, traceService+"/Export", header(ctx, "traceparent"), header(ctx, "tracestate"))
	in := rawRequest{pool: d.buffers}
	if err := rpc.WithinTime(ctx, d.cfg.ReadTimeout, decode, &in); err != nil {
		return otlp.Report{}, err // mostly gRPC's own words: too large, or the caller is gone
	}
	defer in.free()
	r.call.Received()
	body := in.bytes()
	if !r.lease.Resize(len(body)) {
		return otlp.Report{}, r.lease.Why(errBusy())
	}
	if len(body) > 0 && body[0] == packedMark {
		// Do not let gRPC pack the answer, which is a few bytes.
		_ = grpc.SetSendCompressor(ctx, encoding.Identity)
		out, err := d.gzip.inflate(body[1:], &r.lease)
		if err != nil {
			return otlp.Report{}, err
		}
		defer d.buffers.Put(out)
		body = *out
	}
	return d.accept(ctx, r, body)
}

// identifyGRPC tells who calls, and that who calls may.
func (d *Door) identifyGRPC(ctx context.Context, a ask) (identity.Identity, error) {
	authorization := metadata.ValueFromIncomingContext(ctx, "authorization")
	apiKey := metadata.ValueFromIncomingContext(ctx, "x-api-key")
	id, err := d.identify(ctx, a.needs, authorization, apiKey)
	d.tell(ctx, nil, a, id, err)
	return id, err
}

func (d *Door) identifyHTTP(r *http.Request, a ask) (identity.Identity, error) {
	id, err := d.identify(r.Context(), a.needs, r.Header["Authorization"], r.Header["X-Api-Key"])
	d.tell(r.Context(), r, a, id, err)
	return id, err
}

// tell tells of who was refused.
func (d *Door) tell(ctx context.Context, r *http.Request, a ask, id identity.Identity, err error) {
	if err == nil || d.deps.Refused == nil {
		return
	}
	if id.Tenant != "" {
		ctx = identity.With(ctx, id)
	}
	d.deps.Refused(ctx, r, a.action, err)
}

// identify tells who calls from all values of the two headers, and that who calls
// may do what asks for a permission.
func (d *Door) identify(ctx context.Context, p policy.Permission, authorization, apiKey []string) (identity.Identity, error) {
	if len(authorization) > 1 || len(apiKey) > 1 {
		// It would be a guess which one a proxy in between has looked at.
		return identity.Identity{}, fault.Unauthenticated.New("credentials were sent more than once").WithReason("CREDENTIALS_AMBIGUOUS")
	}
	id, err := d.deps.Identify(ctx, only(authorization), only(apiKey))
	if err == nil {
		err = id.Authorize(p)
	}
	return id, err
}

func only(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func header(ctx context.Context, key string) string {
	return only(metadata.ValueFromIncomingContext(ctx, key))
}

// rawRequest receives the bytes of a request in one piece, in memory of the pool.
type rawRequest struct {
	pool   *buffers
	buffer mem.Buffer
}

var _ wire.Reader = (*rawRequest)(nil)

func (r *rawRequest) bytes() []byte { return r.buffer.ReadOnlyData() }
func (r *rawRequest) free()         { r.buffer.Free() }

// ReadWire implements wire.Reader. It copies what came in several frames into one
// buffer.
func (r *rawRequest) ReadWire(data mem.BufferSlice) {
	if r.buffer != nil {
		r.buffer.Free()
	}
	r.buffer = data.MaterializeToBuffer(r.pool)
}

// rawAnswer is an encoded response.
type rawAnswer []byte

var _ wire.Writer = rawAnswer(nil)

// Wire implements wire.Writer.
func (a rawAnswer) Wire() mem.BufferSlice { return mem.BufferSlice{mem.SliceBuffer(a)} }

// rawCodec hands bytes through for the types of this package, and nothing else
// is spoken here.
type rawCodec struct{}

// Name implements encoding.CodecV2.
func (rawCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if a, ok := v.(rawAnswer); ok {
		return a.Wire(), nil
	}
	return nil, fmt.Errorf("marshal %T: not an OTLP answer", v)
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*rawRequest)
	if !ok {
		return fmt.Errorf("unmarshal %T: not an OTLP request", v)
	}
	r.ReadWire(data)
	return nil
}

// packed passes compressed messages through as they are, with a mark: they are
// decompressed by the handler, under its limits and with its errors. Protobuf
// never begins with the mark, as there is no field 0.
type packed struct{}

const packedMark = 0

// Do implements grpc.Decompressor.
func (packed) Do(r io.Reader) ([]byte, error) {
	size := 0
	if sized, ok := r.(interface{ Remaining() int }); ok {
		size = sized.Remaining()
	}
	b := make([]byte, 1+size)
	b[0] = packedMark
	if _, err := io.ReadFull(r, b[1:]); err != nil {
		return nil, fmt.Errorf("read compressed message: %w", err)
	}
	return b, nil
}

// Type implements grpc.Decompressor.
func (packed) Type() string { return "gzip" }
