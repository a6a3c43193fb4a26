package connect

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// ErrFull says that publishing must wait for the slowest group.
var ErrFull = fmt.Errorf("%w: a group's backlog fills the topic", broker.ErrBackpressure)

// GuardEvery is how often a Guard looks.
const GuardEvery = time.Second

const guardTimeout = 3 * time.Second

// Guard keeps a broker that drops the oldest messages of a full topic, read or
// not, from dropping what a group has not read: it looks, once a second, at the
// topics that are published to, and says which must wait. S is what a driver
// remembers of a topic from one look to the next. It is safe for concurrent
// use.
type Guard[S any] struct {
	cfg    GuardConfig[S]
	topics sync.Map // name → *guarded[S]
	cancel context.CancelFunc
	done   chan struct{}
}

// GuardConfig of a Guard. All fields are required.
type GuardConfig[S any] struct {
	// Away reports whether there is nobody to ask.
	Away func() bool
	// Look decides about one topic. On an error the last decision stands. One
	// call is made at a time.
	Look func(ctx context.Context, topic string, seen *S) (Backlog, error)
	Log  *slog.Logger
}

// Backlog is what a look at a topic found.
type Backlog struct {
	Full bool
	// Bytes is about what the slowest group has not read, and Max what there is
	// room for.
	Bytes, Max int64
}

// guarded is what the guard knows about a topic.
type guarded[S any] struct {
	used atomic.Bool // since the last look
	full atomic.Bool
	seen S // used by run only
}

// NewGuard starts to look. Close it.
func NewGuard[S any](cfg GuardConfig[S]) *Guard[S] {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Guard[S]{cfg: cfg, cancel: cancel, done: make(chan struct{})}
	go g.run(ctx)
	return g
}

// Full reports whether publishing to a topic must wait.
func (g *Guard[S]) Full(topic string) bool {
	v, ok := g.topics.Load(topic)
	if !ok {
		if broker.IsDLQ(topic) {
			return false // dead letters go out of the back: parking must not block
		}
		v, _ = g.topics.LoadOrStore(topic, &guarded[S]{})
	}
	t := v.(*guarded[S]) //nolint:forcetypeassert // nothing else is stored
	if !t.used.Load() {
		t.used.Store(true)
	}
	return t.full.Load()
}

// Close ends it and waits.
func (g *Guard[S]) Close() {
	g.cancel()
	<-g.done
}

func (g *Guard[S]) run(ctx context.Context) {
	defer close(g.done)
	tick := time.NewTicker(GuardEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		g.topics.Range(func(name, v any) bool {
			t := v.(*guarded[S]) //nolint:forcetypeassert // nothing else is stored
			if (t.used.Swap(false) || t.full.Load()) && !g.cfg.Away() {
				g.look(ctx, name.(string), t) //nolint:forcetypeassert // nothing else is stored
			}
			return ctx.Err() == nil
		})
	}
}

func (g *Guard[S]) look(ctx context.Context, topic string, t *guarded[S]) {
	call, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	b, err := g.cfg.Look(call, topic, &t.seen)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		g.cfg.Log.Debug("backlog of a topic is not known", "topic", topic, "err", err)
	case b.Full != t.full.Swap(b.Full):
		g.cfg.Log.Warn("backlog of a topic", "topic", topic, "refuse", b.Full, "backlog_bytes", b.Bytes, "max_bytes", b.Max)
	}
}
