package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/admit"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// Reasons to park a message of the inbox, beside those of package runner.
const (
	reasonUnauthenticated runner.Reason = "unauthenticated"  // its sender does not prove to be anybody
	reasonUnsupported     runner.Reason = "unsupported_type" // the topic does not take such values
	reasonProfile         runner.Reason = "unknown_profile"  // it waits for a profile to be registered
)

// inbox handles batches of the topic inbox: it admits each message, enters it
// into the ledger, and forwards what is good of it. A message that comes again
// changes nothing, as everything that is made of it has the same ids.
type inbox struct {
	admitter  *admit.Admitter
	sealer    *admit.Sealer
	store     *store.Store
	publisher broker.Publisher
	tenants   *quota.Book
	metrics   *metrics

	maxMessage func() int // 0 where the broker tells of no limit
}

// newInbox makes what takes messages in, and publishes through publisher.
func (s *Service) newInbox(publisher broker.Publisher) (*inbox, error) {
	caller, err := s.cfg.Inbox.caller(s.deps)
	if err != nil {
		return nil, err
	}
	sealer := admit.NewSealer(s.deps.Secrets)
	maxMessage := func() int { return s.deps.Broker.Capabilities().MaxMessageBytes }
	return &inbox{
		admitter: admit.New(admit.Config{
			Service: name, Caller: sealer.Caller(caller), Profiles: record.NewCache(name, s.deps.Drift, nil),
			Records:    record.Limits{EventTimes: s.cfg.Inbox.EventTimes},
			MaxMessage: maxMessage,
		}),
		sealer: sealer, store: s.store, publisher: publisher, tenants: s.deps.Tenants, metrics: s.metrics,
		maxMessage: maxMessage,
	}, nil
}

// inboxRunners makes the runners of the topic inbox and of its retry topic.
func (s *Service) inboxRunners(x *inbox) ([]*runner.Runner, error) {
	return withRetry(runner.Config{
		Broker: s.deps.Broker,
		Consumer: broker.ConsumerConfig{
			Topic: event.Inbox, Group: event.GroupIngest, Member: name,
			MaxMessages: s.cfg.Messages, MaxBytes: int(s.cfg.Bytes), Linger: s.cfg.Linger, MaxInFlight: s.cfg.Parallel,
			Forget: true, // they have credentials with them
		},
		Handler: x.handle, OnPark: x.parked, Mark: x.mark,
		Prepare: func(d *broker.Delivery) { x.sealer.Prepare(time.Now(), d) },
		Drain:   s.cfg.Drain, Log: s.deps.Log,
	})
}

// taken is one delivery that was admitted.
type taken struct {
	index int // in the call
	*admit.Admission
}

// handle implements runner.Handler: a delivery is done when its entry in the
// ledger and everything that is forwarded of it are durable. The ledger comes
// first, so that it never knows less than the services behind: a crash in
// between brings the message again, and the entry is written anew.
func (x *inbox) handle(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	verdicts := make([]runner.Verdict, len(ds))
	admitted := x.admitAll(ctx, ds, verdicts)
	if err := x.enter(ctx, admitted); err != nil {
		return nil, err
	}
	if err := x.forward(ctx, admitted, verdicts); err != nil {
		return nil, err
	}
	return verdicts, nil
}

// admitAll admits what it can; the verdicts on the others are in verdicts.
func (x *inbox) admitAll(ctx context.Context, ds []broker.Delivery, verdicts []runner.Verdict) (admitted []taken) {
	asking, stop := asking(ctx, ds)
	defer stop()
	for i := range inTurn(ds) {
		a, err := x.admitter.Admit(asking, &ds[i])
		if err != nil {
			verdicts[i] = verdictOn(err)
			continue
		}
		runner.Belongs(ctx, i, a.Tenant)
		// Over its rate: it waits in the retry topic, where it is in nobody's way.
		if err := x.pace(a, len(ds[i].Value)); err != nil {
			verdicts[i] = runner.FromError(err)
			continue
		}
		admitted = append(admitted, taken{i, a})
	}
	return admitted
}

// pace counts a message against the rate of its tenant, or says when it may come
// again. What the broker has acknowledged is never refused: it waits.
func (x *inbox) pace(a *admit.Admission, bytes int) error {
	t, now := x.tenants.Of(a.Tenant), time.Now()
	if err := t.Enter(now); err != nil {
		return err
	}
	t.Charge(now, bytes, a.Accepted)
	return nil
}

// verdictOn is the verdict on a message that cannot be taken.
func verdictOn(err error) runner.Verdict {
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.Denied:
		return runner.Dead(reasonUnauthenticated, err)
	case fault.Unsupported:
		return runner.Dead(reasonUnsupported, err)
	case fault.NotFound:
		return runner.Dead(reasonProfile, err)
	case fault.Invalid:
		if errors.Is(err, broker.ErrTooLarge) {
			return runner.Dead(runner.ReasonTooLarge, err)
		}
		return runner.Dead(runner.ReasonDecode, err)
	default:
		return runner.FromError(err)
	}
}

