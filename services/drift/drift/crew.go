package drift

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// crew does work of one kind, some pieces of it at a time.
type crew struct {
	what   string
	claim  claim
	places chan struct{} // one is taken for each piece under way
	log    *slog.Logger
}

// claim takes the next piece of work that is due, for an owner of its own: one
// piece must not pass for another, in whose hands its lease went on. do is nil when
// nothing is due.
type claim func(ctx context.Context, owner string) (do func(context.Context) error, err error)

func newCrew(what string, most int, log *slog.Logger, c claim) *crew {
	return &crew{what: what, claim: c, places: make(chan struct{}, most), log: log}
}

// run looks for work until ctx ends, a pause after each time that nothing is due,
// and waits for what it has begun.
func (c *crew) run(ctx context.Context, pause time.Duration) error {
	var under sync.WaitGroup
	defer under.Wait()
	return every(ctx, pause, c.log, c.what, func(ctx context.Context) error { return c.look(ctx, &under) })
}

// look begins what is due, as soon as there is a place for it.
func (c *crew) look(ctx context.Context, under *sync.WaitGroup) error {
	for {
		select {
		case c.places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		do, err := c.next(ctx)
		if err != nil || do == nil {
			<-c.places
			return err
		}
		under.Go(func() {
			defer func() { <-c.places }()
			if err := do(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("will try again", slog.String("work", c.what), telemetry.Err(err))
			}
		})
	}
}

func (c *crew) next(ctx context.Context) (func(context.Context) error, error) {
	if ctx.Err() != nil {
		return nil, nil //nolint:nilerr // to stop is no failure
	}
	return c.claim(ctx, uuid.NewString())
}
