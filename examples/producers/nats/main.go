// Command nats publishes records and a trace to driftmesh's inbox on NATS
// JetStream.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/examples/producers/sample"
)

func main() {
	if err := run(sample.Parse("nats://127.0.0.1:4222")); err != nil {
		log.Fatal(err)
	}
}

func run(f sample.Flags) error {
	msgs, err := sample.Messages(f)
	if err != nil {
		return err
	}
	conn, err := nats.Connect(f.URL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, m := range msgs {
		out := &nats.Msg{Subject: "driftmesh.inbox", Data: m.Value, Header: nats.Header{nats.MsgIdHdr: {m.ID}}}
		for name, value := range m.Headers {
			out.Header[name] = []string{value}
		}
		if _, err := js.PublishMsg(ctx, out); err != nil { // nil: it is durable
			return fmt.Errorf("publish: %w", err)
		}
		fmt.Println("published", m.Headers["driftmesh-type"], m.Headers["traceparent"])
	}
	return nil
}
