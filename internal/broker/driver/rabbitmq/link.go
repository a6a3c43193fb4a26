package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
	deniedWait   = time.Second     // at least, between attempts with credentials that were refused
	callTimeout  = 5 * time.Second // a peer that does not answer for so long is gone
	closeTimeout = time.Second     // for saying good-bye
)

// link is a connection that comes back by itself, for ever. The library can do
// that too, but lets delivery tags of the old connection settle messages of the
// new one; here each connection is a peer of its own, and what belongs to a
// peer ends with it.
type link struct {
	target target
	tls    *tls.Config
	name   string
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // done when close was called
	cancel context.CancelFunc
	done   chan struct{} // closed when run has ended
	knock  chan struct{} // capacity 1: try to connect now
	reach  func()        // called when connected

	mu      sync.Mutex
	peer    *peer         // nil while away
	why     error         // why it is away
	changed chan struct{} // closed and replaced when the peer changes
}

// peer is one connection.
type peer struct {
	conn    *amqp.Connection
	sock    *socket
	gone    chan struct{} // closed when the connection has ended
	err     error         // why; read after gone
	blocked atomic.Bool   // the broker takes no publishes: an alarm
}

// dial connects. While the broker is away it returns a link that keeps trying;
// when the broker refuses us it returns ErrDenied. reach is called whenever it
// connects.
func dial(ctx context.Context, name string, t target, secure *tls.Config, logger *slog.Logger, reach func()) (*link, error) {
	l := &link{
		target: t, tls: secure, name: name, log: logger, changed: make(chan struct{}), done: make(chan struct{}),
		knock: make(chan struct{}, 1), reach: reach,
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p, err := l.open(ctx, 0)
	if errors.Is(err, broker.ErrDenied) {
		l.cancel()
		return nil, err
	}
	if err != nil {
		l.log.Warn("broker is not reachable, trying on", "broker", l.hosts(), "err", err)
		l.why = err
	} else {
		l.up(p)
	}
	go l.run(p)
	return l, nil
}

func (l *link) hosts() string { return strings.Join(l.target.hosts, ",") }

// open connects to one of the hosts, the nth first.
func (l *link) open(ctx context.Context, n int) (*peer, error) {
	var why error
	for i := range l.target.hosts {
		host := l.target.hosts[(n+i)%len(l.target.hosts)]
		conn, sock, err := l.connect(ctx, host)
		if err == nil {
			return l.meet(conn, sock), nil
		}
		if refused(err) {
			return nil, fmt.Errorf("connect to %s: %w: %w", host, broker.ErrDenied, err)
		}
		why = fmt.Errorf("connect to %s: %w: %w", host, broker.ErrUnavailable, err)
	}
	return nil, why
}

// meet watches a new connection.
func (l *link) meet(conn *amqp.Connection, sock *socket) *peer {
	p := &peer{conn: conn, sock: sock, gone: make(chan struct{})}
	closes := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 16))
	go func() {
		if err := <-closes; err != nil {
			p.err = err
		} else {
			p.err = amqp.ErrClosed
		}
		close(p.gone)
	}()
	go func() {
		for b := range blocks {
			p.blocked.Store(b.Active)
			l.log.Warn("broker blocks publishing", "blocked", b.Active, "reason", b.Reason)
		}
	}()
	return p
}

// run keeps the link up; p is the first peer, or nil.
func (l *link) run(p *peer) {
	defer close(l.done)
	for n := 0; ; n++ {
		if p != nil {
			n = 0
			select {
			case <-p.gone:
				l.down(fmt.Errorf("%w: %w", broker.ErrUnavailable, p.err))
			case <-l.ctx.Done():
				p.close()
				return
			}
		}
		select {
		case <-time.After(l.wait(n)):
		case <-l.knock:
		case <-l.ctx.Done():
			return
		}
		var err error
		if p, err = l.open(l.ctx, n); err != nil {
			l.down(err)
			continue
		}
		l.up(p)
	}
}

// wait is the back-off before try n.
func (l *link) wait(n int) time.Duration {
	d := min(reconnectMin<<min(n, 10), reconnectMax)
	if _, err := l.current(); errors.Is(err, broker.ErrDenied) {
		d = max(d, deniedWait)
	}
	return d + rand.N(d/4)
}

func (l *link) up(p *peer) {
	product, version := p.conn.Properties["product"], p.conn.Properties["version"]
	l.log.Info("broker connected", "broker", p.conn.RemoteAddr(), "product", product, "version", version)
	l.set(p, nil)
	l.reach()
}

// hurry ends a back-off: the broker is back.
func (l *link) hurry() {
	select {
	case l.knock <- struct{}{}:
	default:
	}
}

func (l *link) down(why error) {
	if l.ctx.Err() != nil {
		return
	}
	if p, _ := l.current(); p != nil {
		l.log.Warn("broker connection lost", "err", why)
	}
	l.set(nil, why)
}

func (l *link) set(p *peer, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peer, l.why = p, why
	close(l.changed)
	l.changed = make(chan struct{})
}

// current is the peer, or why there is none.
func (l *link) current() (*peer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peer == nil {
		return nil, l.why
	}
	select {
	case <-l.peer.gone: // run has not noticed yet
		return nil, fmt.Errorf("%w: %w", broker.ErrUnavailable, l.peer.err)
	default:
		return l.peer, nil
	}
}

// await waits for a peer until ctx ends.
func (l *link) await(ctx context.Context) (*peer, error) {
	for {
		l.mu.Lock()
		p, changed := l.peer, l.changed
		l.mu.Unlock()
		if p != nil {
			select {
			case <-p.gone:
			default:
				return p, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// close ends the connection and waits until it has.
func (l *link) close() {
	l.cancel()
	<-l.done
	l.set(nil, broker.ErrClosed)
}

// abort ends the connection at once: its writes and reads fail.
func (p *peer) abort() { _ = p.sock.Close() }

func (p *peer) close() {
	if p.conn.CloseDeadline(time.Now().Add(closeTimeout)) != nil {
		p.abort()
	}
	<-p.gone
}

// call runs fn, which talks to the peer, until ctx ends. A peer of which nothing
// is heard is gone: the connection is ended, and fn returns sooner or later. An
// answer comes behind the deliveries that are on their way, which can be many
// and large: as long as they come, it is waited for. fn shares nothing with the
// caller but its result.
func call[T any](ctx context.Context, p *peer, fn func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := fn()
		done <- result{v, err}
	}()
	late := time.NewTicker(callTimeout)
	defer late.Stop()
	var none T
	for heard := p.sock.heard.Load(); ; {
		select {
		case r := <-done:
			return r.value, classify(r.err)
		case <-ctx.Done():
			return none, ended(ctx)
		case <-late.C:
		}
		before := heard
		if heard = p.sock.heard.Load(); heard-before < leastHeard {
			p.abort()
			return none, fmt.Errorf("%w: no answer within %v", broker.ErrUnavailable, callTimeout)
		}
	}
}

// leastHeard are the bytes within callTimeout that tell deliveries from
// heartbeats, which come from a peer that answers nothing too.
const leastHeard = 1 << 10

// with runs fn on a channel of its own, which an error of the broker closes.
func with[T any](ctx context.Context, p *peer, fn func(*amqp.Channel) (T, error)) (T, error) {
	return call(ctx, p, func() (T, error) {
		var none T
		ch, err := p.conn.Channel()
		if err != nil {
			return none, err
		}
		v, err := fn(ch)
		if e := ch.Close(); err == nil {
			err = e
		}
		return v, err
	})
}
