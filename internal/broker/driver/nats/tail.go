package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Bounds of what a tail asks for at a time.
const (
	tailPull      = 256
	tailPullBytes = 4 << 20
)

// tail reads an ordered ephemeral consumer into a bounded buffer. After a
// reconnect it continues where it was.
type tail struct {
	*broker.TailBuffer
	conn *conn
	msgs jetstream.MessagesContext
	once sync.Once
	done chan struct{}
}

// Tail implements broker.Broker.
func (c *conn) Tail(ctx context.Context, topic string) (broker.Tail, error) {
	l, err := c.reader()
	if err != nil {
		return nil, err
	}
	if !l.nc.IsConnected() {
		return nil, l.err()
	}
	t, err := c.openTail(ctx, l, topic)
	if err != nil {
		return nil, fmt.Errorf("tail topic %q: %w", topic, c.classify(err))
	}
	go t.run(topic)
	return t, c.add(closeTail{t})
}

func (c *conn) openTail(ctx context.Context, l *link, topic string) (*tail, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	js, err := jetstream.New(l.nc)
	if err != nil {
		return nil, err
	}
	cons, err := js.OrderedConsumer(ctx, c.stream(topic), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverNewPolicy,
	})
	if err != nil {
		return nil, err
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(tailPull, tailPullBytes))
	if err != nil {
		return nil, err
	}
	return &tail{TailBuffer: broker.NewTailBuffer(), conn: c, msgs: msgs, done: make(chan struct{})}, nil
}

// run moves messages into the buffer until the tail is closed.
func (t *tail) run(topic string) {
	defer close(t.done)
	var last uint64
	for {
		m, err := t.msgs.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return
		}
		if err != nil {
			t.conn.cfg.Log.Debug("tail", "topic", topic, "err", err)
			continue
		}
		meta, err := m.Metadata()
		if err != nil {
			continue
		}
		if seq := meta.Sequence.Stream; last > 0 && seq > last+1 {
			t.Skip(seq - last - 1)
		}
		last = meta.Sequence.Stream
		d := broker.Delivery{Attempt: 1, Lane: "0", Position: strconv.FormatUint(last, 10)}
		decode(&nats.Msg{Header: m.Headers(), Data: m.Data()}, &d.Message)
		d.Topic, d.Time = topic, broker.TimeOf(d.Headers, meta.Timestamp)
		t.Push(d)
	}
}

// Close implements broker.Tail.
func (t *tail) Close() error {
	t.once.Do(func() {
		t.msgs.Stop()
		<-t.done
		t.conn.remove(closeTail{t})
	})
	return t.TailBuffer.Close()
}

// closeTail lets the connection close a tail.
type closeTail struct{ *tail }

func (c closeTail) Close(context.Context) error { return c.tail.Close() }
