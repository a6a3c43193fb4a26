package tracestore

import (
	"context"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

// worker handles batches of the topic spans.
type worker struct {
	writer  *store.Writer
	metrics *metrics
}

// handle implements runner.Handler: nothing is done until the rows and the
// ledger are durable.
func (w *worker) handle(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	verdicts := make([]runner.Verdict, len(ds))
	msgs := make([]store.Message, 0, len(ds))
	places := make([]int, 0, len(ds)) // of msgs in ds
	for i := range ds {
		m, err := messageOf(&ds[i])
		if err != nil {
			verdicts[i] = runner.FromError(err)
			continue
		}
		msgs, places = append(msgs, m), append(places, i)
	}
	entries, err := w.writer.Write(ctx, msgs)
	if err != nil {
		return nil, clickhouse.Blameless(err)
	}
	for i, e := range entries {
		if e.Stored == 0 && e.Rejected[store.Malformed] > 0 && len(e.Rejected) == 1 {
			// Nothing in it can be read: somebody should look at it. The ledger
			// counts it as parked from then on (see parked).
			verdicts[places[i]] = runner.Dead(runner.ReasonDecode, fault.Invalid.New("the message is not an OTLP request"))
			continue
		}
		w.metrics.settled(e.Stored, e.Rejected)
	}
	return verdicts, nil
}

// messageOf is a delivery as the store knows it, as far as its headers tell.
// The error is fault.Invalid when it is not a message of spans at all.
func messageOf(d *broker.Delivery) (store.Message, error) {
	stamp := envelope.Of(&d.Message)
	m := store.Message{
		ID: stamp.Identity(d), Tenant: stamp.Tenant, ReceivedAt: stamp.Accepted, Count: max(stamp.Count, 0),
		Sender: stamp.Sender, Value: d.Value, Encoding: stamp.Encoding,
	}
	if instance, n, ok := envelope.SplitSeq(stamp.Seq); ok {
		m.Instance, m.Seq = instance, n
	}
	switch {
	case stamp.Tenant == "":
		return m, fault.Invalid.New("the message has no tenant")
	case stamp.Type != event.TypeTraces:
		return m, fault.Invalid.New("the message is of type %q", stamp.Type)
	}
	return m, nil
}

// parked implements runner.Config.OnPark: the ledger learns of a message
// in the dead letters before it is acknowledged.
func (w *worker) parked(ctx context.Context, d *broker.Delivery, p runner.Park) error {
	m, _ := messageOf(d)
	if m.Tenant == "" {
		return nil // on nobody's account
	}
	entry := store.Entry{Message: &m, Accepted: m.Count, DeadLettered: map[string]int{string(p.Reason): m.Count}}
	if err := w.writer.Settle(ctx, []store.Entry{entry}); err != nil {
		return fmt.Errorf("enter the parked message into the ledger: %w", clickhouse.Blameless(err))
	}
	w.metrics.parked(m.Count)
	return nil
}
