// Package redis carries spans and records to the mesh over Redis Streams. Importing
// it makes addresses with redis:// and rediss://, alone or with +sentinel or
// +cluster behind it, known to the SDK:
//
//	import _ "github.com/driftmesh/driftmesh/sdk/broker/redis"
//
//	client, err := sdk.New("rediss://producer:PASSWORD@redis.example.com?wait=1", sdk.WithAPIKey(key))
//
// Acknowledged means what the server's appendfsync says: with always it is on disk,
// with everysec a second's worth may be lost when its machine dies. Beside the
// parameters of package broker the URL may have wait, the number of replicas that
// must have a batch too (not on a cluster), and db; the path is the database, or
// behind sentinels the name of the primary, whose own parameters are sentinel-user
// and sentinel-password-file. Several hosts are a primary and its replicas: the next
// one is tried when one does not take writes.
package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/broker/internal/inbox"
)

func init() {
	for _, scheme := range []string{"redis", "rediss"} {
		for kind := range kinds {
			sdk.RegisterTransport(scheme+kind, New)
		}
	}
}

const (
	port         = "6379"
	sentinelPort = "26379"
	dialTimeout  = 3 * time.Second
	// maxBytes is what the mesh takes from Redis, less headers.
	maxBytes = 9<<20 - 16<<10
	// poolSize is above what we use at a time, so that the library never believes
	// by itself that the server is away.
	poolSize = 1024
)

// kinds are the ends of schemes, and how the servers of each belong together.
var kinds = map[string]func(p *publisher, a *inbox.Address, o *goredis.UniversalOptions) error{
	"": (*publisher).alone, "+sentinel": (*publisher).watched, "+cluster": (*publisher).spread,
}

// New makes a transport to a Redis server, or several, without waiting for it.
func New(address string, cfg sdk.TransportConfig) (sdk.Transport, error) {
	scheme, _, _ := strings.Cut(address, "://")
	_, kind, found := strings.Cut(scheme, "+")
	defaultPort := port
	if found {
		kind = "+" + kind
	}
	if kind == "+sentinel" {
		defaultPort = sentinelPort
	}
	open, known := kinds[kind]
	if !known {
		return nil, fmt.Errorf("the broker's URL: %s is not redis or rediss, alone or with +sentinel or +cluster", scheme)
	}
	a, err := inbox.Parse(address, defaultPort)
	if err != nil {
		return nil, err
	}
	p := &publisher{stream: a.Prefix + ":{inbox}", hosts: a.Hosts}
	if p.wait, err = a.Number("wait", 0, 0, 5); err != nil {
		return nil, err
	}
	if p.secure, err = a.TLS(cfg.TLS, strings.HasPrefix(scheme, "rediss")); err != nil {
		return nil, err
	}
	if err := open(p, a, p.options(a)); err != nil {
		return nil, err
	}
	if err := a.Done(); err != nil {
		return nil, errors.Join(err, p.client.Close())
	}
	return inbox.New("Redis", a, cfg, p), nil
}

// publisher adds batches to the stream of the inbox.
type publisher struct {
	stream string
	wait   int
	secure *tls.Config
	client goredis.UniversalClient

	hosts []string     // of servers that stand alone
	turn  atomic.Int64 // whose it is
}

// options of all layouts. The library never repeats a command by itself, except to
// follow a cluster: one whose answer was lost may have been done. It asks for
// nothing that a producer may not do.
func (p *publisher) options(a *inbox.Address) *goredis.UniversalOptions {
	return &goredis.UniversalOptions{
		Addrs: a.Hosts, ClientName: "driftmesh-sdk", Username: a.User, Password: a.Password, Dialer: p.dial,
		Protocol: 2, MaxRetries: -1, DialerRetries: 1, DialTimeout: dialTimeout,
		ReadTimeout: a.Timeout, WriteTimeout: a.Timeout, ContextTimeoutEnabled: true,
		PoolSize: poolSize, PipelinePoolSize: -1, MaxIdleConns: inbox.Flights, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// alone is a primary, and perhaps replicas that take its place one day.
func (p *publisher) alone(a *inbox.Address, o *goredis.UniversalOptions) (err error) {
	if o.DB, err = database(a, a.Path); err != nil {
		return err
	}
	o.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
		turn := p.turn.Load()
		conn, err := p.dial(ctx, network, p.hosts[int(turn)%len(p.hosts)])
		if _, failed := conn.(absent); failed {
			p.turn.CompareAndSwap(turn, turn+1)
		}
		return conn, err
	}
	p.client = goredis.NewClient(o.Simple())
	return nil
}

// watched are servers whose sentinels know which is the primary.
func (p *publisher) watched(a *inbox.Address, o *goredis.UniversalOptions) (err error) {
	if o.MasterName = a.Path; a.Path == "" {
		return errors.New("the broker's URL: name the primary behind the sentinels: redis+sentinel://host/name")
	}
	if o.DB, err = database(a, ""); err != nil {
		return err
	}
	o.SentinelUsername = a.Param("sentinel-user")
	if file := a.Param("sentinel-password-file"); file != "" {
		if o.SentinelPassword, err = inbox.Secret(file); err != nil {
			return fmt.Errorf("the broker's URL: sentinel-password-file: %w", err)
		}
	}
	p.client = goredis.NewFailoverClient(o.Failover())
	return nil
}

// spread is a cluster, in which the inbox is on one node.
func (p *publisher) spread(a *inbox.Address, o *goredis.UniversalOptions) error {
	if p.wait > 0 || a.Path != "" && a.Path != "0" {
		return errors.New("the broker's URL: a cluster has one database, and no parameter wait")
	}
	p.client = goredis.NewClusterClient(o.Cluster())
	return nil
}

func database(a *inbox.Address, path string) (int, error) {
	n, err := strconv.Atoi(cmp.Or(a.Param("db"), path, "0"))
	if err != nil || n < 0 {
		return 0, errors.New("the broker's URL: the database is no number")
	}
	return n, nil
}

// dial connects. When it cannot it returns a connection that fails whatever is
// done with it: of a dial that failed the library would write to standard error.
func (p *publisher) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
	if err != nil {
		return absent{dialError{err}}, nil
	}
	if p.secure == nil {
		return conn, nil
	}
	cfg := p.secure
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secure := tls.Client(conn, cfg)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return absent{dialError{fmt.Errorf("speak TLS: %w", err)}}, nil
	}
	return secure, nil
}

