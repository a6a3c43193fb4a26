package ingest

import (
	"context"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
)

// withRetry makes the runner of a topic and that of its retry topic, which have
// the handler in common.
func withRetry(cfg runner.Config) (runners []*runner.Runner, err error) {
	cfg.RetryTopic = event.Retry(cfg.Consumer.Topic)
	waiting := cfg
	waiting.Consumer.Topic, waiting.Consumer.MaxInFlight = cfg.RetryTopic, 1
	for _, cfg := range []runner.Config{cfg, waiting} {
		r, err := runner.New(cfg)
		if err != nil {
			return nil, err
		}
		runners = append(runners, r)
	}
	return runners, nil
}

// How long one call of a handler asks neighbours: what is not answered by then
// waits. Behind the messages of a retry topic nobody is in a hurry.
const (
	askFor      = 2 * time.Second
	askForRetry = 20 * time.Second
)

// asking is the context for what is asked about some deliveries.
func asking(ctx context.Context, ds []broker.Delivery) (context.Context, context.CancelFunc) {
	if event.IsRetry(ds[0].Topic) {
		return context.WithTimeout(ctx, askForRetry)
	}
	return context.WithTimeout(ctx, askFor)
}

// inTurn goes through deliveries, those of a retry topic from anywhere on: when
// the time for asking is not enough for all, it must not always be the same ones
// that are asked about.
func inTurn(ds []broker.Delivery) iter.Seq[int] {
	return func(yield func(int) bool) {
		first := 0
		if event.IsRetry(ds[0].Topic) {
			first = rand.N(len(ds))
		}
		for k := range ds {
			if !yield((first + k) % len(ds)) {
				return
			}
		}
	}
}
