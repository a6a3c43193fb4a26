// Command redis publishes records and a trace to driftmesh's inbox on Redis
// Streams.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/examples/producers/sample"
)

func main() {
	if err := run(sample.Parse("redis://127.0.0.1:6379")); err != nil {
		log.Fatal(err)
	}
}

func run(f sample.Flags) error {
	msgs, err := sample.Messages(f)
	if err != nil {
		return err
	}
	opts, err := redis.ParseURL(f.URL)
	if err != nil {
		return fmt.Errorf("read URL: %w", err)
	}
	opts.MaxRetries = -1 // a retry of an XADD whose answer was lost would add it twice
	client := redis.NewClient(opts)
	defer client.Close() //nolint:errcheck // everything is answered by then
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, m := range msgs {
		fields := []any{"v", m.Value, "i", m.ID}
		for name, value := range m.Headers {
			fields = append(fields, "h:"+name, value)
		}
		err := client.XAdd(ctx, &redis.XAddArgs{Stream: "driftmesh:{inbox}", NoMkStream: true, Values: fields}).Err()
		if redis.HasErrorPrefix(err, "The stream has exhausted the last possible ID") {
			return errors.New("publish: the inbox is full; publish again later")
		}
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		fmt.Println("published", m.Headers["driftmesh-type"], m.Headers["traceparent"])
	}
	return nil
}