// dialError says that nothing was sent. It does not unwrap, or the library would
// look through it.
type dialError struct{ err error }

func (e dialError) Error() string   { return e.err.Error() }
func (e dialError) As(t any) bool   { return errors.As(e.err, t) }
func (e dialError) Is(t error) bool { return errors.Is(e.err, t) }

// absent is a connection that could not be made.
type absent struct{ err error }

func (c absent) Read([]byte) (int, error)         { return 0, c.err }
func (c absent) Write([]byte) (int, error)        { return 0, c.err }
func (c absent) Close() error                     { return nil }
func (c absent) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c absent) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c absent) SetDeadline(time.Time) error      { return nil }
func (c absent) SetReadDeadline(time.Time) error  { return nil }
func (c absent) SetWriteDeadline(time.Time) error { return nil }

// Publish implements inbox.Publisher.
func (p *publisher) Publish(ctx context.Context, m *inbox.Message) error {
	args := make([]any, 0, 8+2*len(m.Headers))
	args = append(args, "XADD", p.stream, "NOMKSTREAM", "*", "v", m.Body)
	if m.ID != "" {
		args = append(args, "i", m.ID)
	}
	for name, value := range m.Headers {
		args = append(args, "h:"+name, value)
	}
	turn := p.turn.Load()
	pipe := p.client.Pipeline()
	added := pipe.Do(ctx, args...)
	var copied *goredis.Cmd
	if p.wait > 0 {
		deadline, _ := ctx.Deadline()                             // there is one
		patience := max(time.Until(deadline)/2, time.Millisecond) // the answer has to come back too
		copied = pipe.Do(ctx, "WAIT", p.wait, patience.Milliseconds())
	}
	_, whole := pipe.Exec(ctx)
	err := added.Err()
	if err == nil && (copied == nil || copied.Err() == nil) {
		// What logging in met is not noted on the commands, none of which was sent.
		err = whole
	}
	if err != nil {
		if goredis.IsReadOnlyError(err) {
			p.turn.CompareAndSwap(turn, turn+1)
		}
		return p.failed(err)
	}
	if copied == nil {
		return nil
	}
	if n, err := copied.Int(); err != nil || n < p.wait {
		return inbox.Unknown(errors.Join(fmt.Errorf("%d of %d replicas have it", n, p.wait), err))
	}
	return nil
}

// failed says what an error means for the batch.
func (p *publisher) failed(err error) error {
	_, reply := errors.AsType[goredis.Error](err)
	says := func(words ...string) bool {
		return reply && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(err.Error(), w) })
	}
	_, unsent := errors.AsType[dialError](err)
	switch {
	case errors.Is(err, goredis.Nil):
		return fmt.Errorf("there is no stream %s: is the mesh there, and is its prefix the one of this URL?", p.stream)
	case says("exhausted the last possible ID"):
		return inbox.Full(fmt.Errorf("%s is full", p.stream))
	case says("OOM"):
		return inbox.Full(fmt.Errorf("the server has no memory left for it: %w", err))
	case says("NOPERM"):
		return inbox.Refused(fmt.Errorf("the user may not add to %s: %w", p.stream, err))
	case says("NOAUTH", "WRONGPASS", "AUTH "), inbox.BadCertificate(err):
		return inbox.Refused(fmt.Errorf("check user, password and certificates of the URL: %w", err))
	case reply, unsent, errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return inbox.Unknown(fmt.Errorf("%w; if that goes on: is it Redis, and does it want TLS?", err))
}

// MaxBytes implements inbox.Publisher.
func (*publisher) MaxBytes() int { return maxBytes }

// Close implements inbox.Publisher.
func (p *publisher) Close() error { return p.client.Close() }
