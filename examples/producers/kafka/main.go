// Command kafka publishes records and a trace to driftmesh's inbox on Kafka.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/examples/producers/sample"
)

func main() {
	if err := run(sample.Parse("127.0.0.1:9092")); err != nil {
		log.Fatal(err)
	}
}

func run(f sample.Flags) (err error) {
	msgs, err := sample.Messages(f)
	if err != nil {
		return err
	}
	w := &kafka.Writer{
		Addr: kafka.TCP(f.URL), Topic: "driftmesh.inbox", RequiredAcks: kafka.RequireAll,
		Balancer: kafka.Murmur2Balancer{}, BatchTimeout: 5 * time.Millisecond,
	}
	defer func() {
		if closeErr := w.Close(); err == nil {
			err = closeErr
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, m := range msgs {
		out := kafka.Message{Value: m.Value, Headers: []kafka.Header{{Key: "driftmesh-x-id", Value: []byte(m.ID)}}}
		for name, value := range m.Headers {
			out.Headers = append(out.Headers, kafka.Header{Key: name, Value: []byte(value)})
		}
		if err := w.WriteMessages(ctx, out); err != nil { // nil: every in-sync replica has it
			return fmt.Errorf("publish: %w", err)
		}
		fmt.Println("published", m.Headers["driftmesh-type"], m.Headers["traceparent"])
	}
	return nil
}
