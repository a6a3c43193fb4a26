package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/broker/internal/inbox"
)

const (
	dialTimeout  = 5 * time.Second // until the handshakes are done
	writeTimeout = 5 * time.Second // of one write: a peer that does not read is gone
	closeTimeout = time.Second     // for saying good-bye
	heartbeat    = 5 * time.Second
	frameBytes   = 128 << 10 // the broker's own default
)

// dialer is how to reach the broker.
type dialer struct {
	hosts           []string
	secure          *tls.Config
	vhost           string
	login, password string
	external        bool
}

// parse reads the URL.
func (p *publisher) parse(address string, cfg sdk.TransportConfig) (*inbox.Address, error) {
	scheme, _, _ := strings.Cut(address, "://")
	defaultPort := port
	if scheme == "amqps" {
		defaultPort = securePort
	}
	a, err := inbox.Parse(address, defaultPort)
	if err != nil {
		return nil, err
	}
	p.exchange, p.hosts, p.vhost = a.Prefix+".inbox", a.Hosts, a.Path
	if p.vhost == "" {
		p.vhost = "/"
	}
	if p.login, p.password = a.User, a.Password; p.login == "" {
		p.login, p.password = "guest", "guest"
	}
	switch auth := a.Param("auth"); auth {
	case "", "plain":
	case "external":
		p.external = true
	default:
		return nil, fmt.Errorf("the broker's URL: auth: %q is neither plain nor external", auth)
	}
	if p.secure, err = a.TLS(cfg.TLS, scheme == "amqps"); err != nil {
		return nil, err
	}
	if name := a.Param("server-name"); name != "" && p.secure != nil {
		p.secure.ServerName = name
	}
	limit, err := a.Number("max-message-bytes", maxMessage, 1<<20, 512<<20)
	if err != nil {
		return nil, err
	}
	p.limit = limit - headRoom
	return a, a.Done()
}

// user is who we say we are, which the broker verifies; with a certificate it
// knows better.
func (d *dialer) user() string {
	if d.external {
		return ""
	}
	return d.login
}

// peer is one connection.
type peer struct {
	conn *amqp.Connection
	raw  net.Conn

	mu      sync.Mutex
	blocked chan struct{} // closed while an alarm is on
}

// alarmed is closed while the broker takes no messages.
func (p *peer) alarmed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blocked
}

// watch follows what the broker says of its alarms until the connection ends.
func (p *peer) watch(blocks <-chan amqp.Blocking) {
	on := false
	for b := range blocks {
		p.mu.Lock()
		switch {
		case b.Active && !on:
			close(p.blocked)
		case !b.Active && on:
			p.blocked = make(chan struct{})
		}
		on = b.Active
		p.mu.Unlock()
	}
}

func (d *dialer) connect(addr string) (*peer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	p, err := d.handshake(ctx, raw, addr)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return p, nil
}

func (d *dialer) handshake(ctx context.Context, raw net.Conn, addr string) (*peer, error) {
	stuck := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stuck()
	conn := raw
	if d.secure != nil {
		cfg := d.secure.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(addr)
		}
		secure := tls.Client(raw, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("speak TLS: %w", err)
		}
		conn = secure
	}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName("driftmesh-sdk")
	var auth amqp.Authentication = &amqp.PlainAuth{Username: d.login, Password: d.password}
	if d.external {
		auth = &amqp.ExternalAuth{}
	}
	c, err := amqp.Open(socket{conn}, amqp.Config{
		SASL: []amqp.Authentication{told{auth, properties}}, Vhost: d.vhost, Properties: properties,
		Heartbeat: heartbeat, FrameSize: frameBytes, Locale: "en_US",
	})
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer to the AMQP handshake within %v (does the server want TLS?): %w", dialTimeout, err)
		}
		return nil, err
	}
	p := &peer{conn: c, raw: raw, blocked: make(chan struct{})}
	go p.watch(c.NotifyBlocked(make(chan amqp.Blocking, 16)))
	return p, nil
}

// abort ends the connection without a word.
func (p *peer) abort() { _ = p.raw.Close() }

// close says good-bye, for a moment.
func (p *peer) close() {
	late := time.AfterFunc(closeTimeout, p.abort)
	defer late.Stop()
	_ = p.conn.Close() // it is gone in any case
}

// socket is a connection whose writes cannot block for ever.
type socket struct{ net.Conn }

// Write implements net.Conn.
func (s socket) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

// told is how we log in. The library lets no one add a capability, but asks for the
// response after it has set its own; with this one the broker says why it refuses us
// instead of hanging up after some seconds.
type told struct {
	amqp.Authentication
	properties amqp.Table
}

// Response implements amqp.Authentication.
func (t told) Response() string {
	if capabilities, ok := t.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return t.Authentication.Response()
}

// isLogin tells whether the broker does not let us in for who we are, or we it.
func isLogin(err error) bool {
	if errors.Is(err, amqp.ErrSASL) || errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrVhost) || inbox.BadCertificate(err) {
		return true
	}
	said, ok := errors.AsType[*amqp.Error](err)
	switch {
	case !ok || !said.Server:
		return false
	case said.Code == amqp.NotAllowed: // also: too many connections
		return !strings.Contains(said.Reason, "limit")
	}
	return said.Code == amqp.AccessRefused && strings.Contains(said.Reason, "Login")
}
