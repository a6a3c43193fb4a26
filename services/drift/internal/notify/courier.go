package notify

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Bounds of the wait before a delivery is tried again, and of the pause of a
// route. Both double from one failure to the next, and are between half of that
// and all of it.
const (
	minRetry = 2 * time.Second
	maxRetry = 5 * time.Minute
	minPause = time.Second
	maxPause = time.Minute
)

// Patience is how long an event waits for those of its alert that were told
// before it and are not here yet: the broker still has them, or they are lost.
const Patience = 10 * time.Minute

// leaseOver is how much longer a delivery is held than sending may take.
const leaseOver = 30 * time.Second

func backOff(attempts int, shortest, longest time.Duration) time.Duration {
	wait := min(shortest<<min(attempts-1, 20), longest)
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // jitter
}

// Queue keeps deliveries; store.State is one.
type Queue interface {
	ClaimDelivery(ctx context.Context, c store.Claim) (*store.Claimed, error)
	SettleDelivery(ctx context.Context, d *store.Claimed, o store.Outcome) error
	Silences(ctx context.Context, tenant string, now time.Time) ([]*alert.Silence, error)
	OpenNews(ctx context.Context, route, after string, limit int) ([]*alert.Event, error)
	ResolveTime(ctx context.Context, id string) (time.Time, error)
}

// Metrics is told what becomes of deliveries.
type Metrics interface {
	// Settled counts a delivery of a route that came to a final state.
	Settled(route string, state alert.State)
	// Retried counts an attempt that failed and will be repeated.
	Retried(route string)
}

// Courier sends the deliveries of one route. It is not safe for concurrent use;
// several Couriers of one route are.
type Courier struct {
	Name    string // of the route
	Route   route.Route
	Timeout time.Duration // of one attempt
	Owner   string        // names this worker in leases
	Queue   Queue
	Metrics Metrics
	Log     *slog.Logger
	Now     func() time.Time

	after     string // the tenant that had its turn
	failures  int    // of the route, in a row
	resume    time.Time
	refreshed time.Time
}

