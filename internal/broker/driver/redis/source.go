package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
	"github.com/driftmesh/driftmesh/internal/broker/source"
)

const (
	// held is how many bytes a source holds that nobody has received. Then it reads no
	// more; the server holds some for us, and hangs up when that is too much for it.
	held = 64 << 20
	// beside is about what one takes beside its value.
	beside = 256
	// silence is after how long without a message the server is asked whether it is
	// there, and then how long it has to answer.
	silence = 5 * time.Second
)

var errDeaf = fmt.Errorf("%w: nobody listens to the channel", broker.ErrUnavailable)

// origin is a channel of somebody else's. Redis keeps nothing for it: what is
// published while it does not listen is lost, to it, and so is what it holds when the
// process dies.
type origin struct {
	conn  *conn
	cfg   broker.ConsumerConfig
	gap   func(deaf time.Duration)
	slots chan struct{}
	wake  chan struct{}   // capacity 1: the buffer has more
	drawn chan struct{}   // capacity 1: the buffer has less
	life  context.Context //nolint:containedctx // until Close
	end   context.CancelCauseFunc
	done  chan struct{} // closed when run has ended
	once  sync.Once

	receiving sync.Mutex // held by Receive

	mu        sync.Mutex
	buffer    []broker.Delivery
	bytes     int // in the buffer
	listening bool
	deaf      time.Time // since when nobody listens; zero when nobody ever did
}

var _ source.Source = (*origin)(nil)

// OpenSource opens a channel of somebody else's. Its URL is that of Open with the
// parameter channel.
func OpenSource(ctx context.Context, cfg Config, how source.Config) (source.Source, error) {
	rest, own, err := connect.Cut(cfg.URL, "channel")
	if err != nil {
		return nil, err
	}
	t, err := parse(rest)
	if err != nil {
		return nil, err
	}
	t.foreign = true
	how.Consumer.Topic = cmp.Or(own["channel"], how.Consumer.Topic)
	if how.Consumer.Topic == "" {
		return nil, fmt.Errorf("%w: a source needs the name of a channel", broker.ErrInvalid)
	}
	c, err := connectTo(ctx, cfg, t)
	if err != nil {
		return nil, err
	}
	o := &origin{
		conn: c, cfg: how.Consumer, gap: how.Gap, slots: make(chan struct{}, how.Consumer.MaxInFlight),
		wake: make(chan struct{}, 1), drawn: make(chan struct{}, 1), done: make(chan struct{}),
	}
	o.life, o.end = context.WithCancelCause(context.WithoutCancel(ctx))
	go o.run()
	return o, nil
}

// run listens until Close.
func (o *origin) run() {
	defer close(o.done)
	for try := 0; o.life.Err() == nil; try++ {
		changed, err := o.conn.link.state()
		if err == nil {
			changed = nil
			if err = o.listen(); o.heard() {
				try = 0
			}
		}
		if o.life.Err() != nil {
			return
		}
		if try == 0 {
			o.conn.cfg.Log.Warn("nobody listens to the channel; what is published now is lost", "channel", o.cfg.Topic, "err", err)
		}
		wait := time.NewTimer(min(reconnectMin<<min(try, 10), reconnectMax))
		select {
		case <-wait.C:
		case <-changed:
		case <-o.life.Done():
		}
		wait.Stop()
	}
}

// listen reads the channel until something fails.
func (o *origin) listen() error {
	ps := o.conn.sub.Subscribe(o.life, o.cfg.Topic)
	defer func() { _ = ps.Close() }() // it may be broken
	asked := false
	for {
		got, err := ps.ReceiveTimeout(o.life, silence)
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() && !asked && o.life.Err() == nil {
			if asked = true; ps.Ping(o.life) == nil {
				continue
			}
		}
		if err != nil {
			return o.conn.link.observe(err)
		}
		asked = false
		switch m := got.(type) {
		case *goredis.Subscription:
			o.begun()
		case *goredis.Message:
			if !o.push(m.Payload) {
				return o.life.Err()
			}
		}
	}
}

// begun notes that we listen, and tells of the gap before.
func (o *origin) begun() {
	o.mu.Lock()
	again, since := !o.listening, o.deaf
	o.listening = true
	o.mu.Unlock()
	if !again {
		return
	}
	o.conn.cfg.Log.Info("listening to the channel", "channel", o.cfg.Topic)
	if !since.IsZero() {
		o.gap(time.Since(since))
	}
}

// heard notes that we do not listen, and reports whether we did.
func (o *origin) heard() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.listening
	if was {
		o.listening, o.deaf = false, time.Now()
	}
	return was
}

