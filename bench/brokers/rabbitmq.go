package main

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// rabbitSide publishes on a channel per caller, mandatory and persistent, and
// awaits the confirms; it consumes with a prefetch of a few batches and
// acknowledges up to the last delivery of a batch.
type rabbitSide struct {
	pub, sub *amqp.Connection
	topic    string
	batch    int
}

func rabbitExchange(topic string) string { return "driftmesh." + topic }
func rabbitQueue(topic string) string    { return rabbitExchange(topic) + "." + group }

func openRabbitMQ(_ context.Context, url, topic string, batch int) (side, error) {
	pub, err := amqp.Dial(url)
	if err != nil {
		return nil, err
	}
	sub, err := amqp.Dial(url)
	if err != nil {
		_ = pub.Close()
		return nil, err
	}
	return &rabbitSide{pub: pub, sub: sub, topic: topic, batch: batch}, nil
}

func (s *rabbitSide) sender() (func(context.Context, []item) error, error) {
	ch, err := s.pub.Channel()
	if err != nil {
		return nil, err
	}
	returns := ch.NotifyReturn(make(chan amqp.Return, s.batch))
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	confirms := make([]*amqp.DeferredConfirmation, s.batch)
	return func(ctx context.Context, items []item) error {
		for i, it := range items {
			var err error
			confirms[i], err = ch.PublishWithDeferredConfirm(rabbitExchange(s.topic), "", true, false, amqp.Publishing{
				DeliveryMode: amqp.Persistent, MessageId: it.id, Headers: amqp.Table{traceHeader: traceParent}, Body: it.payload,
			})
			if err != nil {
				return err
			}
		}
		for _, c := range confirms[:len(items)] {
			if ok, err := c.WaitContext(ctx); !ok || err != nil {
				return errors.Join(errors.New("not confirmed"), err)
			}
		}
		select {
		case r := <-returns:
			return fmt.Errorf("returned: %s", r.ReplyText)
		default:
			return nil
		}
	}, nil
}

func (s *rabbitSide) receiver(ctx context.Context) (receiver, error) {
	ch, err := s.sub.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Qos(4*s.batch, 0, false); err != nil {
		return nil, err
	}
	in, err := ch.ConsumeWithContext(ctx, rabbitQueue(s.topic), "bare", false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	return &rabbitReceiver{ch, in}, nil
}

func (s *rabbitSide) close() {
	_ = s.pub.Close()
	_ = s.sub.Close()
}

type rabbitReceiver struct {
	ch *amqp.Channel
	in <-chan amqp.Delivery
}

func (r *rabbitReceiver) receive(ctx context.Context, most int) (out batch, err error) {
	var last amqp.Delivery
	for out.n < most {
		var ok bool
		select {
		case last, ok = <-r.in:
		case <-ctx.Done():
			return out, context.Cause(ctx)
		}
		if !ok {
			return out, errors.New("the channel ended")
		}
		trace, _ := last.Headers[traceHeader].(string)
		out.read(len(last.Body), trace)
	}
	out.ack = func(context.Context) error { return last.Ack(true) }
	return out, nil
}

func (r *rabbitReceiver) close() { _ = r.ch.Close() }

func removeRabbitMQ(_ context.Context, url, topic string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	_, err = ch.QueueDelete(rabbitQueue(topic), false, false, false)
	return errors.Join(err, ch.ExchangeDelete(rabbitExchange(topic), false, false))
}
