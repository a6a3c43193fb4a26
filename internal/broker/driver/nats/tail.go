package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// Bounds of what a tail asks for at a time, and how long the server keeps a
// tail that does not ask.
const (
	tailPull     = 256
	tailBytes    = 4 << 20
	tailInactive = 15 * time.Second
)

// tail reads an ephemeral consumer into a bounded buffer. The consumer keeps
// nothing but a cursor in the server's memory; after a reconnect it is made
// anew where the last one ended.
type tail struct {
	*broker.TailBuffer
	conn   *conn
	link   *link
	js     jetstream.JetStream
	topic  string
	inbox  string
	sub    *nats.Subscription
	in     chan *nats.Msg
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once

	// Used by Tail and then by run only.
	consumer string    // "" when it must be made
	made     time.Time // the stream
	next     uint64    // sequence to continue at; 0 is the end of the topic
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
	js, err := jetstream.New(l.nc)
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	t := &tail{
		TailBuffer: broker.NewTailBuffer(), conn: c, link: l, js: js, topic: topic,
		inbox: l.nc.NewInbox(), in: make(chan *nats.Msg, 2*tailPull+spare), done: make(chan struct{}),
	}
	if err := t.open(ctx); err != nil {
		return nil, fmt.Errorf("tail topic %q: %w", topic, c.classify(err))
	}
	if t.sub, err = l.nc.ChanSubscribe(t.inbox, t.in); err != nil {
		return nil, fmt.Errorf("tail topic %q: %w", topic, err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	go t.run(run)
	return t, c.children.Add(connect.Tail{Tail: t})
}

// open makes the consumer.
func (t *tail) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
		InactiveThreshold: tailInactive, MemoryStorage: true, Replicas: 1,
		Description: "driftmesh tail of topic " + t.topic,
	}
	stream, err := t.js.Stream(ctx, t.conn.stream(t.topic))
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	if t.next > 0 && !info.Created.Equal(t.made) {
		t.next = 1 // made anew, and all that is in it is new
	}
	t.made = info.Created
	if t.next > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, t.next
	}
	c, err := t.js.CreateConsumer(ctx, t.conn.stream(t.topic), cfg)
	if err != nil {
		return err
	}
	t.consumer = c.CachedInfo().Name
	if t.next == 0 {
		t.next = c.CachedInfo().Delivered.Stream + 1
	}
	return nil
}

// run moves messages into the buffer until the tail is closed.
func (t *tail) run(ctx context.Context) {
	defer close(t.done)
	for wait := backoff(0); ctx.Err() == nil; {
		connected, changed := t.link.state()
		var err error
		switch {
		case !connected:
			err = broker.ErrUnavailable
		case t.consumer == "":
			err = t.open(ctx)
		default:
			err = t.pull(ctx, changed)
		}
		if err == nil {
			wait = 0
			continue
		}
		t.consumer = ""
		select {
		case <-changed:
		case <-time.After(wait.duration()):
			wait = wait.next()
		case <-ctx.Done():
		}
	}
}

var errTailLost = errors.New("the tail's consumer is gone")

// pull asks once and reads until the request ends. An error means that the
// consumer must be made anew.
func (t *tail) pull(ctx context.Context, changed <-chan struct{}) error {
	body, err := json.Marshal(request{Batch: tailPull, MaxBytes: tailBytes, Expires: pullExpires, Heartbeat: pullHeartbeat})
	if err != nil {
		return err
	}
	api := "$JS.API.CONSUMER.MSG.NEXT." + t.conn.stream(t.topic) + "." + t.consumer
	if err := t.link.nc.PublishRequest(api, t.inbox, body); err != nil {
		return err
	}
	const patience = 2*pullHeartbeat + pullHeartbeat/2
	miss := time.NewTimer(patience)
	defer miss.Stop()
	for n := 0; n < tailPull; {
		select {
		case m := <-t.in:
			miss.Reset(patience)
			status := m.Header.Get(statusHeader)
			switch {
			case !isStatus(m, status):
				n++
				t.push(m)
			case status == "100":
			case ended(status, m.Header.Get(descrHeader)) == endExpired:
				return nil
			default:
				return errTailLost
			}
		case <-miss.C:
			return errTailLost
		case <-changed:
			return errTailLost
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// push buffers a message that is new.
func (t *tail) push(m *nats.Msg) {
	meta, ok := parseReply(m.Reply)
	if !ok || meta.stream < t.next {
		return
	}
	t.Skip(meta.stream - t.next) // retention was faster
	t.next = meta.stream + 1
	d := broker.Delivery{Attempt: 1, Lane: "0", Position: strconv.FormatUint(meta.stream, 10)}
	decode(m, &d.Message, meta.stored)
	d.Topic = t.topic
	t.Push(d)
}

// Close implements broker.Tail.
func (t *tail) Close() error {
	t.once.Do(func() {
		t.cancel()
		<-t.done
		// Best effort: the server forgets the consumer by itself.
		_ = t.sub.Unsubscribe()
		if t.consumer != "" {
			_ = t.link.nc.Publish("$JS.API.CONSUMER.DELETE."+t.conn.stream(t.topic)+"."+t.consumer, nil)
		}
		t.conn.children.Remove(connect.Tail{Tail: t})
	})
	return t.TailBuffer.Close()
}
