package gateway

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/rpc"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	meshv1 "github.com/driftmesh/driftmesh/proto/driftmesh/mesh/v1"
	topicv1 "github.com/driftmesh/driftmesh/proto/driftmesh/topic/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/ledger"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
	"github.com/driftmesh/driftmesh/services/gateway/internal/proxy"
	"github.com/driftmesh/driftmesh/services/gateway/internal/records"
	"github.com/driftmesh/driftmesh/services/gateway/internal/running"
	"github.com/driftmesh/driftmesh/services/gateway/internal/scouterdoor"
	"github.com/driftmesh/driftmesh/services/gateway/internal/tail"
	"github.com/driftmesh/driftmesh/services/gateway/internal/wire"
)

// ingestServer is IngestService: the door for records and the live tail.
type ingestServer struct {
	ingestv1.UnimplementedIngestServiceServer
	records *records.Service
	tail    *tail.Service
}

var _ ingestv1.IngestServiceServer = (*ingestServer)(nil)

// PublishRecords takes one batch and answers when it is durable.
func (s *ingestServer) PublishRecords(ctx context.Context, req *ingestv1.PublishRecordsRequest) (*ingestv1.PublishRecordsResponse, error) {
	return s.records.PublishRecords(ctx, req)
}

// StreamRecords takes batches and sums them up.
func (s *ingestServer) StreamRecords(stream grpc.ClientStreamingServer[ingestv1.StreamRecordsRequest, ingestv1.StreamRecordsResponse]) error {
	return s.records.StreamRecords(stream)
}

// ExchangeRecords takes batches and answers each.
func (s *ingestServer) ExchangeRecords(stream grpc.BidiStreamingServer[ingestv1.ExchangeRecordsRequest, ingestv1.ExchangeRecordsResponse]) error {
	return s.records.ExchangeRecords(stream)
}

// Tail sends what arrives.
func (s *ingestServer) Tail(req *ingestv1.TailRequest, stream grpc.ServerStreamingServer[ingestv1.TailResponse]) error {
	return s.tail.Tail(req, stream)
}

// A connection's read buffer. Thousands of connections idle at the door, so it
// is small; the write buffer is there only while something is written.
const readBuffer = 8 << 10

// maxHead bounds the metadata of a call.
const maxHead = 32 << 10

// newServer makes the public gRPC server with everything on it.
func (s *Service) newServer() (*rpc.Server, error) {
	guard := wire.Guard{Refused: s.unreadable}
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(wire.Codec{}),
		grpc.ChainUnaryInterceptor(guard.Unary), grpc.ChainStreamInterceptor(guard.Stream),
		grpc.ReadBufferSize(readBuffer), grpc.MaxHeaderListSize(maxHead),
	}
	if s.deps.TLS != nil {
		options = append(options, grpc.Creds(s.deps.TLS.Transport()))
	}
	server, err := rpc.NewServer(rpc.ServerConfig{
		Listen: s.cfg.GRPC, MaxRequest: int(s.cfg.MaxRequest), MaxStreams: s.cfg.MaxStreams,
		MaxIdle: s.cfg.MaxIdle, BodyTimeout: s.cfg.OTLP.ReadTimeout, DrainTimeout: s.cfg.Drain, Reflection: s.cfg.Reflection, ServerOptions: options,
	}, rpc.ServerDeps{Log: s.deps.Log, Calls: s.deps.Calls, Traces: s.deps.Traces, Authenticate: s.authenticate, AuthenticateStream: s.authenticateStream, Refused: s.refused, Allowance: s.traced, Unknown: scouterdoor.UnservedCall})
	if err != nil {
		return nil, err
	}
	ingestv1.RegisterIngestServiceServer(server, &ingestServer{records: s.records, tail: tail.NewService(s.hub, s.deps.Tenants, s.profiles, s.deps.Log)})
	ledgerv1.RegisterLedgerServiceServer(server, ledger.New(ledger.Settlers{
		Spans: ledgerv1.NewLedgerServiceClient(s.deps.TraceStore), Records: ledgerv1.NewLedgerServiceClient(s.deps.IngestWorker),
	}))
	topicv1.RegisterTopicServiceServer(server, s.topics)
	meshv1.RegisterMeshServiceServer(server, running.New(running.Config{
		Instance: s.deps.Instance, Version: process.Version, Settings: s.deps.Settings, Certificates: s.deps.Certificates,
	}))
	server.RegisterApart(otlpdoor.Service(), s.otlp) // spans too, so that one address is enough
	if s.scouter != nil {
		s.scouter.Register(server, s.proxies.Of)
	}
	for _, r := range []struct {
		route proxy.Route
		conn  grpc.ClientConnInterface
	}{
		{proxy.Auth, s.deps.Auth}, {proxy.Audit, s.deps.Auth}, {proxy.Drift, s.deps.Drift}, {proxy.Tags, s.deps.Drift}, {proxy.Trace, s.deps.TraceStore},
		{proxy.DeadLetters, s.deps.IngestWorker}, {proxy.Records, s.deps.IngestWorker},
	} {
		if err := proxy.Register(server, r.route, r.conn, s.auditor); err != nil {
			return nil, err
		}
	}
	return server, nil
}

// refused counts a call that ended because of who calls.
func (s *Service) refused(ctx context.Context, method string, err error) {
	s.auditor.Refused(ctx, method, s.proxies.Of(ctx), err)
}

// authenticate finds out who calls a method of the public gRPC server. What
// services ask each other is not public, whoever asks.
func (s *Service) authenticate(ctx context.Context, method string) (context.Context, error) {
	return s.identify(ctx, method, func(ctx context.Context, authorization, apiKey string) (context.Context, identity.Identity, error) {
		id, err := s.deps.Identify(ctx, authorization, apiKey)
		return ctx, id, err
	})
}

// authenticateStream is authenticate for streams, which end with the credentials
// that they began with.
func (s *Service) authenticateStream(ctx context.Context, method string) (context.Context, error) {
	if s.deps.IdentifyStream == nil {
		return s.authenticate(ctx, method)
	}
	return s.identify(ctx, method, s.deps.IdentifyStream)
}

func (s *Service) identify(ctx context.Context, method string,
	by func(ctx context.Context, authorization, apiKey string) (context.Context, identity.Identity, error),
) (context.Context, error) {
	if policy.MethodOf(method).Inner {
		return nil, fault.Unsupported.New("unknown method %s", strings.TrimPrefix(method, "/"))
	}
	authorization, apiKey, err := identity.FromMetadata(ctx)
	if err != nil {
		return nil, err
	}
	if authorization == "" && apiKey == "" && policy.MethodOf(method).Permission == policy.PublicCall {
		return proxy.WithSource(ctx, s.proxies.Of(ctx)), nil
	}
	if s.scouter != nil && scouterdoor.Is(method) {
		authorization = s.scouter.RenewCall(ctx, authorization)
	}
	known, id, err := by(ctx, authorization, apiKey)
	if err != nil {
		return nil, err
	}
	if p := policy.MethodOf(method).Permission; id.May(p) { // who may not hears so behind
		if err := s.enter(id, p); err != nil {
			return nil, err
		}
	}
	return identity.With(known, id), nil
}
