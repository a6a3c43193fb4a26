package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/scouter"
	"github.com/driftmesh/driftmesh/internal/seal"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/admit"
)

// feed brings what comes from a source to the topic inbox, sealed, where it is handled
// like what any producer publishes there. It decides nothing: a message is acknowledged
// when all its parts are durable, whatever they say. The parts have ids that follow from
// what they say, so one that comes again, from the source or to another worker, is the
// same to the ledger.
type feed struct {
	*inbox
	of     seal.Sender
	system string
}

// sourceRunners makes the runners of the sources. Nothing is ever parked or put aside
// there, nor given up: what cannot be read is for the inbox to park.
func (s *Service) sourceRunners(x *inbox) (runners []*runner.Runner, err error) {
	for _, from := range s.deps.Sources {
		t := from.Traits()
		f := &feed{
			inbox: x, of: seal.Sender{Tenant: cmp.Or(s.cfg.Scouter.Tenant, identity.DefaultTenant), Principal: "source:" + t.System}, system: t.System,
		}
		r, err := runner.New(runner.Config{
			Broker: from.Broker,
			Consumer: broker.ConsumerConfig{
				Topic: t.Name(), Group: t.Group, Member: name, MaxInFlight: s.cfg.Parallel,
			},
			Handler: f.handle, MaxAttempts: math.MaxInt, MaxCrashes: -1, BackoffMax: sourceBackoff,
			Drain: s.cfg.Drain, Log: s.deps.Log,
		})
		if err != nil {
			return nil, err
		}
		runners = append(runners, r)
	}
	return runners, nil
}

// sourceBackoff is the longest time until a full or absent broker of ours is tried again.
const sourceBackoff = 5 * time.Second

// handle implements runner.Handler. While the mesh's broker is away, full or refuses us
// it fails, is tried again, and nothing more is received.
func (f *feed) handle(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	var msgs []broker.Message
	for i := range ds {
		runner.Belongs(ctx, i, f.of.Tenant)
		msgs = append(msgs, f.parts(&ds[i])...)
	}
	var huge []broker.Message
	var failed error
	f.publish(ctx, event.Inbox, msgs, func(k int, err error) {
		if fault.KindOf(err) == fault.Invalid { // all else is the broker's fault
			huge = append(huge, msgs[k])
			return
		}
		failed = err
	})
	if failed != nil {
		return nil, failed
	}
	for i := range huge {
		if err := f.bury(ctx, &huge[i]); err != nil {
			return nil, err
		}
	}
	f.metrics.took(f.system, len(ds), len(msgs)-len(huge), len(huge))
	return nil, nil
}

// parts are the messages that a delivery becomes.
func (f *feed) parts(d *broker.Delivery) (msgs []broker.Message) {
	size := math.MaxInt
	if most := f.maxMessage(); most > 0 {
		size = max(most-seal.Room, 1)
	}
	trace := admit.TraceOf(d.Headers)
	for _, p := range scouter.Parts(d.Value, size) {
		switch {
		case !p.Spans:
			msgs = append(msgs, f.message(d, event.TypeScouter, p.Value, trace))
		case len(p.Value) <= size:
			msgs = append(msgs, f.message(d, event.TypeTracesJSON, p.Value, trace))
		default:
			for _, value := range spansOf(p.Value, size) {
				msgs = append(msgs, f.message(d, event.TypeTraces, value, trace))
			}
		}
	}
	return msgs
}

// spansOf cuts a request that is too large between spans. One that is none stays as it
// is.
func spansOf(request []byte, size int) (values [][]byte) {
	body, err := otlp.FromJSON(request)
	if err != nil {
		return [][]byte{request}
	}
	lim := otlp.Limits{MaxMessage: size}
	report, err := otlp.Scan(body, lim)
	if err != nil || report.Intact() && len(body) <= size {
		return [][]byte{body}
	}
	for p := range otlp.Split(body, lim, &report) {
		values = append(values, p.Value)
	}
	return values
}

// message is a part on its way. The memory of the value may be the delivery's.
func (f *feed) message(d *broker.Delivery, valueType string, value []byte, trace []broker.Header) broker.Message {
	m := f.sealer.Message(f.of, valueType, value)
	m.Time, m.Headers = d.Time, append(m.Headers, trace...)
	return m
}

// bury puts what no message of the inbox can hold where the inbox would: among its dead
// letters, as much of it as fits, and into the ledger.
func (f *feed) bury(ctx context.Context, m *broker.Message) error {
	d := &broker.Delivery{Message: *m, Attempt: 1}
	p := runner.Park{
		Reason: runner.ReasonTooLarge, Err: fmt.Errorf("the message has %d bytes, more than the broker of the mesh takes", len(m.Value)),
		Attempts: 1, Group: event.GroupIngest, Worker: name, At: time.Now(),
	}
	parked := runner.Parked(d, p)
	err := error(broker.ErrTooLarge)
	for _, room := range []int{max(f.maxMessage(), 0), 64 << 10, 0} {
		if err = f.publisher.Publish(ctx, []broker.Message{runner.StandIn(&parked, room)}); !errors.Is(err, broker.ErrTooLarge) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("park what is too large: %w", err)
	}
	return f.parked(ctx, d, p)
}
