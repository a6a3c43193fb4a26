// Command rabbitmq publishes records and a trace to driftmesh's inbox on
// RabbitMQ.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/examples/producers/sample"
)

func main() {
	if err := run(sample.Parse("amqp://guest:guest@127.0.0.1:5672/")); err != nil {
		log.Fatal(err)
	}
}

func run(f sample.Flags) error {
	msgs, err := sample.Messages(f)
	if err != nil {
		return err
	}
	uri, err := amqp091.ParseURI(f.URL)
	if err != nil {
		return fmt.Errorf("read URL: %w", err)
	}
	conn, err := amqp091.Dial(f.URL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close() //nolint:errcheck // everything is confirmed by then
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	returned := ch.NotifyReturn(make(chan amqp091.Return, len(msgs)))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, m := range msgs {
		headers := amqp091.Table{}
		for name, value := range m.Headers {
			headers[name] = value
		}
		// With UserId the broker vouches for who publishes, and a mesh whose
		// ingest-worker.inbox-auth is broker asks for nothing else.
		confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "driftmesh.inbox", "", true, false, amqp091.Publishing{
			DeliveryMode: amqp091.Persistent, MessageId: m.ID, UserId: uri.Username, Headers: headers, Body: m.Value,
		})
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if ok, err := confirm.WaitContext(ctx); err != nil || !ok {
			return fmt.Errorf("publish: not confirmed: %w", errors.Join(err, ctx.Err()))
		}
		select {
		case <-returned: // no queue is bound: nobody has it
			return errors.New("publish: the topic has no readers")
		default:
		}
		fmt.Println("published", m.Headers["driftmesh-type"], m.Headers["traceparent"])
	}
	return nil
}
