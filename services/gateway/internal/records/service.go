package records

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/record"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// Deps is what the service needs. Every field is required, except Now.
type Deps struct {
	Publisher  broker.Publisher
	MaxMessage func() int // the broker's largest message, 0 while unknown
	Profiles   record.Profiles
	Counters   *door.Counters
	Sequence   *door.Sequence // of the topic records
	Tracer     trace.Tracer
	Now        func() time.Time // nil for the real clock
}

// Service takes records in. It is safe for concurrent use.
type Service struct {
	limits     Limits
	publisher  broker.Publisher
	maxMessage func() int
	sieve      *record.Sieve
	counters   *door.Counters
	sequence   *door.Sequence
	tracer     trace.Tracer
	now        func() time.Time

	budget  budget
	stop    chan struct{} // closed by Stop
	stopped sync.Once
	readers sync.WaitGroup // of streams
}

// New makes the service. Stop it.
func New(limits Limits, deps Deps) *Service {
	s := &Service{
		limits: limits.withDefaults(), publisher: deps.Publisher, maxMessage: deps.MaxMessage,
		sieve:    record.NewSieve(limits.Rules, deps.Profiles),
		counters: deps.Counters, sequence: deps.Sequence,
		tracer: deps.Tracer, now: deps.Now, stop: make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.budget.limit = s.limits.InFlightBytes
	return s
}

// InFlightBytes is how many bytes of records are being worked on.
func (s *Service) InFlightBytes() int64 { return s.budget.used.Load() }

// Stop makes streams end once what they have under way is answered. It does not
// wait; Wait does. It is safe to call twice.
func (s *Service) Stop() { s.stopped.Do(func() { close(s.stop) }) }

// Wait returns when no stream is being read any more, which is after Stop and
// the end of the server.
func (s *Service) Wait() { s.readers.Wait() }

// result is what became of one batch.
type result struct {
	accepted int
	rejected record.Tally
}

// take does everything to one batch: check, publish, account. With an error
// nothing was refused and the batch may be sent again.
func (s *Service) take(ctx context.Context, size int, batch []*ingestv1.Record) (result, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return result{}, err
	}
	if len(batch) == 0 {
		return result{}, nil
	}
	free, err := s.budget.take(int64(size))
	if err != nil {
		return result{}, err
	}
	defer free()
	v, err := s.sieve.Sift(ctx, record.Batch{
		Tenant: tenant, Records: batch, Now: s.now(), MaxRecord: record.MaxRecord(s.maxMessage()),
	})
	if err != nil {
		return result{}, err
	}
	accepted := 0
	if len(v.Good) > 0 {
		if accepted, err = s.publishTraced(ctx, tenant, v); err != nil {
			return result{}, err
		}
	}
	for reason, n := range v.Rejected.ByReason {
		s.counters.Reject(tenant, event.SignalRecords, reason, int(n))
	}
	return result{accepted, v.Rejected}, nil
}

func (s *Service) publishTraced(ctx context.Context, tenant string, v *record.Verdict) (int, error) {
	ctx, span := s.begin(ctx, tenant, v.Good)
	defer span.End()
	accepted, err := s.publish(ctx, tenant, v)
	if err != nil {
		span.SetStatus(codes.Error, fault.Of(err).Message())
	}
	return accepted, err
}

// PublishRecords takes one batch and answers when it is durable.
func (s *Service) PublishRecords(ctx context.Context, req *ingestv1.PublishRecordsRequest) (*ingestv1.PublishRecordsResponse, error) {
	r, err := s.take(ctx, proto.Size(req), req.GetRecords())
	if err != nil {
		return nil, err
	}
	return &ingestv1.PublishRecordsResponse{
		Accepted: uint64(r.accepted), Rejected: r.rejected.Count, Rejections: r.rejected.Described,
	}, nil
}
