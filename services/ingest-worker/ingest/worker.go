package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/profiles"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// worker handles batches of the topic records.
type worker struct {
	store     *store.Store
	publisher broker.Publisher
	profiles  *profiles.Cache[*normalize.Profile]
	metrics   *metrics
	units     sync.Pool // *unit; as many as there are handlers at a time
}

// unit is the memory of one handler. It is bounded: a block is written when it
// is full, however much a message swells on its way into columns.
type unit struct {
	batch    normalize.Batch
	block    *store.Block
	profiles map[uuid.UUID]*normalize.Profile // of the message at hand
}

func newUnit(limit int) *unit {
	return &unit{block: store.NewBlock(limit), profiles: map[uuid.UUID]*normalize.Profile{}}
}

// handle implements runner.Handler: nothing is done until the rows, the ledger
// and the announcement of windows are durable.
func (w *worker) handle(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	u := w.units.Get().(*unit)
	defer w.units.Put(u)
	u.block.Reset()
	verdicts, taken, err := w.gather(ctx, u, ds)
	if err != nil || len(taken) == 0 {
		return verdicts, err
	}
	if err := w.write(ctx, u.block); err != nil {
		return nil, err
	}
	if err := w.announce(ctx, taken, u.block.Touched()); err != nil {
		return nil, err
	}
	w.metrics.wrote(u.block)
	return verdicts, nil
}

// gather puts every message that it can into the block; taken are those. It
// returns an error only when a full block could not be written: a message whose
// profile cannot be asked for waits by itself.
func (w *worker) gather(ctx context.Context, u *unit, ds []broker.Delivery) (verdicts []runner.Verdict, taken []*broker.Delivery, err error) {
	verdicts = make([]runner.Verdict, len(ds))
	asking, stop := asking(ctx, ds)
	defer stop()
	for i := range inTurn(ds) {
		stamp := envelope.Of(&ds[i].Message)
		switch err := w.prepare(asking, u, &stamp, ds[i].Value); {
		case err == nil:
			taken = append(taken, &ds[i])
			m := messageOf(&ds[i], &stamp) //nolint:contextcheck // it only reads headers
			if err := w.fill(ctx, u, m); err != nil {
				return nil, nil, err
			}
		case errors.Is(err, normalize.ErrDecode):
			verdicts[i] = runner.Dead(runner.ReasonDecode, err)
		default:
			verdicts[i] = runner.FromError(err)
		}
	}
	return verdicts, taken, nil
}

// prepare decodes one message and brings the profiles that it names.
func (w *worker) prepare(ctx context.Context, u *unit, stamp *envelope.Stamp, value []byte) error {
	if stamp.Tenant == "" {
		return fault.Invalid.New("the message has no tenant")
	}
	if stamp.Type != event.TypeRecords {
		return fault.Invalid.New("the message is of type %q", stamp.Type)
	}
	if err := u.batch.Decode(value); err != nil {
		return err
	}
	return w.lookUp(ctx, u, stamp.Tenant)
}

// fill normalizes the prepared message into the block, which it writes whenever
// it is full.
func (w *worker) fill(ctx context.Context, u *unit, m store.Message) error {
	origin := normalize.Origin{MessageID: m.ID, Accepted: m.Accepted}
	lookup := func(uid uuid.UUID) *normalize.Profile { return u.profiles[uid] }
	u.block.Begin(m)
	for next := 0; next < u.batch.Len(); {
		if u.block.Full() {
			if err := w.write(ctx, u.block); err != nil {
				return err
			}
			u.block.Written()
		}
		next = u.batch.Rows(next, origin, lookup, u.block)
	}
	u.block.End()
	return nil
}

// lookUp brings the profiles that the decoded message names.
func (w *worker) lookUp(ctx context.Context, u *unit, tenant string) error {
	clear(u.profiles)
	var failed error
	u.batch.Profiles(func(uid uuid.UUID) {
		if _, known := u.profiles[uid]; known || failed != nil {
			return
		}
		p, err := w.profiles.Get(ctx, tenant, uid.String())
		if err != nil && !errors.Is(err, fault.NotFound) {
			failed = err
			return
		}
		u.profiles[uid] = p // nil: there is none
	})
	return failed
}

// messageOf is a delivery as the ledger knows it.
func messageOf(d *broker.Delivery, stamp *envelope.Stamp) store.Message {
	m := store.Message{
		ID: stamp.Identity(d), Tenant: stamp.Tenant, Accepted: stamp.Accepted, Sender: stamp.Sender, Traced: broker.SpanContext(&d.Message).IsSampled(),
	}
	if instance, n, ok := envelope.SplitSeq(stamp.Seq); ok {
		m.Instance, m.Seq = instance, n
	}
	return m
}

func (w *worker) write(ctx context.Context, b *store.Block) error {
	ctx, end := runner.Step(ctx, "store observations")
	start := time.Now()
	err := w.store.Write(ctx, b)
	w.metrics.insertTime.Observe(time.Since(start).Seconds())
	end(err)
	return clickhouse.Blameless(err)
}

// maxMinutes bounds one announcement; a minute takes at most five bytes.
const maxMinutes = 50_000

// announce says which windows have new rows. An announcement carries on the
// trace of the first traced message that touched one of its windows.
func (w *worker) announce(ctx context.Context, taken []*broker.Delivery, touched []store.Touch) error {
	if len(touched) == 0 {
		return nil
	}
	ctx, end := runner.Step(ctx, "announce windows")
	var msgs []broker.Message
	for _, t := range touched {
		for minutes := t.Minutes; len(minutes) > 0; {
			n := min(len(minutes), maxMinutes)
			value, err := proto.Marshal(&eventv1.WindowsTouched{Profile: t.Profile.String(), Minutes: minutes[:n]})
			if err != nil {
				end(err)
				return fmt.Errorf("encode windows: %w", err)
			}
			m := envelope.New(event.Windows, envelope.Stamp{
				Tenant: t.Tenant, Type: event.TypeWindows, Count: n, Accepted: time.Now(),
			}, value)
			m.Key = t.Profile[:]
			carryOn(&m, &taken[t.Message].Message) //nolint:contextcheck // it only reads headers
			msgs = append(msgs, m)
			minutes = minutes[n:]
		}
	}
	err := w.publisher.Publish(ctx, msgs)
	end(err)
	if err != nil {
		return fmt.Errorf("announce windows: %w", err)
	}
	return nil
}

// carryOn gives a message the trace context of the one it comes from.
func carryOn(m, from *broker.Message) {
	if !broker.SpanContext(from).IsSampled() {
		return
	}
	for i := range from.Headers {
		switch from.Headers[i].Key {
		case "traceparent", "tracestate", "baggage":
			// Copied: the delivery's memory is the driver's.
			m.Headers = append(m.Headers, broker.Header{Key: from.Headers[i].Key, Value: append([]byte(nil), from.Headers[i].Value...)})
		}
	}
}

// parked implements runner.Config.OnPark: the ledger learns of a message
// in the dead letters before it is acknowledged.
func (w *worker) parked(ctx context.Context, d *broker.Delivery, p runner.Park) error {
	stamp := envelope.Of(&d.Message)
	b := store.NewBlock(0)
	m := messageOf(d, &stamp) //nolint:contextcheck // it only reads headers
	b.Dead(m, max(stamp.Count, 0), string(p.Reason))
	if err := clickhouse.Blameless(w.store.Write(ctx, b)); err != nil {
		return fmt.Errorf("enter the parked message into the ledger: %w", err)
	}
	w.metrics.records.WithLabelValues("dead_lettered").Add(float64(max(stamp.Count, 0)))
	return nil
}
