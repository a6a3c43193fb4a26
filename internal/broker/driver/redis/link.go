package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	dialTimeout  = 3 * time.Second
	askTimeout   = time.Second     // to find out what a silent server speaks
	readTimeout  = 3 * time.Second // of a read that blocks for at most blockMax
	reconnectMin = 50 * time.Millisecond
	reconnectMax = time.Second
	deniedWait   = time.Second // at least, between attempts with credentials that were refused
	steady       = 5 * time.Second
	bufferBytes  = 64 << 10
	poolSize     = 1024 // above what we use at a time
)

// link knows whether the server is there. While it is not, calls fail at once,
// and one goroutine asks until it is.
type link struct {
	target  target
	tls     *tls.Config
	log     *slog.Logger
	client  *goredis.Client
	inspect func(context.Context) // called whenever the server is there again
	host    atomic.Uint32         // index of the address in use

	ctx    context.Context //nolint:containedctx // done when close was called
	cancel context.CancelFunc
	prober sync.WaitGroup

	mu      sync.Mutex
	err     error         // why it is not there; nil: it is
	changed chan struct{} // closed and replaced at every change
	tries   int           // since it was last there for a while
	since   time.Time     // of it being there
}

func newLink(t target, config *tls.Config, log *slog.Logger, inspect func(context.Context)) *link {
	l := &link{target: t, tls: config, log: log, inspect: inspect, changed: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// options of a client of this link. It never repeats a command by itself: one
// whose answer was lost may have been done.
func (l *link) options(name string, timeout time.Duration) *goredis.Options {
	return &goredis.Options{
		Addr: l.target.addrs[0], Dialer: l.dial, ClientName: strings.Join(strings.Fields(name), "-"),
		Username: l.target.user, Password: l.target.password, DB: l.target.db,
		Protocol: 2, MaxRetries: -1, DialerRetries: 1, DialTimeout: dialTimeout,
		ReadTimeout: timeout, WriteTimeout: timeout, ContextTimeoutEnabled: true,
		PoolSize: poolSize, PipelinePoolSize: -1, ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// dial connects to the address in use, or else to the next that answers. When
// none does, it returns a connection that is broken already, which fails the
// call just the same: of failed dials the library would write to standard error,
// and after some it would begin to dial by itself.
func (l *link) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n := uint32(len(l.target.addrs))
	first := l.host.Load()
	var errs []error
	for i := range n {
		host := (first + i) % n
		c, err := l.dialOne(ctx, l.target.addrs[host])
		if err == nil {
			l.host.CompareAndSwap(first, host)
			return c, nil
		}
		errs = append(errs, err)
	}
	return brokenConn{dialError{errors.Join(errs...)}}, nil
}

func (l *link) dialOne(ctx context.Context, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if l.tls == nil {
		return c, nil
	}
	cfg := l.tls
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secure := tls.Client(c, cfg)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return secure, nil
}

// start asks the server once. It returns ErrDenied when that refuses us; when
// it is away, the link keeps trying.
func (l *link) start(ctx context.Context) error {
	err := l.try(ctx)
	if errors.Is(err, broker.ErrDenied) {
		return err
	}
	if err != nil {
		l.down(err)
	}
	return nil
}

// try asks the server whether it is there.
func (l *link) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+askTimeout)
	defer cancel()
	if err := l.client.Ping(ctx).Err(); err != nil {
		if err := l.mismatch(ctx, err); err != nil {
			return err
		}
		return classify(err)
	}
	l.inspect(ctx)
	return nil
}

// state is why the server is not there, nil when it is, and a channel closed
// when that may be different.
func (l *link) state() (changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed, l.err
}

// gone is why the server is not there, or nil.
func (l *link) gone() error {
	_, err := l.state()
	return err
}

// observe looks at the error of a call: it may mean that the server is gone.
// It returns the error with its class.
func (l *link) observe(err error) error {
	if err == nil {
		return nil
	}
	class := classify(err)
	if breaks(err) {
		if goredis.IsReadOnlyError(err) {
			l.host.Store((l.host.Load() + 1) % uint32(len(l.target.addrs))) // a replica: the primary is elsewhere
		}
		l.down(class)
	}
	return class
}

// down notes that the server is gone and begins to ask for it.
func (l *link) down(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || l.ctx.Err() != nil {
		return
	}
	if time.Since(l.since) > steady {
		l.tries = 0
	}
	l.set(err)
	l.log.Warn("broker is not reachable, trying on", "broker", l.target.hosts(), "err", err)
	l.prober.Go(l.probe)
}

// set is called with mu held.
func (l *link) set(err error) {
	l.err = err
	close(l.changed)
	l.changed = make(chan struct{})
}

// probe asks until the server is there.
func (l *link) probe() {
	for {
		l.mu.Lock()
		wait := l.delay()
		l.tries++
		l.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.ctx.Done():
			t.Stop()
			return
		}
		err := l.try(l.ctx)
		l.mu.Lock()
		l.set(err)
		if err == nil {
			l.since = time.Now()
		}
		l.mu.Unlock()
		if err == nil {
			l.log.Info("broker connected", "broker", l.target.addrs[l.host.Load()])
			return
		}
	}
}

// delay is the back-off before the next attempt; mu is held.
func (l *link) delay() time.Duration {
	if l.tries == 0 {
		return 0
	}
	d := min(reconnectMin<<min(l.tries, 10), reconnectMax)
	if errors.Is(l.err, broker.ErrDenied) {
		d = max(d, deniedWait)
	}
	return d + rand.N(d/4)
}

// ping asks the server.
func (l *link) ping(ctx context.Context) error {
	if err := l.gone(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return l.observe(l.client.Ping(ctx).Err())
}

// close ends the probing.
func (l *link) close() {
	l.mu.Lock()
	l.cancel()
	if l.err == nil {
		l.set(broker.ErrUnavailable)
	}
	l.mu.Unlock()
	l.prober.Wait()
}