// push puts a message into the buffer when there is room; it returns false at Close.
func (o *origin) push(payload string) bool {
	for {
		o.mu.Lock()
		if len(o.buffer) == 0 || o.bytes+len(payload)+beside*(len(o.buffer)+1) <= held {
			o.buffer = append(o.buffer, broker.Delivery{Message: broker.Message{Topic: o.cfg.Topic, Value: []byte(payload), Time: time.Now()}})
			o.bytes += len(payload)
			o.mu.Unlock()
			signal(o.wake)
			return true
		}
		o.mu.Unlock()
		select {
		case <-o.drawn:
		case <-o.life.Done():
			return false
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Receive implements source.Source.
func (o *origin) Receive(ctx context.Context) (*broker.Batch, error) {
	o.receiving.Lock()
	defer o.receiving.Unlock()
	select {
	case o.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-o.life.Done():
		return nil, broker.ErrClosed
	}
	b, err := o.collect(ctx)
	if err != nil {
		<-o.slots
	}
	return b, err
}

// collect waits for a message, and then for others to come.
func (o *origin) collect(ctx context.Context) (*broker.Batch, error) {
	var over <-chan time.Time
	for {
		n, full := o.ready()
		switch {
		case full:
			return o.take(), nil
		case n > 0 && over == nil:
			linger := time.NewTimer(o.cfg.Linger)
			defer linger.Stop()
			over = linger.C
		}
		select {
		case <-o.wake:
		case <-over:
			return o.take(), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-o.life.Done():
			return nil, broker.ErrClosed
		}
	}
}

// ready is how many messages there are, and whether they make a batch.
func (o *origin) ready() (n int, full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.buffer), len(o.buffer) >= o.cfg.MaxMessages || o.bytes >= o.cfg.MaxBytes
}

// take cuts a batch off the buffer, which is not empty.
func (o *origin) take() *broker.Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, bytes := 1, len(o.buffer[0].Value)
	for n < min(len(o.buffer), o.cfg.MaxMessages) && bytes+len(o.buffer[n].Value) <= o.cfg.MaxBytes {
		bytes += len(o.buffer[n].Value)
		n++
	}
	ds := slices.Clone(o.buffer[:n])
	clear(o.buffer[:n])
	if o.buffer, o.bytes = o.buffer[n:], o.bytes-bytes; len(o.buffer) == 0 {
		o.buffer = nil
	}
	signal(o.drawn)
	return broker.NewBatch(o.life, ds, 0, &taken{origin: o, ds: ds})
}

// taken settles a batch: the server knows nothing of it.
type taken struct {
	*origin
	ds []broker.Delivery
}

// Ack implements broker.Settler.
func (*taken) Ack(context.Context, []int) error { return nil }

// Extend implements broker.Settler.
func (*taken) Extend(context.Context, []int) error { return nil }

// Settled implements broker.Settler.
func (t *taken) Settled() { <-t.slots }

// Retry implements broker.Settler: they come again, sooner than they should.
func (t *taken) Retry(_ context.Context, idx []int, _ time.Duration) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range idx {
		t.buffer = append(t.buffer, t.ds[i])
		t.bytes += len(t.ds[i].Value)
	}
	signal(t.wake)
	return nil
}

// Ping implements source.Source.
func (o *origin) Ping(ctx context.Context) error {
	if err := o.conn.Ping(ctx); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.listening {
		return errDeaf
	}
	return nil
}

// Lag implements source.Source.
func (*origin) Lag(context.Context) (broker.Lag, error) { return broker.Lag{}, broker.ErrUnsupported }

// Traits implements source.Source.
func (o *origin) Traits() source.Traits {
	return source.Traits{System: "redis", Queue: o.cfg.Topic, Group: o.cfg.Group}
}

// Close implements source.Source. What is in the buffer is lost, and counted.
func (o *origin) Close(ctx context.Context) (err error) {
	o.once.Do(func() {
		o.end(broker.ErrLeaseLost)
		err = o.conn.Close(ctx) // it ends the reading
		<-o.done
		o.mu.Lock()
		n := len(o.buffer)
		o.buffer, o.bytes = nil, 0
		o.mu.Unlock()
		if n > 0 {
			o.conn.cfg.Log.Error("messages lost: they had been received, and nobody took them in", "channel", o.cfg.Topic, "messages", n)
			if o.conn.cfg.Lost != nil {
				o.conn.cfg.Lost(o.cfg.Topic, o.cfg.Group, int64(n))
			}
		}
	})
	return err
}
