package main

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
)

const closing = 10 * time.Second

// ours is the side of our own driver, opened as the services open it.
type ours struct {
	broker broker.Broker
	topic  string
	batch  int
}

func openDriver(ctx context.Context, url, topic string, batch int) (side, error) {
	b, err := driver.Open(ctx, driver.Config{URL: url})
	if err != nil {
		return nil, err
	}
	return &ours{broker: b, topic: topic, batch: batch}, nil
}

func (o *ours) sender() (func(context.Context, []item) error, error) {
	p, err := o.broker.Publisher()
	if err != nil {
		return nil, err
	}
	msgs := make([]broker.Message, o.batch)
	headers := []broker.Header{{Key: traceHeader, Value: []byte(traceParent)}}
	return func(ctx context.Context, items []item) error {
		for i, it := range items {
			msgs[i] = broker.Message{Topic: o.topic, ID: it.id, Value: it.payload, Headers: headers}
		}
		return p.Publish(ctx, msgs[:len(items)])
	}, nil
}

func (o *ours) receiver(context.Context) (receiver, error) {
	c, err := o.broker.Consumer(broker.ConsumerConfig{Topic: o.topic, Group: group, MaxMessages: o.batch, MaxInFlight: unsettled})
	if err != nil {
		return nil, err
	}
	return ourReceiver{c}, nil
}

func (o *ours) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	_ = o.broker.Close(ctx) // measured already
}

type ourReceiver struct{ broker.Consumer }

func (r ourReceiver) receive(ctx context.Context, _ int) (out batch, err error) {
	b, err := r.Receive(ctx)
	if err != nil {
		return out, err
	}
	for i := range b.Deliveries {
		d := &b.Deliveries[i]
		out.read(len(d.Value), d.Header(traceHeader))
	}
	out.ack = b.Ack
	return out, nil
}

func (r ourReceiver) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	_ = r.Close(ctx)
}
