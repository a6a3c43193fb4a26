package redis

import (
	"context"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// spent parks the entries that were delivered more often than the group allows,
// and returns the others.
func (k *consumer) spent(ctx context.Context, es []entry) []entry {
	if k.group.maxDeliver <= 0 {
		return es
	}
	kept := es[:0]
	for i := range es {
		if es[i].attempt <= k.group.maxDeliver {
			kept = append(kept, es[i])
			continue
		}
		log := k.conn.cfg.Log.With("topic", k.cfg.Topic, "group", k.cfg.Group, "position", es[i].id)
		if err := k.park(ctx, &es[i]); err != nil {
			log.Error("message given up by the group could not be parked, it will come again", "err", err)
			continue
		}
		log.Warn("message given up by the group is parked", "attempts", es[i].attempt-1)
	}
	return kept
}

// park publishes an entry to the DLQ and acknowledges it.
func (k *consumer) park(ctx context.Context, e *entry) error {
	var d broker.Delivery
	e.delivery(k.cfg.Topic, &d)
	pub, err := k.conn.Publisher()
	if err != nil {
		return err
	}
	defer pub.Close(ctx) //nolint:errcheck // nothing is in flight
	parked := broker.Parked(&d, broker.Park{
		Reason: broker.ReasonMaxDeliveries, Group: k.cfg.Group, Worker: k.cfg.Member, Attempts: e.attempt - 1,
	})
	if err := pub.Publish(ctx, []broker.Message{parked}); err != nil {
		return err
	}
	return k.settle(ctx, "ack", 0, []string{e.id})
}
