package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Defaults of a runner.
const (
	DefaultMaxAttempts = 5
	DefaultMaxCrashes  = 30
	DefaultBackoffMin  = 200 * time.Millisecond
	DefaultBackoffMax  = 30 * time.Second
	DefaultDrain       = 20 * time.Second
)

// Config says what a Runner works on and how. Broker, Consumer.Topic,
// Consumer.Group and Handler are required.
type Config struct {
	// Broker is where the deliveries come from, and the DLQ is.
	Broker broker.Broker
	// Consumer says which group to join and how batches are cut;
	// Consumer.MaxInFlight is how many handlers run at a time.
	Consumer broker.ConsumerConfig
	// Handler decides what becomes of the deliveries.
	Handler Handler
	// RetryTopic is where a delivery waits whose verdict is Retry because a
	// neighbour is away (Unavailable, Timeout, Exhausted), so that those behind it
	// need not; event.Retry names it. A second Runner with the same Handler works
	// that topic, and names it here too: what waits there is tried again in place
	// with back-off, and goes to the end of it by and by. "" gives back such a
	// delivery like any other.
	RetryTopic string
	// Prepare is called once for every delivery, before anything is done with it;
	// it may give it other Headers (not change those it has), another Time, and an
	// ID where it has none. It is for topics on which strangers publish. May be
	// nil.
	Prepare func(d *broker.Delivery)
	// Mark gives headers to add to the copy of a delivery that is parked or set
	// aside, in the place of those of the same name. Where ctx is done, it says what
	// it knows without asking. May be nil.
	Mark func(ctx context.Context, d *broker.Delivery) []broker.Header
	// OnPark is called after a delivery is durable in the DLQ and before it is
	// acknowledged, to keep books. On an error the delivery is not acknowledged,
	// and comes again. May be nil.
	OnPark func(ctx context.Context, d *broker.Delivery, p Park) error
	// MaxAttempts is how often a message may fail before it is parked.
	MaxAttempts int
	// MaxCrashes is about messages that crash their workers, which the broker's
	// count alone survives. A message delivered more than MaxAttempts times
	// without a verdict of this runner is handled alone; after MaxCrashes more it
	// is parked unseen. Negative never parks unseen. So that nothing else adds up
	// in that count, a message that a runner gives back after more than
	// MaxAttempts deliveries is published anew, in its topic: outages, stops and
	// restarts are no evidence against it.
	MaxCrashes int
	// BackoffMin and BackoffMax bound the exponential back-off.
	BackoffMin, BackoffMax time.Duration
	// Drain is how long handlers may run on after the runner was stopped.
	Drain time.Duration
	// Log hears about parked messages, failures and lost leases; default: nobody.
	Log *slog.Logger
}

func (c *Config) defaults() {
	c.Consumer = c.Consumer.WithDefaults()
	c.MaxAttempts = cmp.Or(c.MaxAttempts, DefaultMaxAttempts)
	c.MaxCrashes = cmp.Or(c.MaxCrashes, DefaultMaxCrashes)
	c.BackoffMin = cmp.Or(c.BackoffMin, DefaultBackoffMin)
	c.BackoffMax = cmp.Or(c.BackoffMax, DefaultBackoffMax)
	c.Drain = cmp.Or(c.Drain, DefaultDrain)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Consumer.Member == "" {
		c.Consumer.Member, _ = os.Hostname() // for people; unknown is fine
	}
	c.Log = c.Log.With("topic", c.Consumer.Topic, "group", c.Consumer.Group)
}

// Runner works one group: it receives batches, gives them to the handler,
// settles them by its verdicts, keeps their leases, retries, parks, and traces
// and counts all that. Run it once.
type Runner struct {
	cfg       Config
	telemetry *instruments
	consumer  broker.Consumer
	publisher broker.Publisher // of dead letters, and of what is published again
	failures  *failures
	suspects  sync.Mutex      // held while a message is handled that may crash us
	stopping  <-chan struct{} // closed when no more is received
	ran       atomic.Bool
}

