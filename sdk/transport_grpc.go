package sdk

import (
	"context"
	"errors"
	"fmt"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// maxBody is the largest batch that goes by gRPC or HTTP: half of what the mesh's own
// port takes by default, so that a smaller limit of somebody in between is as rarely
// met as a mesh's own.
const maxBody = 8 << 20

// exportMethod takes spans, on the mesh's own port as on OTLP's.
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// grpcTransport carries batches as unary calls over one connection.
type grpcTransport struct {
	conn    *grpc.ClientConn
	options []grpc.CallOption
}

var _ Transport = (*grpcTransport)(nil)

// dial opens the connection to an address. It does not wait for the mesh.
func dial(cfg *config, address string) (*grpc.ClientConn, error) {
	target, transport, err := cfg.reach(address)
	if err != nil {
		return nil, err
	}
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(cfg.access),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// Its own is up to two minutes, in which a mesh is back long since.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: cfg.minWait, Multiplier: 1.6, Jitter: 0.2, MaxDelay: cfg.maxWait},
			MinConnectTimeout: 5 * time.Second,
		}),
	}, cfg.dial...)
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return conn, nil
}

func newGRPCTransport(cfg *config, conn *grpc.ClientConn) *grpcTransport {
	t := &grpcTransport{conn: conn, options: []grpc.CallOption{grpc.ForceCodecV2(rawCodec{})}}
	if cfg.gzip {
		t.options = append(t.options, grpc.UseCompressor(gzip.Name))
	}
	return t
}

// MaxBytes implements Transport.
func (t *grpcTransport) MaxBytes() int { return maxBody }

// Close implements Transport.
func (t *grpcTransport) Close(context.Context) error {
	if err := t.conn.Close(); err != nil && status.Code(err) != codes.Canceled { // which says that it was closed before
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}

// Send implements Transport.
func (t *grpcTransport) Send(ctx context.Context, b Batch) (Answer, error) {
	method := exportMethod
	if b.Type == TypeRecords {
		method = ingestv1.IngestService_PublishRecords_FullMethodName
	}
	var raw rawMessage
	if err := t.conn.Invoke(ctx, method, rawMessage(b.Body), &raw, t.options...); err != nil {
		return Answer{}, grpcError(err)
	}
	return answerOf(b.Type, raw)
}

// answerOf reads the answer to a batch of a type.
func answerOf(batch Type, raw []byte) (Answer, error) {
	if len(raw) == 0 {
		return Answer{}, nil // nothing was refused
	}
	if batch == TypeRecords {
		var resp ingestv1.PublishRecordsResponse
		if err := proto.Unmarshal(raw, &resp); err != nil {
			return Answer{}, fmt.Errorf("read answer: %w", err)
		}
		return Answer{Rejected: resp.GetRejected(), Rejections: rejectionsOf(resp.GetRejections())}, nil
	}
	var resp coltracepb.ExportTraceServiceResponse
	if err := proto.Unmarshal(raw, &resp); err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	return spansAnswer(&resp), nil
}

func spansAnswer(resp *coltracepb.ExportTraceServiceResponse) Answer {
	partial := resp.GetPartialSuccess()
	if partial.GetRejectedSpans() <= 0 {
		return Answer{}
	}
	return Answer{Rejected: uint64(partial.GetRejectedSpans()), Rejections: []Rejection{{Message: partial.GetErrorMessage()}}}
}

// grpcError says what a failed call means.
func grpcError(err error) *TransportError {
	out := &TransportError{Cause: err}
	st, isStatus := status.FromError(err)
	if !isStatus {
		return out
	}
	hinted := false
	for _, d := range st.Details() {
		if info, is := d.(*errdetails.RetryInfo); is {
			out.RetryAfter, hinted = info.GetRetryDelay().AsDuration(), true
		}
	}
	switch st.Code() {
	case codes.OK, codes.Unavailable, codes.Aborted, codes.DeadlineExceeded, codes.Canceled:
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.OutOfRange:
		out.Suspect = true
	case codes.ResourceExhausted: // without a hint it is a limit that a repeat would meet again
		out.Permanent = !hinted
	default:
		out.Permanent = true
	}
	return out
}

// rawMessage is an encoded request or answer.
type rawMessage []byte

// rawCodec hands bytes through as the codec "proto".
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

// Name implements encoding.CodecV2.
func (rawCodec) Name() string { return grpcproto.Name }

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	raw, ok := v.(rawMessage)
	if !ok {
		return nil, errors.New("not an encoded message")
	}
	return mem.BufferSlice{mem.SliceBuffer(raw)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	raw, ok := v.(*rawMessage)
	if !ok {
		return errors.New("not an encoded message")
	}
	*raw = data.Materialize()
	return nil
}
