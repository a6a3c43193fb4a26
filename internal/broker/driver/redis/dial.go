package redis

import (
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
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.target.addrs[l.host.Load()])
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