// New joins the group. It starts nothing; Run must be called, and closes
// what New opened.
func New(cfg Config) (*Runner, error) {
	if cfg.Broker == nil || cfg.Handler == nil {
		return nil, errors.New("runner needs a broker and a handler")
	}
	cfg.defaults()
	consumer, err := cfg.Broker.Consumer(cfg.Consumer)
	if err != nil {
		return nil, fmt.Errorf("join group %q of topic %q: %w", cfg.Consumer.Group, cfg.Consumer.Topic, err)
	}
	publisher, err := cfg.Broker.Publisher()
	if err != nil {
		return nil, fmt.Errorf("open publisher of dead letters: %w", err)
	}
	return &Runner{
		cfg: cfg, telemetry: instrumentsOf(cfg.Broker), consumer: consumer, publisher: publisher,
		failures: newFailures(),
	}, nil
}

// Run works until ctx ends; then it receives no more, lets the handlers end
// what they have for at most Drain, gives back the rest, and leaves the group.
// It returns nil on such a stop.
func (r *Runner) Run(ctx context.Context) error {
	if !r.ran.CompareAndSwap(false, true) {
		return errors.New("a runner runs once")
	}
	topic, group := r.cfg.Consumer.Topic, r.cfg.Consumer.Group
	defer broker.WatchLag(r.cfg.Broker, topic, group)()

	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r.stopping = ctx.Done()

	var handlers sync.WaitGroup
	err := r.receive(ctx, work, &handlers)
	stop()
	defer time.AfterFunc(r.cfg.Drain, cancel).Stop()
	handlers.Wait()
	return errors.Join(err, r.close(work))
}

// receive hands every batch to a handler of its own; the consumer bounds how
// many there are.
func (r *Runner) receive(ctx, work context.Context, handlers *sync.WaitGroup) error {
	for {
		b, err := r.consumer.Receive(ctx)
		if ctx.Err() != nil && b == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive from topic %q: %w", r.cfg.Consumer.Topic, err)
		}
		handlers.Go(func() { r.handle(work, b) })
	}
}

// closeTimeout is for leaving the group when the drain has used up its time.
const closeTimeout = 5 * time.Second

func (r *Runner) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(r.consumer.Close(ctx), r.publisher.Close(ctx))
}

// handle sees one batch through to the end.
func (r *Runner) handle(work context.Context, b *broker.Batch) {
	ctx, cancel := context.WithCancelCause(work)
	defer cancel(nil)
	defer context.AfterFunc(b.Context(), func() { cancel(broker.ErrLeaseLost) })() //nolint:contextcheck // the lease ends it too
	done := make(chan struct{})
	var extender sync.WaitGroup
	extender.Go(func() { r.extend(ctx, b, done) })
	defer extender.Wait()
	defer close(done)

	if r.cfg.Prepare != nil {
		for i := range b.Deliveries {
			r.cfg.Prepare(&b.Deliveries[i])
		}
	}
	w := r.begin(ctx, b)
	defer w.end()
	w.run(ctx)
	if b.Context().Err() != nil && len(b.Unsettled()) > 0 {
		r.telemetry.metrics.leasesLost.WithLabelValues(r.cfg.Consumer.Topic, r.cfg.Consumer.Group).Inc()
		r.cfg.Log.Warn("lease lost, the messages will be delivered again", "messages", len(b.Unsettled()))
		for _, i := range b.Unsettled() {
			r.failures.add(&b.Deliveries[i], false) // we are alive: it is no crash
		}
		return
	}
	w.giveBack(ctx) // what a stop left over
}

// extend keeps the lease until done.
func (r *Runner) extend(ctx context.Context, b *broker.Batch, done <-chan struct{}) {
	if b.Lease <= 0 {
		return
	}
	tick := time.NewTicker(b.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := b.Extend(ctx); err != nil && ctx.Err() == nil {
				r.cfg.Log.Warn("lease could not be extended", "err", err)
			}
		case <-done:
			return
		case <-ctx.Done():
			return
		}
	}
}
