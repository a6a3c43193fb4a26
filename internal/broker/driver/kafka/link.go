package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	probeEvery   = time.Second
	probeTimeout = 3 * time.Second
	redialMin    = 100 * time.Millisecond
	redialMax    = 2 * time.Second
	deniedWait   = time.Second // at least, between attempts with credentials that were refused
)

// link knows whether the cluster can be reached, by asking it once a second and
// whenever somebody has reason to doubt it. Clients of kafka-go find out one by
// one, each after its own timeouts.
type link struct {
	brokers []string
	dialer  *kafkago.Dialer
	log     *slog.Logger
	ask     chan chan error // a ping
	doubts  chan struct{}   // capacity 1
	cancel  context.CancelFunc
	done    chan struct{}
	conn    *kafkago.Conn // used by run only

	mu      sync.Mutex
	cause   error         // nil while the cluster is there
	changed chan struct{} // closed and replaced at every change of state
}

// newDialer is for kafka-go's older half, groups among it. opened is shown
// every connection; may be nil.
func (c *conn) newDialer(opened func(net.Conn)) *kafkago.Dialer {
	return &kafkago.Dialer{
		ClientID: c.cfg.Name, Timeout: dialTimeout, TLS: c.tls, SASLMechanism: c.sasl,
		DialFunc: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := open(ctx, network, addr)
			if err == nil && opened != nil {
				opened(conn)
			}
			return conn, err
		},
	}
}

// open makes a connection, and does not wait long for a dead host.
func open(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return timedConn{c}, nil
}

// timedConn has deadlines where kafka-go sets none, which is while it
// authenticates, and where nothing is said.
type timedConn struct{ net.Conn }

func (c timedConn) SetDeadline(t time.Time) error      { return c.Conn.SetDeadline(atMost(t)) }
func (c timedConn) SetReadDeadline(t time.Time) error  { return c.Conn.SetReadDeadline(atMost(t)) }
func (c timedConn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(atMost(t)) }

func atMost(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now().Add(requestTimeout)
	}
	return t
}

// dial asks once. While the cluster is away it returns a link that keeps
// trying; when it refuses us it returns ErrDenied.
func dial(ctx context.Context, c *conn) (*link, error) {
	l := &link{
		brokers: slices.Clone(c.target.brokers), dialer: c.newDialer(nil), log: c.cfg.Log,
		ask: make(chan chan error), doubts: make(chan struct{}, 1), done: make(chan struct{}),
		changed: make(chan struct{}), cause: broker.ErrUnavailable,
	}
	err := l.probe(ctx)
	if err != nil && isDenied(err) {
		return nil, classify(err)
	}
	if err != nil {
		l.log.Warn("broker is not reachable, trying on", "broker", strings.Join(l.brokers, ","), "err", err)
	}
	l.note(err)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	go l.run(run, err)
	return l, nil
}

// run keeps the state up to date until the link is closed.
func (l *link) run(ctx context.Context, err error) {
	defer close(l.done)
	defer l.drop()
	t := time.NewTimer(0)
	defer t.Stop()
	for fails := 0; ; {
		doubts := l.doubts
		if isDenied(err) {
			doubts = nil // credentials that were refused are not tried in a rush
		}
		var asked chan error
		select {
		case <-t.C:
		case <-doubts:
		case asked = <-l.ask:
		case <-ctx.Done():
			return
		}
		if asked == nil || !isDenied(err) {
			err = l.probe(ctx)
			l.note(err)
			fails++
			if err == nil {
				fails = 0
			}
			t.Reset(patience(fails, err))
		}
		if asked != nil {
			asked <- err
		}
	}
}

// patience is how long to wait before the next probe.
func patience(fails int, err error) time.Duration {
	if err == nil {
		return probeEvery
	}
	wait := min(redialMin<<min(fails, 10), redialMax)
	if isDenied(err) {
		wait = max(wait, deniedWait)
	}
	return wait + rand.N(wait/4)
}

// probe asks a broker for the list of brokers, on a connection of its own. A
// connection that had been good may just be old.
func (l *link) probe(ctx context.Context) error {
	if l.conn != nil {
		err := l.query(ctx)
		if ne, ok := errors.AsType[net.Error](err); err == nil || ok && ne.Timeout() {
			return err
		}
	}
	var err error
	for _, i := range rand.Perm(len(l.brokers)) {
		l.conn, err = l.dialer.DialContext(ctx, "tcp", l.brokers[i])
		if err == nil {
			err = l.query(ctx)
		}
		if err == nil || isDenied(err) {
			return err
		}
	}
	return err
}

// query uses the connection, and drops it when that fails.
func (l *link) query(ctx context.Context) error {
	deadline := time.Now().Add(probeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	err := l.conn.SetDeadline(deadline)
	if err == nil {
		_, err = l.conn.Brokers()
	}
	if err != nil {
		l.drop()
	}
	return err
}

func (l *link) drop() {
	if l.conn != nil {
		_ = l.conn.Close() // it is of no use any more
		l.conn = nil
	}
}

// note records what a probe has found.
func (l *link) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.cause
	l.cause = classify(err)
	if (was == nil) == (err == nil) {
		return
	}
	if err == nil {
		l.log.Info("broker connected", "broker", strings.Join(l.brokers, ","))
	} else if was == nil {
		l.log.Warn("broker connection lost", "err", err)
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// state returns a channel closed when the state has changed, and why the
// cluster is not there, nil if it is.
func (l *link) state() (changed <-chan struct{}, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed, l.cause
}

// err is why the cluster is not there, nil if it is.
func (l *link) err() error {
	_, cause := l.state()
	return cause
}

// doubt asks for a probe soon, after an error that may be the network's.
func (l *link) doubt(err error) {
	if err == nil {
		return
	}
	if _, ok := errors.AsType[kafkago.Error](err); ok {
		return // somebody answered
	}
	select {
	case l.doubts <- struct{}{}:
	default:
	}
}

// ping asks now.
func (l *link) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*probeTimeout)
	defer cancel()
	answer := make(chan error, 1)
	select {
	case l.ask <- answer:
	case <-l.done:
		return fmt.Errorf("%w: closed", broker.ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, ctx.Err())
	}
	select {
	case err := <-answer:
		return classify(err)
	case <-l.done:
		return fmt.Errorf("%w: closed", broker.ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, ctx.Err())
	}
}

func (l *link) close() {
	l.cancel()
	<-l.done
}
