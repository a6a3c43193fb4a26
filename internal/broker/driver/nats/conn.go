package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	dialTimeout  = 3 * time.Second
	writeTimeout = 5 * time.Second // of one socket write: a peer that does not read is gone
	pingInterval = 5 * time.Second // two missed ones are a dead peer
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
	deniedWait   = time.Second // at least, between attempts with credentials that were refused
	bufferBytes  = 128 << 10   // of the write buffer: two publishes of common size
)

// link is one connection that comes back by itself.
type link struct {
	nc     *nats.Conn
	denied atomic.Pointer[error]

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced at every change of state
	publishers map[*publisher]struct{}
}

// dial connects. While the server is away it returns a link that keeps trying;
// when the server refuses us it returns ErrDenied.
func dial(name string, t target, tlsConfig *tls.Config, logger *slog.Logger) (*link, error) {
	l := &link{changed: make(chan struct{}), publishers: map[*publisher]struct{}{}}
	opts := append([]nats.Option{
		nats.Name(name),
		nats.Timeout(dialTimeout),
		nats.SetCustomDialer(dialer{}),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1), // publishes fail while down instead of piling up
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(l.delay),
		nats.WriteBufferSize(bufferBytes),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.down(logger, err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { l.up(logger, nc) }),
		nats.ConnectHandler(func(nc *nats.Conn) { l.up(logger, nc) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.refused(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.async(logger, err) }),
	}, t.auth...)
	if tlsConfig != nil {
		opts = append(opts, nats.Secure(tlsConfig))
	}
	nc, err := nats.Connect(t.servers, opts...)
	if err != nil && isDenied(err) {
		return nil, fmt.Errorf("connect to %s: %w: %w", t.servers, broker.ErrDenied, err)
	}
	if err != nil {
		logger.Warn("broker is not reachable, trying on", "broker", t.servers, "err", err)
		nc, err = nats.Connect(t.servers, append(opts, nats.RetryOnFailedConnect(true))...)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.servers, err)
	}
	l.nc = nc
	return l, nil
}

// delay is the back-off before the next round of reconnecting.
func (l *link) delay(attempts int) time.Duration {
	d := min(reconnectMin<<min(attempts, 10), reconnectMax)
	if l.denied.Load() != nil {
		d = max(d, deniedWait)
	}
	return d + rand.N(d/4)
}

func (l *link) down(logger *slog.Logger, err error) {
	if err != nil {
		logger.Warn("broker connection lost", "err", err)
	}
	for _, p := range l.users() {
		p.failAll(broker.ErrUnknownOutcome, "")
	}
	l.wake()
}

func (l *link) up(logger *slog.Logger, nc *nats.Conn) {
	l.denied.Store(nil)
	logger.Info("broker connected", "server", nc.ConnectedServerName(), "version", nc.ConnectedServerVersion())
	l.wake()
}

func (l *link) refused(err error) {
	if isDenied(err) {
		l.denied.Store(&err)
	}
}

func (l *link) async(logger *slog.Logger, err error) {
	l.refused(err)
	for _, p := range l.users() {
		p.refused(err)
	}
	logger.Warn("broker reported an error", "err", err)
}

// wake tells those who wait for a change of state.
func (l *link) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

// state returns whether we are connected and a channel closed when that may
// have changed.
func (l *link) state() (connected bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nc.IsConnected(), l.changed
}

// join lets a publisher hear of disconnects and errors until it leaves.
func (l *link) join(p *publisher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publishers[p] = struct{}{}
}

func (l *link) leave(p *publisher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.publishers, p)
}

func (l *link) users() []*publisher {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.publishers))
}

// epoch grows with every reconnect. What was sent in an epoch that ended may
// not have arrived.
func (l *link) epoch() uint64 { return l.nc.Stats().Reconnects }

// err says why we are not connected.
func (l *link) err() error {
	if e := l.denied.Load(); e != nil {
		return fmt.Errorf("%w: %w", broker.ErrDenied, *e)
	}
	return broker.ErrUnavailable
}

// ping asks the server.
func (l *link) ping(ctx context.Context) error {
	if !l.nc.IsConnected() {
		return l.err()
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := l.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	return nil
}

// isDenied reports whether a server refused us, or we it, for who it is.
func isDenied(err error) bool {
	for _, e := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrPermissionViolation, nats.ErrSecureConnRequired, nats.ErrSecureConnWanted,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.AlertError](err)
	return ok
}

// dialer makes connections whose writes can not block for ever: nats.go writes
// under the lock of the connection, so one stuck write would stop every call.
type dialer struct{}

func (dialer) Dial(network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return timedConn{c}, nil
}

type timedConn struct{ net.Conn }

func (c timedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// close ends the connection.
func (l *link) close() { l.nc.Close() }
