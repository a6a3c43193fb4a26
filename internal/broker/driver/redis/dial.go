package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// dialError is an error of a dial: nothing was sent. It does not unwrap, because
// the library would, and lose what it is.
type dialError struct{ err error }

func (e dialError) Error() string        { return e.err.Error() }
func (e dialError) Is(target error) bool { return errors.Is(e.err, target) }
func (e dialError) As(target any) bool   { return errors.As(e.err, target) }

// brokenConn is what became of a dial that failed.
type brokenConn struct{ err dialError }

func (c brokenConn) Read([]byte) (int, error)         { return 0, c.err }
func (c brokenConn) Write([]byte) (int, error)        { return 0, c.err }
func (c brokenConn) Close() error                     { return nil }
func (c brokenConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c brokenConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c brokenConn) SetDeadline(time.Time) error      { return nil }
func (c brokenConn) SetReadDeadline(time.Time) error  { return nil }
func (c brokenConn) SetWriteDeadline(time.Time) error { return nil }

// dialPrimary connects to the primary.
func (l *link) dialPrimary(ctx context.Context, _, _ string) (net.Conn, error) {
	addr := l.at()
	if addr == "" {
		return brokenConn{dialError{errors.New("no primary has been found yet")}}, nil
	}
	c, err := l.dialAt(ctx, addr)
	if l.at() != addr { // and whoever noticed did not know of this connection
		_ = c.Close()
		return brokenConn{dialError{errors.New("the primary is another by now")}}, nil
	}
	return c, err
}

// dialAt connects to an address. When it can not, it returns a connection that
// is broken already, which fails the call just the same: of failed dials the
// library would write to standard error, and after some it would begin to dial by
// itself.
func (l *link) dialAt(ctx context.Context, addr string) (net.Conn, error) {
	c, err := l.reach(ctx, addr)
	if err != nil {
		return brokenConn{dialError{err}}, nil //nolint:nilerr // the connection tells it
	}
	return c, nil
}

func (l *link) reach(ctx context.Context, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c = l.keep(c, addr)
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

// socket is a connection that the link can end. It shows what it is made of,
// because the library looks there whether the other side has hung up.
//
// The library gives each answer one deadline, however large it is and however slow
// the network. That tells silence only from an answer that is there at once; so the
// deadline moves on by the same time whenever something has come. An answer ends,
// as the server knows its length; whoever may send forever is not one we log in to.
type socket struct {
	*net.TCPConn
	link *link

	patience time.Duration // of the answer being read; one goroutine reads at a time
}

// SetReadDeadline implements net.Conn.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.patience = 0
	if !t.IsZero() {
		s.patience = time.Until(t)
	}
	return s.TCPConn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (s *socket) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// Read implements net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	n, err := s.TCPConn.Read(b)
	if n > 0 && err == nil && s.patience > 0 {
		err = s.TCPConn.SetReadDeadline(time.Now().Add(s.patience))
	}
	return n, err
}

// keep remembers a connection until it is closed.
func (l *link) keep(c net.Conn, addr string) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	s := &socket{TCPConn: tcp, link: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets[s] = addr
	return s
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.link.mu.Lock()
	delete(s.link.sockets, s)
	s.link.mu.Unlock()
	return s.TCPConn.Close()
}

var (
	errTLSWanted   = fmt.Errorf("%w: the server wants TLS", broker.ErrDenied)
	errPlainWanted = fmt.Errorf("%w: the server does not speak TLS", broker.ErrDenied)
)

// mismatch reports that one side speaks TLS and the other does not, which shows
// as a server that hangs up on us, or never says anything.
func (l *link) mismatch(ctx context.Context, err error) error {
	silent := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	_, dialling := errors.AsType[dialError](err)
	if isReply(err) || (l.tls != nil) != silent || (l.tls != nil) != dialling {
		return nil
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", cmp.Or(l.at(), l.target.addrs[0]))
	if err != nil {
		return nil // then it is simply not there
	}
	defer c.Close() //nolint:errcheck // nothing was said
	if l.tls == nil {
		// Nothing is said through this connection, so nobody needs to be trusted.
		if tls.Client(c, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) == nil {
			return errTLSWanted
		}
		return nil
	}
	answer := make([]byte, 1)
	if err := c.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return nil // it has hung up
	}
	if _, err := c.Write([]byte("PING\r\n")); err == nil {
		_, err = c.Read(answer)
		if err == nil && (answer[0] == '+' || answer[0] == '-') {
			return errPlainWanted
		}
	}
	return nil
}
