package rabbitmq

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	dialTimeout  = 5 * time.Second // until the handshakes are done
	writeTimeout = 5 * time.Second // of one write: a peer that does not read is gone
	frameBytes   = 128 << 10       // the broker's own default
)

// socket is a connection whose writes cannot block for ever: the library
// writes under its locks, so one stuck write would stop every call.
type socket struct {
	net.Conn
	heard atomic.Uint64 // bytes read so far
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.heard.Add(uint64(n)) //nolint:gosec // a count
	return n, err
}

// Write implements net.Conn.
func (s *socket) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(p)
}

// login is how we authenticate. The library lets no one add a capability, but
// asks for the response after it has set its own; with this one the broker says
// why it refuses us instead of closing the socket after some seconds.
type login struct {
	amqp.Authentication
	properties amqp.Table
}

// Response implements amqp.Authentication.
func (l login) Response() string {
	if capabilities, ok := l.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return l.Authentication.Response()
}

// connect opens a connection to one host.
func (l *link) connect(ctx context.Context, addr string) (*amqp.Connection, *socket, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	conn, sock, err := l.handshake(ctx, raw, addr)
	if err != nil {
		_ = raw.Close()
		return nil, nil, err
	}
	return conn, sock, nil
}

func (l *link) handshake(ctx context.Context, raw net.Conn, addr string) (*amqp.Connection, *socket, error) {
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()
	secured := raw
	if l.tls != nil {
		cfg := l.tls.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(addr)
		}
		client := tls.Client(raw, cfg)
		if err := client.HandshakeContext(ctx); err != nil {
			return nil, nil, err
		}
		secured = client
	}
	sock := &socket{Conn: secured}
	if deadline, ok := ctx.Deadline(); ok {
		if err := sock.SetDeadline(deadline); err != nil {
			return nil, nil, err
		}
	}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(l.name)
	var auth amqp.Authentication = &amqp.PlainAuth{Username: l.target.user, Password: l.target.password}
	if l.target.external {
		auth = &amqp.ExternalAuth{}
	}
	conn, err := amqp.Open(sock, amqp.Config{
		SASL: []amqp.Authentication{login{auth, properties}}, Vhost: l.target.vhost, Properties: properties,
		Heartbeat: l.target.beat, FrameSize: frameBytes, Locale: "en_US",
	})
	if err != nil {
		return nil, nil, fmt.Errorf("AMQP handshake: %w", err)
	}
	return conn, sock, nil
}
