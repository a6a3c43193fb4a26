package rabbitmq

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// tailRoom bounds what the broker keeps for a tail that does not read.
const tailRoom = 64 << 20

// tail reads an exclusive queue into a bounded buffer. The queue lives as long
// as its connection; after a reconnect there is another.
type tail struct {
	*broker.TailBuffer
	conn   *conn
	link   *link
	topic  string
	ctx    context.Context //nolint:containedctx // done when Close was called
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once
	next   uint64 // running number, used by run only
}

// stream is a tail's channel on one peer.
type stream struct {
	peer       *peer
	ch         *amqp.Channel
	deliveries <-chan amqp.Delivery
}

// Tail implements broker.Broker.
func (c *conn) Tail(ctx context.Context, topic string) (broker.Tail, error) {
	if err := broker.ValidName(topic); err != nil {
		return nil, err
	}
	l, err := c.reader() //nolint:contextcheck // it lives until the broker is closed
	if err != nil {
		return nil, err
	}
	p, err := l.current()
	if err != nil {
		return nil, err
	}
	t := &tail{TailBuffer: broker.NewTailBuffer(), conn: c, link: l, topic: topic, done: make(chan struct{})}
	s, err := t.open(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("tail topic %q: %w", topic, err)
	}
	t.ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go t.run(s) //nolint:contextcheck // it runs until Close
	return t, c.children.Add(connect.Tail{Tail: t})
}

// open makes the queue and consumes it.
func (t *tail) open(ctx context.Context, p *peer) (*stream, error) {
	return call(ctx, p, func() (*stream, error) {
		ch, err := p.conn.Channel()
		if err != nil {
			return nil, err
		}
		s := &stream{peer: p, ch: ch}
		if s.deliveries, err = t.consume(ch); err != nil {
			_ = ch.Close() // closed by the broker already, as a rule
			return nil, err
		}
		return s, nil
	})
}

func (t *tail) consume(ch *amqp.Channel) (<-chan amqp.Delivery, error) {
	q, err := ch.QueueDeclare(t.conn.exchange(t.topic)+":tail-"+rand.Text(), false, true, true, false, amqp.Table{
		"x-max-length-bytes": int64(tailRoom),
	})
	if err != nil {
		return nil, err
	}
	if err := ch.QueueBind(q.Name, "", t.conn.exchange(t.topic), false, nil); err != nil {
		return nil, err
	}
	return ch.Consume(q.Name, "", true, true, false, false, nil)
}

// run moves messages into the buffer until the tail is closed.
func (t *tail) run(s *stream) {
	defer close(t.done)
	for n := 0; t.ctx.Err() == nil; n++ {
		if s != nil {
			n = 0
			t.pump(s)
		}
		wait := time.NewTimer(pause(n))
		select {
		case <-wait.C:
		case <-t.ctx.Done():
		}
		wait.Stop()
		p, err := t.link.await(t.ctx)
		if err != nil {
			return
		}
		if s, err = t.open(t.ctx, p); err != nil {
			s = nil
		}
	}
}

// pump reads until the channel ends.
func (t *tail) pump(s *stream) {
	stop := context.AfterFunc(t.ctx, func() {
		// An error means that the channel is gone, or the connection will be.
		_, _ = call(context.Background(), s.peer, func() (struct{}, error) { return struct{}{}, s.ch.Close() })
	})
	defer stop()
	for in := range s.deliveries {
		t.next++
		d := broker.Delivery{Attempt: 1, Lane: in.Exchange, Position: strconv.FormatUint(t.next, 10)}
		decode(&in, &d.Message)
		d.Topic = t.topic
		t.Push(d)
	}
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
