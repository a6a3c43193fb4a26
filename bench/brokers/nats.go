package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsSide publishes asynchronously and awaits the acknowledgements; it
// consumes with pulls that are always outstanding, and acknowledges a batch one
// by one with a confirmed acknowledgement at its end.
type natsSide struct {
	pub, sub *nats.Conn
	topic    string
	batch    int
}

func natsStream(topic string) string { return "driftmesh_" + topic }

func openNATS(_ context.Context, url, topic string, batch int) (side, error) {
	pub, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	sub, err := nats.Connect(url)
	if err != nil {
		pub.Close()
		return nil, err
	}
	return &natsSide{pub: pub, sub: sub, topic: topic, batch: batch}, nil
}

func (s *natsSide) sender() (func(context.Context, []item) error, error) {
	js, err := jetstream.New(s.pub, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(10*time.Second))
	if err != nil {
		return nil, err
	}
	futures := make([]jetstream.PubAckFuture, s.batch)
	return func(ctx context.Context, items []item) error {
		for i, it := range items {
			msg := &nats.Msg{Subject: "driftmesh." + s.topic, Data: it.payload, Header: nats.Header{traceHeader: {traceParent}}}
			if futures[i], err = js.PublishMsgAsync(msg, jetstream.WithMsgID(it.id), jetstream.WithStallWait(5*time.Second)); err != nil {
				return err
			}
		}
		for _, f := range futures[:len(items)] {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return err
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}, nil
}

func (s *natsSide) receiver(ctx context.Context) (receiver, error) {
	js, err := jetstream.New(s.sub)
	if err != nil {
		return nil, err
	}
	c, err := js.Consumer(ctx, natsStream(s.topic), group)
	if err != nil {
		return nil, err
	}
	messages, err := c.Messages(jetstream.PullMaxMessages(2*s.batch), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return nil, err
	}
	return &natsReceiver{messages}, nil
}

func (s *natsSide) close() {
	s.pub.Close()
	s.sub.Close()
}

type natsReceiver struct{ messages jetstream.MessagesContext }

func (r *natsReceiver) receive(ctx context.Context, most int) (out batch, err error) {
	msgs := make([]jetstream.Msg, 0, most)
	for len(msgs) < most {
		m, err := r.messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return out, err
		}
		out.read(len(m.Data()), m.Headers().Get(traceHeader))
		msgs = append(msgs, m)
	}
	out.ack = func(ctx context.Context) error {
		for _, m := range msgs[:len(msgs)-1] {
			if err := m.Ack(); err != nil {
				return err
			}
		}
		return msgs[len(msgs)-1].DoubleAck(ctx)
	}
	return out, nil
}

func (r *natsReceiver) close() { r.messages.Stop() }

func removeNATS(ctx context.Context, url, topic string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	return errors.Join(err, js.DeleteStream(ctx, natsStream(topic)))
}
