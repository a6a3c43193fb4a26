package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// tail reads the end of a stream into a bounded buffer; the server keeps nothing
// for it.
type tail struct {
	*broker.TailBuffer
	conn    *conn
	topic   string
	last    string // id of the last entry read
	biggest int
	cancel  context.CancelFunc
	done    chan struct{}
	once    sync.Once
}

// Tail implements broker.Broker.
func (c *conn) Tail(ctx context.Context, topic string) (broker.Tail, error) {
	if err := broker.ValidName(topic); err != nil {
		return nil, err
	}
	call, stop := context.WithTimeout(ctx, adminTimeout)
	defer stop()
	last, err := c.run(call, lastScript, topic)
	if err != nil {
		return nil, fmt.Errorf("tail topic %q: %w", topic, err)
	}
	t := &tail{
		TailBuffer: broker.NewTailBuffer(), conn: c, topic: topic, last: text(last),
		biggest: firstGuess, done: make(chan struct{}),
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	go t.run(run)
	return t, c.children.Add(connect.Tail{Tail: t})
}

// run moves entries into the buffer until the tail is closed.
func (t *tail) run(ctx context.Context) {
	defer close(t.done)
	for ctx.Err() == nil {
		changed, err := t.conn.link.state()
		if err == nil {
			changed = nil
			err = t.read(ctx)
		}
		if err == nil {
			continue
		}
		wait := time.NewTimer(claimEvery)
		select {
		case <-changed:
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
	}
}

func (t *tail) read(ctx context.Context) error {
	count := min(max(broker.TailBytes/t.biggest, 1), readMax)
	reply, err := t.conn.sub.Do(ctx, "XREAD", "COUNT", count, "BLOCK", blockMax.Milliseconds(),
		"STREAMS", t.conn.stream(t.topic), t.last).Result()
	if errors.Is(err, goredis.Nil) {
		return nil
	}
	if err != nil {
		return t.conn.link.observe(err)
	}
	t.biggest -= t.biggest / 8
	for _, e := range streamed(reply, time.Time{}) {
		var d broker.Delivery
		e.delivery(t.topic, &d)
		t.Push(d)
		t.last, t.biggest = e.id, max(t.biggest, e.size)
	}
	return nil
}

// Close implements broker.Tail.
func (t *tail) Close() error {
	t.once.Do(func() {
		t.cancel()
		<-t.done
		t.conn.children.Remove(connect.Tail{Tail: t})
	})
	return t.TailBuffer.Close()
}
