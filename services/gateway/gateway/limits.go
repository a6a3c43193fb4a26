package gateway

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// intakes are the ways from the doors to the topics, and what of the topics is
// whose.
type intakes struct {
	spans, records     *door.Intake
	spanLag, recordLag *quota.Backlog // nil where it is not known how much a topic keeps
}

func newIntakes(cfg Config, deps Deps, publisher broker.Publisher, items items) (x intakes) {
	if deps.TopicBytes > 0 {
		x.spanLag = quota.NewBacklog(deps.Tenants, quota.Spans, deps.TopicBytes)
		x.recordLag = quota.NewBacklog(deps.Tenants, quota.Records, deps.TopicBytes)
	}
	x.spans = door.NewIntake(door.IntakeConfig{
		Topic: event.Spans, Type: event.TypeTraces, Receipts: event.SpanReceipts, Timeout: cfg.PublishTimeout, Count: items.of(event.SignalSpans),
		Of: quota.Spans, Tenants: deps.Tenants, Backlog: x.spanLag,
	}, deps.Instance, publisher)
	x.records = door.NewIntake(door.IntakeConfig{
		Topic: event.Records, Type: event.TypeRecords, Receipts: event.RecordReceipts, Timeout: cfg.PublishTimeout, Count: items.of(event.SignalRecords),
		Of: quota.Records, Tenants: deps.Tenants, Backlog: x.recordLag,
	}, deps.Instance, publisher)
	return x
}

// watchLimits keeps known what tenants have on the topics and what is kept of them,
// and puts on record what was turned away, until ctx ends.
func (s *Service) watchLimits(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.intakes.spans.Run(ctx) })
	group.Go(func() error { return s.intakes.records.Run(ctx) })
	if s.intakes.spanLag != nil {
		group.Go(func() error { return s.intakes.spanLag.Watch(ctx, s.lag(event.Spans, event.GroupTraceStore)) })
		group.Go(func() error { return s.intakes.recordLag.Watch(ctx, s.lag(event.Records, event.GroupIngest)) })
	}
	group.Go(func() error { return s.watchKept(ctx) })
	return group.Wait()
}

// lag tells how far the readers of a topic are behind.
func (s *Service) lag(topic, group string) quota.Lag {
	return func(ctx context.Context) (int64, time.Duration, error) {
		lag, err := s.deps.Broker.Admin().Lag(ctx, topic, group)
		return lag.Total(), lag.Oldest, err
	}
}

const (
	// keptEvery is how often it is asked what is kept of each tenant.
	keptEvery = 3 * time.Second
	// keptTimeout bounds that.
	keptTimeout = 5 * time.Second
)

// watchKept asks what is kept of each tenant, until ctx ends. While one of the stores
// does not answer it stays as it was.
func (s *Service) watchKept(ctx context.Context) error {
	tick := time.NewTicker(keptEvery)
	defer tick.Stop()
	for {
		if s.deps.Tenants.Limited(quota.Retained) {
			if kept, err := s.kept(ctx); err == nil {
				s.deps.Tenants.Kept(kept)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Service) kept(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(identity.With(ctx, identity.ForService(name, identity.MeshTenant)), keptTimeout)
	defer cancel()
	kept := map[string]int64{}
	for _, conn := range []ledgerv1.LedgerServiceClient{ledgerv1.NewLedgerServiceClient(s.deps.TraceStore), ledgerv1.NewLedgerServiceClient(s.deps.IngestWorker)} {
		resp, err := conn.GetRetained(ctx, &ledgerv1.GetRetainedRequest{})
		if err != nil {
			return nil, err
		}
		for tenant, bytes := range resp.GetBytes() {
			kept[tenant] += int64(bytes) //nolint:gosec // bytes that were sent
		}
	}
	return kept, nil
}

// enter tells whether a caller who is known and may do what asks for a permission
// may do it now. It is asked before anything of the request is read.
func (s *Service) enter(id identity.Identity, p policy.Permission) error {
	if p != policy.RecordsWrite {
		return nil
	}
	t := s.deps.Tenants.Of(id.Tenant)
	err := s.intakes.records.Enter(t, time.Now())
	s.intakes.records.Refused(t, err)
	return err
}

// unreadable counts records that nobody could read against the rate of who sent them:
// they have cost what good ones do.
func (s *Service) unreadable(ctx context.Context, method string, bytes int) {
	if id, ok := identity.From(ctx); ok && policy.MethodOf(method).Permission == policy.RecordsWrite {
		s.deps.Tenants.Of(id.Tenant).Charge(time.Now(), bytes, 1)
	}
}
