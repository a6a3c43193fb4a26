package records

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/internal/settings"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// Deps is what the service needs. Every field is required, except Now.
type Deps struct {
	Intake     *door.Intake // of the topic records
	Budget     *door.Budget // of the memory for requests
	MaxMessage func() int   // the broker's largest message, 0 while unknown
	Profiles   record.Profiles
	Tracer     trace.Tracer
	Now        func() time.Time // nil for the real clock
}

// Service takes records in. It is safe for concurrent use.
type Service struct {
	limits     Limits
	intake     *door.Intake
	budget     *door.Budget
	maxMessage func() int
	sieve      *record.Sieve
	tracer     trace.Tracer
	now        func() time.Time

	stop    chan struct{} // closed by Stop
	stopped sync.Once
	readers sync.WaitGroup // of streams
}

// New makes the service. Stop it.
func New(limits Limits, deps Deps) *Service {
	s := &Service{
		limits: settings.Filled(limits), intake: deps.Intake, budget: deps.Budget, maxMessage: deps.MaxMessage,
		sieve:  record.NewSieve(limits.Limits, deps.Profiles),
		tracer: deps.Tracer, now: deps.Now, stop: make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Stop makes streams end once what they have under way is answered. It does not
// wait; Wait does. It is safe to call twice.
func (s *Service) Stop() { s.stopped.Do(func() { close(s.stop) }) }

// Wait returns when no stream is being read any more, which is after Stop and
// the end of the server.
func (s *Service) Wait() { s.readers.Wait() }

// Foreign is a batch in another dialect, translated.
type Foreign struct {
	Records []*ingestv1.Record
	// Bytes is how large it came.
	Bytes int
	// Refuse refuses what of it was not understood.
	Refuse func(*record.Tally)
	// Apart leaves records of profiles that are not known to the caller of Take,
	// instead of refusing them.
	Apart bool
}

// Taken is what became of a batch.
type Taken struct {
	Accepted int
	Rejected record.Tally
	Unknown  []int // indexes of records that were left, on nobody's account
}

// take does everything to one batch: check, publish, account. With an error
// nothing was refused and the batch may be sent again.
func (s *Service) take(ctx context.Context, size int, batch []*ingestv1.Record) (Taken, error) {
	if len(batch) == 0 {
		_, err := identity.Tenant(ctx)
		return Taken{}, err
	}
	return s.Take(ctx, Foreign{Records: batch, Bytes: size})
}

// Take takes a foreign batch and answers when it is durable.
func (s *Service) Take(ctx context.Context, f Foreign) (Taken, error) {
	if _, err := identity.Tenant(ctx); err != nil {
		return Taken{}, err
	}
	caller, _ := identity.From(ctx)
	whose := from{caller, s.intake.Owner(caller.Tenant), f.Bytes}
	r, err := s.kept(ctx, whose, f)
	s.intake.Refused(whose.owner, err)
	return r, err
}

// kept is Take of a batch of which it is known whose it is.
func (s *Service) kept(ctx context.Context, whose from, f Foreign) (Taken, error) {
	now := s.now()
	if err := s.intake.Enter(whose.owner, now); err != nil {
		return Taken{}, err
	}
	lease := s.budget.Lease()
	defer lease.Free()
	lease.For(whose.owner)
	if !lease.Grow(whose.bytes) {
		return Taken{}, lease.Why(errFull())
	}
	v, err := s.sieve.Sift(ctx, record.Batch{
		Tenant: whose.caller.Tenant, Spaces: whose.caller.Spaces, Records: f.Records, Now: now, MaxRecord: record.MaxRecord(s.maxMessage()),
		// Whoever is for certain spaces is not told from whoever is not, later.
		Apart: f.Apart && whose.caller.Spaces == "",
	})
	if err != nil {
		return Taken{}, err
	}
	if f.Refuse != nil {
		f.Refuse(&v.Rejected)
	}
	accepted, err := s.publishTraced(ctx, whose, v)
	if err != nil {
		return Taken{}, err
	}
	return Taken{accepted, v.Rejected, v.Unknown}, nil
}

func errFull() error {
	return fault.Unavailable.New("the gateway has too much under way").
		WithReason("GATEWAY_FULL").WithRetryAfter(time.Second)
}

// from is whose a batch is, and how many bytes.
type from struct {
	caller identity.Identity
	owner  *quota.Tenant
	bytes  int
}

func (s *Service) publishTraced(ctx context.Context, whose from, v *record.Verdict) (int, error) {
	if len(v.Good) == 0 {
		return s.publish(ctx, whose, v)
	}
	ctx, span := s.begin(ctx, whose.caller.Tenant, v.Good)
	defer span.End()
	accepted, err := s.publish(ctx, whose, v)
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
		Accepted: uint64(r.Accepted), Rejected: r.Rejected.Count, Rejections: r.Rejected.Described,
	}, nil
}