// enter writes the ledger.
func (x *inbox) enter(ctx context.Context, admitted []taken) error {
	list := make([]store.Admission, 0, len(admitted))
	for _, t := range admitted {
		if t.Accepted > 0 {
			list = append(list, store.Admission{
				Tenant: t.Tenant, ID: t.ID, Signal: t.Signal, Accepted: t.Accepted,
				Forwarded: len(t.Forwards), Rejected: t.Rejected, Received: t.Received,
			})
		}
	}
	if len(list) == 0 {
		return nil
	}
	ctx, end := runner.Step(ctx, "enter inbox ledger")
	err := clickhouse.Blameless(x.store.Admit(ctx, list))
	end(err)
	return err
}

// forward publishes what is good, by topic, and sets the verdicts. It returns an
// error when nothing at all can be published now, because the broker is away; a
// topic that is full is not the other's fault.
func (x *inbox) forward(ctx context.Context, admitted []taken, verdicts []runner.Verdict) error {
	if len(admitted) == 0 {
		return nil
	}
	failed := map[int]error{} // by index in the call
	sent := 0
	for _, topic := range []string{event.Spans, event.Records} {
		var msgs []broker.Message
		var owners []int
		for _, t := range admitted {
			for _, m := range t.Forwards {
				if m.Topic == topic {
					msgs, owners = append(msgs, m), append(owners, t.index)
				}
			}
		}
		if len(msgs) == 0 {
			continue
		}
		sent += x.publish(ctx, topic, msgs, func(k int, err error) { failed[owners[k]] = err })
	}
	err := failed[admitted[0].index]
	if sent == 0 && len(failed) == len(admitted) && fault.KindOf(err).Retryable() && !errors.Is(err, broker.ErrBackpressure) {
		return err
	}
	for _, t := range admitted {
		switch err := failed[t.index]; {
		case err == nil:
			x.metrics.admitted(t.Signal, t.Accepted, t.Rejected)
		case errors.Is(err, broker.ErrTooLarge):
			verdicts[t.index] = runner.Dead(runner.ReasonTooLarge, err)
		default:
			verdicts[t.index] = runner.FromError(err)
		}
	}
	return nil
}

// publish makes the messages of one topic durable and returns how many are; it
// tells of each that is not.
func (x *inbox) publish(ctx context.Context, topic string, msgs []broker.Message, failed func(k int, err error)) int {
	ctx, end := runner.Step(ctx, "forward "+topic)
	err := x.publisher.Publish(ctx, msgs)
	end(err)
	if err == nil {
		return len(msgs)
	}
	partly, ok := errors.AsType[*broker.PublishError](err)
	if !ok {
		for k := range msgs {
			failed(k, err)
		}
		return 0
	}
	for _, f := range partly.Failed {
		failed(f.Index, f.Err)
	}
	return len(msgs) - len(partly.Failed)
}

// mark implements runner.Config.Mark: a parked message no longer has the
// credentials of its sender; a seal stands for them, so that it can be published
// again. One that nobody proved to have sent gets none.
func (x *inbox) mark(ctx context.Context, d *broker.Delivery) []broker.Header {
	sender, origin, err := x.admitter.Origin(ctx, d)
	if err != nil {
		return nil
	}
	marks := append(x.sealer.Seal(sender, &d.Message), broker.Header{Key: event.HeaderOrigin, Value: []byte(origin)})
	if valueType, err := admit.TypeOf(&d.Message); err == nil && valueType == event.TypeScouter { // for people to see
		marks = append(marks, broker.Header{Key: event.HeaderCount, Value: strconv.AppendInt(nil, int64(admit.Items(valueType, d.Value)), 10)})
	}
	return marks
}

// parked implements runner.Config.OnPark: the ledger learns of a message
// in the dead letters before it is acknowledged. Where it is not known what it held,
// it counts as one; one of an unknown sender is on nobody's account.
func (x *inbox) parked(ctx context.Context, d *broker.Delivery, p runner.Park) error {
	x.metrics.inboxParked.WithLabelValues(string(p.Reason)).Inc()
	valueType, err := admit.TypeOf(&d.Message)
	if err != nil {
		return nil //nolint:nilerr // nobody knows what it should count as
	}
	tenant, id, err := x.admitter.Identify(ctx, d)
	switch {
	case err != nil && fault.KindOf(err).Retryable():
		return fmt.Errorf("find out whose the parked message is: %w", err)
	case err != nil:
		return nil //nolint:nilerr // nobody proves to have sent it
	}
	items := admit.Items(valueType, d.Value)
	err = clickhouse.Blameless(x.store.Admit(ctx, []store.Admission{{
		Tenant: tenant, ID: id, Signal: admit.SignalOf(valueType), Accepted: items,
		DeadLettered: map[string]int{string(p.Reason): items}, Received: d.Time,
	}}))
	if err != nil {
		return fmt.Errorf("enter the parked message into the ledger: %w", err)
	}
	return nil
}
