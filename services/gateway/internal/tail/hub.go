// Package tail lets people watch what arrives: a live view of a tenant's spans
// or records, filtered, from now on. It is a view and not a delivery: whoever
// reads slowly misses some, and is told how many.
//
// However many watch a topic, the process reads it from the broker once, and
// only while somebody watches.
package tail

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// Source opens readers of a topic's end; a broker.Broker is one.
type Source interface {
	Tail(ctx context.Context, topic string) (broker.Tail, error)
}

// openTimeout bounds the opening of a reader.
const openTimeout = 5 * time.Second

// Hub gives every watcher of a topic its own bounded queue behind one reader.
// It is safe for concurrent use.
type Hub struct {
	source Source
	log    *slog.Logger
	places *quota.Pool // one for each watcher
	room   func(*quota.Tenant) broker.Room

	mu     sync.Mutex
	feeds  map[string]*feed
	closed bool
}

// feed is the one reader of a topic.
type feed struct {
	tail   broker.Tail
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	watchers map[*Watcher]struct{}
	dropped  uint64 // of tail, told to the watchers already
	ended    bool   // the reader failed
}

// Watcher is one reader's queue. Close it.
type Watcher struct {
	hub    *Hub
	topic  string
	feed   *feed
	tenant *quota.Tenant
	queue  *broker.TailBuffer
	once   sync.Once
}

// NewHub makes a hub for at most limit watchers, whose queues take their memory from
// their tenants' room.
func NewHub(source Source, limit int, room func(*quota.Tenant) broker.Room, log *slog.Logger) *Hub {
	return &Hub{source: source, log: log, places: quota.NewPool(int64(limit)), room: room, feeds: map[string]*feed{}}
}

// Watch begins to queue what arrives on topic for tenant. It fails with
// fault.Exhausted when as many of the tenant watch as may, and with
// fault.Unavailable when there are too many in all or the broker is away.
func (h *Hub) Watch(ctx context.Context, topic string, tenant *quota.Tenant) (_ *Watcher, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errStopping()
	}
	if err := h.take(tenant); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			h.places.Give(&tenant.Tails, 1)
		}
	}()
	w := &Watcher{hub: h, topic: topic, tenant: tenant, queue: broker.NewTailBufferIn(h.room(tenant))}
	if f := h.feeds[topic]; f == nil || !f.join(w) {
		f, err := h.open(ctx, topic)
		if err != nil {
			return nil, err
		}
		if !f.join(w) {
			f.stop()
			return nil, errNoReader(broker.ErrClosed, topic)
		}
		h.feeds[topic] = f
	}
	return w, nil
}

// retryTail is when somebody may have left.
const retryTail = 5 * time.Second

// take takes a place for a watcher.
func (h *Hub) take(tenant *quota.Tenant) error {
	switch h.places.Take(&tenant.Tails, 1, tenant.Limits()[quota.Tails], 0) {
	case quota.Full:
		return fault.Unavailable.New("too many are watching: at most %d may", h.places.Limit()).
			WithReason("TAIL_FULL").WithRetryAfter(retryTail)
	case quota.Over, quota.Unfair:
		return tenant.Refuse(quota.Tails, fmt.Sprintf("%d are open", tenant.Tails.Used()), retryTail)
	case quota.Given:
	}
	return nil
}

// join reports whether the feed still runs; else w is not added.
func (f *feed) join(w *Watcher) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	w.feed = f
	f.watchers[w] = struct{}{}
	return true
}

func errStopping() error {
	return fault.Unavailable.New("the gateway is stopping").WithReason("STOPPING").WithRetryAfter(time.Second)
}

func errNoReader(err error, topic string) error {
	return fault.Unavailable.Wrap(err, "%s cannot be watched now", topic).
		WithReason("TAIL_UNAVAILABLE").WithRetryAfter(2 * time.Second)
}

// open is called with mu held.
func (h *Hub) open(ctx context.Context, topic string) (*feed, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	t, err := h.source.Tail(ctx, topic)
	if err != nil {
		return nil, errNoReader(err, topic)
	}
	// The reader lives as long as anybody watches, not as long as the first.
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &feed{tail: t, cancel: stop, done: make(chan struct{}), watchers: map[*Watcher]struct{}{}}
	go h.pump(own, topic, f) // leave and Stop wait for it
	return f, nil
}

// pump hands every delivery to the watchers of its tenant until it is stopped
// or the reader fails; then it ends all watchers.
func (h *Hub) pump(ctx context.Context, topic string, f *feed) {
	defer close(f.done)
	for {
		d, err := f.tail.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				h.log.Warn("live tail ended", slog.String(telemetry.KeyTopic, topic), telemetry.Err(err))
			}
			f.end()
			return
		}
		f.offer(d)
	}
}

func (f *feed) offer(d broker.Delivery) {
	tenant := d.Header(event.HeaderTenant)
	dropped := f.tail.Dropped()
	f.mu.Lock()
	defer f.mu.Unlock()
	missed := dropped - f.dropped
	f.dropped = dropped
	for w := range f.watchers {
		if missed > 0 {
			w.queue.Skip(missed)
		}
		if w.tenant.Name() == tenant {
			w.queue.Push(d)
		}
	}
}

func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for w := range f.watchers {
		_ = w.queue.Close() // never fails
	}
}

// Next gives the next delivery, which is shared and must not be changed. It
// blocks until there is one, ctx ends or the view ends (fault.Unavailable).
func (w *Watcher) Next(ctx context.Context) (broker.Delivery, error) {
	d, err := w.queue.Next(ctx)
	if err != nil && ctx.Err() == nil {
		return d, fault.Unavailable.Wrap(err, "the view has ended").WithReason("TAIL_ENDED").WithRetryAfter(time.Second)
	}
	return d, err
}

// Missed is how many messages this watcher was too slow for.
func (w *Watcher) Missed() uint64 { return w.queue.Dropped() }

// Close ends the watcher, and the topic's reader with the last of them.
func (w *Watcher) Close() { w.once.Do(func() { w.hub.leave(w) }) }

func (h *Hub) leave(w *Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.places.Give(&w.tenant.Tails, 1)
	w.feed.mu.Lock()
	delete(w.feed.watchers, w)
	last := len(w.feed.watchers) == 0
	w.feed.mu.Unlock()
	_ = w.queue.Close() // never fails
	if !last {
		return
	}
	if h.feeds[w.topic] == w.feed {
		delete(h.feeds, w.topic)
	}
	w.feed.stop()
}

func (f *feed) stop() {
	f.cancel()
	<-f.done
	_ = f.tail.Close() // nothing is lost with a view
}

// Watchers is how many watch now.
func (h *Hub) Watchers() int { return int(h.places.Used()) }

// Stop ends all views and takes no new ones. It is safe to call twice.
func (h *Hub) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for topic, f := range h.feeds {
		f.stop()
		delete(h.feeds, topic)
	}
}
