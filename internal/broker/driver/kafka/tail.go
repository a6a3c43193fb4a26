package kafka

import (
	"context"
	"fmt"
	"sync"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka/frontier"
)

// tail reads all partitions of a topic into a bounded buffer.
type tail struct {
	*broker.TailBuffer
	conn   *conn
	topic  string
	cancel context.CancelFunc
	done   sync.WaitGroup
	once   sync.Once
}

// Tail implements broker.Broker.
func (c *conn) Tail(ctx context.Context, topic string) (broker.Tail, error) {
	t := &tail{TailBuffer: broker.NewTailBuffer(), conn: c, topic: topic}
	var where map[int]bounds
	opening, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	err := c.persist(opening, c.sub, func(ctx context.Context) error {
		lanes, err := c.lanes(ctx, topic)
		if err == nil {
			where, err = c.offsets(ctx, topic, lanes)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tail topic %q: %w", topic, classify(err))
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = stop
	for id, b := range where {
		t.done.Go(func() { t.run(run, newPartition(id, frontier.New(b.end))) })
	}
	return t, c.children.Add(connect.Tail{Tail: t})
}

// run moves one partition's messages into the buffer until the tail is closed.
func (t *tail) run(ctx context.Context, pt *partition) {
	for wait := backoff(0); ctx.Err() == nil; {
		got, err := t.conn.fetch(ctx, place{topic: t.topic, lane: pt.id, offset: pt.pos}, fetchMost, fetchWait)
		if isOutOfRange(err) {
			err = t.skip(ctx, pt)
		}
		if err != nil {
			t.conn.link.doubt(err)
			if isMoved(err) {
				t.conn.sub.refresh()
			}
			pause(ctx, wait.duration())
			wait = wait.next()
			continue
		}
		wait = 0
		pt.pos = max(pt.pos, got.next)
		for i := range got.records {
			r := &got.records[i]
			d := broker.Delivery{Attempt: 1, Lane: pt.name, Position: pt.position(r.offset)}
			decode(r, &d.Message)
			d.Topic = t.topic
			t.Push(d)
		}
	}
}

// skip goes on where there are messages: retention was faster, or the topic
// was made anew.
func (t *tail) skip(ctx context.Context, pt *partition) error {
	where, err := t.conn.offsets(ctx, t.topic, []int{pt.id})
	if err != nil {
		return err
	}
	b := where[pt.id]
	if pt.pos < b.first {
		t.Skip(uint64(b.first - pt.pos)) //nolint:gosec // positive
	}
	if pt.pos < b.first || pt.pos > b.end {
		pt.pos = b.first
	}
	return nil
}

// Close implements broker.Tail.
func (t *tail) Close() error {
	t.once.Do(func() {
		t.cancel()
		t.done.Wait()
		t.conn.children.Remove(connect.Tail{Tail: t})
	})
	return t.TailBuffer.Close()
}