// Work sends what is due, until nothing is, the route must be left alone, or ctx
// ends; what it has begun it ends.
func (c *Courier) Work(ctx context.Context) error {
	for ctx.Err() == nil && !c.Now().Before(c.resume) {
		d, err := c.Queue.ClaimDelivery(ctx, store.Claim{
			Route: c.Name, Owner: c.Owner, After: c.after, Now: c.Now(), Lease: c.Timeout + leaseOver, Patience: Patience,
		})
		if err != nil || d == nil {
			return err
		}
		c.after = d.Tenant
		// A signal to stop is no reason to leave open whether it arrived.
		ctx := context.WithoutCancel(ctx)
		if err := c.one(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// one sees a delivery through an attempt.
func (c *Courier) one(ctx context.Context, d *store.Claimed) error {
	o, err := c.attempt(ctx, d)
	if err != nil {
		return err
	}
	o.Now = c.Now()
	if o.State == alert.Waiting {
		c.Metrics.Retried(c.Name)
	}
	if err := c.Queue.SettleDelivery(ctx, d, o); err != nil {
		return err
	}
	if o.State != alert.Waiting {
		c.Metrics.Settled(c.Name, o.State)
	}
	return nil
}

func (c *Courier) attempt(ctx context.Context, d *store.Claimed) (store.Outcome, error) {
	if d.Overtaken {
		return store.Outcome{State: alert.Overtaken, Error: "the route was told of something later before this came"}, nil
	}
	// What ends an alert concerns those who heard of it, silence or not.
	if !d.News.Closes() || !d.Heard {
		silences, err := c.Queue.Silences(ctx, d.Tenant, c.Now())
		if err != nil {
			return store.Outcome{}, fmt.Errorf("look up silences: %w", err)
		}
		if s := alert.Silenced(silences, d.News, c.Now()); s != nil {
			return store.Outcome{State: alert.Withheld, Error: "silence " + s.ID}, nil
		}
	}
	sending, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err := c.Route.Deliver(sending, d.News)
	if err == nil {
		c.failures, c.resume = 0, time.Time{}
		return store.Outcome{State: alert.Sent}, nil
	}
	return c.failed(ctx, d, err), nil
}

// failed decides what becomes of a delivery that did not arrive.
func (c *Courier) failed(ctx context.Context, d *store.Claimed, err error) store.Outcome {
	f := fault.Of(err)
	o := store.Outcome{State: alert.Failed, Error: f.Message()}
	if kind := f.Kind(); !kind.Retryable() && kind != fault.Internal {
		c.Log.LogAttrs(ctx, slog.LevelError, "news did not arrive and never will", c.about(d, err)...)
		return o
	}
	c.failures++
	pause := max(backOff(c.failures, minPause, maxPause), f.RetryAfter())
	wait := max(backOff(d.Attempts, minRetry, maxRetry), f.RetryAfter())
	c.resume = c.Now().Add(pause)
	o.State, o.Due = alert.Waiting, c.Now().Add(wait)
	c.Log.LogAttrs(ctx, slog.LevelWarn, "news did not arrive yet", append(c.about(d, err), slog.Duration("retry_in", wait))...)
	return o
}

func (c *Courier) about(d *store.Claimed, err error) []slog.Attr {
	return []slog.Attr{
		slog.String("route", c.Name), slog.String("tenant", d.Tenant), slog.String("alert", d.AlertID), slog.String("event", d.Event),
		slog.String("change", string(d.Change)), slog.Int("attempts", d.Attempts), telemetry.Err(err),
	}
}

// refreshAtOnce bounds the alerts that are read together.
const refreshAtOnce = 500

// Refresh tells the route of all alerts that are open, when it wants that and it
// is time.
func (c *Courier) Refresh(ctx context.Context) error {
	r, ok := c.Route.(route.Refresher)
	if now := c.Now(); !ok || now.Before(c.refreshed.Add(r.Every())) || now.Before(c.resume) {
		return nil
	}
	started := c.Now()
	if err := c.refresh(ctx, r); err != nil {
		c.failures++
		c.resume = c.Now().Add(max(backOff(c.failures, minPause, maxPause), fault.Of(err).RetryAfter()))
		return err
	}
	c.failures, c.refreshed = 0, started
	return nil
}

func (c *Courier) refresh(ctx context.Context, r route.Refresher) error {
	for after := ""; ; {
		open, err := c.Queue.OpenNews(ctx, c.Name, after, refreshAtOnce)
		if err != nil {
			return fmt.Errorf("list open alerts: %w", err)
		}
		if len(open) == 0 {
			return nil
		}
		after = open[len(open)-1].AlertID
		sending, cancel := context.WithTimeout(ctx, c.Timeout)
		err = r.Refresh(sending, open)
		cancel()
		if err != nil {
			return fmt.Errorf("refresh route %s: %w", c.Name, err)
		}
		if err := c.closeAgain(ctx, open); err != nil {
			return err
		}
	}
}

// closeAgain tells the end of those alerts that were resolved while the route was
// told that they are open: that may have come after the news of their end.
func (c *Courier) closeAgain(ctx context.Context, open []*alert.Event) error {
	for _, e := range open {
		at, err := c.Queue.ResolveTime(ctx, e.AlertID)
		if err != nil {
			return fmt.Errorf("look up alert: %w", err)
		}
		if at.IsZero() {
			continue
		}
		over := *e
		over.Change, over.Time = alert.Resolved, at
		sending, cancel := context.WithTimeout(ctx, c.Timeout)
		err = c.Route.Deliver(sending, &over)
		cancel()
		if err != nil {
			return fmt.Errorf("refresh route %s: %w", c.Name, err)
		}
	}
	return nil
}
