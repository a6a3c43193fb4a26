package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	dialTimeout  = 3 * time.Second
	askTimeout   = time.Second     // to find out what a silent server speaks, or who is the primary
	readTimeout  = 3 * time.Second // of a read that blocks for at most blockMax
	reconnectMin = 50 * time.Millisecond
	reconnectMax = time.Second
	deniedWait   = time.Second // at least, between attempts with credentials that were refused
	steady       = 5 * time.Second
	bufferBytes  = 64 << 10
	poolSize     = 1024 // above what we use at a time
)

// link knows whether the server is there, and which one it is. While it is not,
// calls fail at once, and one goroutine asks until it is.
//
// What one connection meets is no news of the others: a call that got no answer
// makes the link ask the server, and only if that does not answer either is it
// gone. So a read that stays silent stops no publisher, and a publisher whose
// deadline is short stops no worker.
type link struct {
	target  target
	tls     *tls.Config
	log     *slog.Logger
	seeker  *seeker
	client  goredis.UniversalClient
	inspect func(context.Context) // called whenever the server is there again

	ctx    context.Context //nolint:containedctx // done when close was called
	cancel context.CancelFunc
	asking sync.WaitGroup

	seeking sync.Mutex // held by seek

	mu      sync.Mutex
	err     error               // why it is not there; nil: it is
	changed chan struct{}       // closed and replaced at every change
	doubted bool                // somebody is asking whether it is there
	tries   int                 // since it was last there for a while
	since   time.Time           // of it being there
	primary primary             // the one in use; none in a cluster
	sockets map[net.Conn]string // and the address that each goes to
}

func newLink(t target, config *tls.Config, log *slog.Logger, inspect func(context.Context)) *link {
	l := &link{
		target: t, tls: config, log: log, inspect: inspect,
		changed: make(chan struct{}), sockets: map[net.Conn]string{},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.seeker = newSeeker(t, func(addr string) *goredis.Options {
		o := l.options("driftmesh-seeker", askTimeout).Simple()
		o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return l.dialAt(ctx, addr) }
		return o
	})
	return l
}

// connect makes a client of this link.
func (l *link) connect(name string, timeout time.Duration) goredis.UniversalClient {
	o := l.options(name, timeout)
	if l.target.layout == cluster {
		o.Dialer = func(ctx context.Context, _, addr string) (net.Conn, error) { return l.dialAt(ctx, addr) }
		return goredis.NewClusterClient(o.Cluster())
	}
	o.Dialer = l.dialPrimary
	return goredis.NewClient(o.Simple())
}

// options of a client of this link. It never repeats a command by itself, except
// to follow a cluster: one whose answer was lost may have been done.
func (l *link) options(name string, timeout time.Duration) *goredis.UniversalOptions {
	return &goredis.UniversalOptions{
		Addrs: l.target.addrs, ClientName: strings.Join(strings.Fields(name), "-"),
		Username: l.target.user, Password: l.target.password, DB: l.target.db,
		Protocol: 2, MaxRetries: -1, DialerRetries: 1, DialTimeout: dialTimeout,
		ReadTimeout: timeout, WriteTimeout: timeout, ContextTimeoutEnabled: true,
		PoolSize: poolSize, PipelinePoolSize: -1, ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
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
	if l.seeker.needed() {
		l.asking.Go(l.follow)
	}
	return nil
}

// try finds the server and asks it whether it can serve.
func (l *link) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+askTimeout)
	defer cancel()
	if err := l.seek(ctx); err != nil {
		return err
	}
	if err := l.ask(ctx); err != nil {
		if err := l.mismatch(ctx, err); err != nil {
			return err
		}
		return classify(err)
	}
	l.inspect(ctx)
	return nil
}

// ask returns nil when the server answers and may be written to.
func (l *link) ask(ctx context.Context) error {
	if c, ok := l.client.(*goredis.ClusterClient); ok {
		return askCluster(ctx, c)
	}
	if err := l.client.Ping(ctx).Err(); err != nil {
		return err
	}
	if info, err := l.client.InfoMap(ctx, "replication").Result(); err == nil && info["Replication"]["role"] == "slave" {
		return fmt.Errorf("%w: %s is a replica", broker.ErrUnavailable, l.at())
	}
	return nil // those who only publish may not ask; a replica refuses them later
}

// askCluster takes a cluster for one server: it can serve when all of it can.
func askCluster(ctx context.Context, c *goredis.ClusterClient) error {
	c.ReloadState(ctx)
	info, err := c.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") {
		return fmt.Errorf("%w: the cluster says that it is not in order", broker.ErrUnavailable)
	}
	return c.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error { return node.Ping(ctx).Err() })
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
	switch {
	case !breaks(err):
	case isReply(err):
		l.down(class)
	default:
		l.doubt()
	}
	return class
}

// doubt asks the server whether it is there, once at a time.
func (l *link) doubt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || l.doubted || l.ctx.Err() != nil {
		return
	}
	l.doubted = true
	// Close cancels under mu before it waits, and we have just looked: the group of
	// goroutines can not be waited for yet.
	l.asking.Go(func() {
		err := l.try(l.ctx)
		l.mu.Lock()
		l.doubted = false
		l.mu.Unlock()
		if err != nil {
			l.down(err)
		}
	})
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
	l.asking.Go(l.probe)
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
		if l.ctx.Err() != nil {
			l.mu.Unlock()
			return
		}
		l.set(err)
		if err == nil {
			l.since = time.Now()
		}
		l.mu.Unlock()
		if err == nil {
			l.log.Info("broker connected", "broker", cmp.Or(l.at(), l.target.hosts()))
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

// close ends the asking.
func (l *link) close() {
	l.mu.Lock()
	l.cancel()
	if l.err == nil {
		l.set(broker.ErrUnavailable)
	}
	l.mu.Unlock()
	l.asking.Wait()
	l.seeker.close()
}
