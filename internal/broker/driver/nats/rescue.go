package nats

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// rescue parks a message by its sequence.
func (k *consumer) rescue(a advisory) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	stream, err := k.js.Stream(ctx, k.stream)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	raw, err := stream.GetMsg(ctx, a.StreamSeq)
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	d := broker.Delivery{Attempt: a.Deliveries, Lane: "0", Position: strconv.FormatUint(a.StreamSeq, 10)}
	decode(&nats.Msg{Header: raw.Header, Data: raw.Data}, &d.Message, raw.Time)
	d.Topic = k.cfg.Topic
	pub, err := k.conn.Publisher()
	if err != nil {
		return err
	}
	defer pub.Close(ctx) //nolint:errcheck // nothing is in flight
	parked := broker.Parked(&d, broker.Park{
		Reason: broker.ReasonMaxDeliveries, Group: k.cfg.Group, Worker: k.cfg.Member, Attempts: a.Deliveries,
	})
	return pub.Publish(ctx, []broker.Message{parked})
}
