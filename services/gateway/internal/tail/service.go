package tail

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Service serves the call Tail of IngestService. It is safe for concurrent use.
type Service struct {
	hub      *Hub
	tenants  *quota.Book
	profiles record.Profiles
	log      *slog.Logger
}

// NewService makes the service on a hub. profiles say which space a record is
// of.
func NewService(hub *Hub, tenants *quota.Book, profiles record.Profiles, log *slog.Logger) *Service {
	return &Service{hub: hub, tenants: tenants, profiles: profiles, log: log}
}

// Tail sends what matches until the caller leaves or the gateway stops. The
// tenant is the caller's own. The header goes out as soon as the view is open:
// whatever arrives after the caller has seen it is in the view.
func (s *Service) Tail(req *ingestv1.TailRequest, stream grpc.ServerStreamingServer[ingestv1.TailResponse]) error {
	ctx := stream.Context()
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return err
	}
	f, err := newFilter(req)
	if err != nil {
		return err
	}
	if id, _ := identity.From(ctx); id.Spaces != "" {
		if f.signal == ingestv1.Signal_SIGNAL_SPANS {
			return fault.Denied.New("spans are of no space: who is for certain spaces watches their records").WithReason(identity.ReasonDenied)
		}
		f.of = s.within(ctx, tenant, id.Spaces)
	}
	topic, pick := event.Spans, f.spans
	if f.signal == ingestv1.Signal_SIGNAL_RECORDS {
		topic, pick = event.Records, f.records
	}
	w, err := s.hub.Watch(ctx, topic, s.tenants.Of(tenant))
	if err != nil {
		return err
	}
	defer w.Close()
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for {
		d, err := w.Next(ctx)
		if err != nil {
			return ended(ctx, err)
		}
		if err := s.send(stream, w, &d, pick); err != nil {
			return err
		}
	}
}

func (s *Service) send(stream grpc.ServerStreamingServer[ingestv1.TailResponse], w *Watcher, d *broker.Delivery, pick func([]byte) ([]*ingestv1.TailResponse, error)) error {
	err := envelope.Open(&d.Message)
	var answers []*ingestv1.TailResponse
	if err == nil {
		answers, err = pick(d.Value)
	}
	if err != nil {
		// One unreadable message must not end the view of all others; its
		// consumer parks it and says why.
		s.log.Debug("message in the live tail is unreadable", slog.String(telemetry.KeyTopic, d.Topic), telemetry.Err(err))
		return nil
	}
	for _, a := range answers {
		a.Missed = w.Missed()
		if err := stream.Send(a); err != nil {
			return err
		}
	}
	return nil
}

// within tells which profiles, by uid, are of some spaces. What cannot be told
// now is not shown.
func (s *Service) within(ctx context.Context, tenant string, spaces policy.Spaces) func(uid string) bool {
	return func(uid string) bool {
		p, err := s.profiles.Profile(ctx, tenant, uid)
		return err == nil && spaces.Has(p.Space)
	}
}

// ended is nil when it is the caller who left.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
