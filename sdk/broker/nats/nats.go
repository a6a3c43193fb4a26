// Package nats carries spans and records to the mesh over NATS JetStream. Importing
// it makes addresses with nats:// and nats+tls:// known to the SDK:
//
//	import _ "github.com/driftmesh/driftmesh/sdk/broker/nats"
//
//	client, err := sdk.New("nats://producer:PASSWORD@127.0.0.1:4222", sdk.WithAPIKey(key))
//
// Acknowledged means that the stream has the batch in the file stores of a majority
// of its replicas. Beside the parameters of package broker the URL may have creds,
// nkey and token-file, the files of NATS's other ways to log in, and inbox-prefix,
// which begins the subjects on which answers come (_INBOX).
package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/broker/internal/inbox"
)

func init() {
	sdk.RegisterTransport("nats", New)
	sdk.RegisterTransport("nats+tls", New)
}

const (
	port         = "4222"
	dialTimeout  = 3 * time.Second
	writeTimeout = 5 * time.Second // a peer that does not read for so long is gone
	pingInterval = 5 * time.Second // two without an answer are a dead peer
	reconnectMax = 5 * time.Second
	// headRoom is what of the server's max_payload is left for headers, credentials
	// among them, and for what is said about a batch that has to be parked.
	headRoom = 16 << 10
	// maxPayload is the server's own default, until it is known.
	maxPayload = 1 << 20
)

// Error codes of JetStream that say the stream or the server is full.
var full = map[jetstream.ErrorCode]bool{10023: true, 10047: true, 10077: true}

// New makes a transport to a NATS server, or several, without waiting for it.
func New(address string, cfg sdk.TransportConfig) (sdk.Transport, error) {
	a, err := inbox.Parse(address, port)
	if err != nil {
		return nil, err
	}
	p := &publisher{
		servers: "nats://" + strings.Join(a.Hosts, ",nats://"), subject: a.Prefix + ".inbox", timeout: a.Timeout,
		refused: make(chan struct{}), end: make(chan struct{}),
	}
	p.payload.Store(maxPayload)
	secure, err := a.TLS(cfg.TLS, a.Scheme == "nats+tls")
	if err == nil {
		p.options, err = p.logins(a, secure)
	}
	if err == nil {
		err = a.Done()
	}
	if err != nil {
		return nil, err
	}
	return inbox.New("NATS", a, cfg, p), nil
}

// publisher publishes to the stream of the inbox.
type publisher struct {
	servers, subject string
	timeout          time.Duration
	options          []natsgo.Option

	dialing singleflight.Group
	end     chan struct{} // closed by Close
	payload atomic.Int64  // max_payload, as of the last Publish: the library tells it under the lock that it writes under

	mu      sync.Mutex
	conn    *natsgo.Conn // nil until the first connection; then it comes back by itself
	js      jetstream.JetStream
	denied  error         // why the server does not let us in or publish, until it does
	refused chan struct{} // closed and replaced when it says so
}

// logins are the options that say who we are.
func (p *publisher) logins(a *inbox.Address, secure *tls.Config) (list []natsgo.Option, err error) {
	if a.User != "" {
		list = append(list, natsgo.UserInfo(a.User, a.Password))
	}
	if file := a.Param("creds"); file != "" {
		list = append(list, natsgo.UserCredentials(file))
	}
	if file := a.Param("nkey"); file != "" {
		option, err := natsgo.NkeyOptionFromSeed(file)
		if err != nil {
			return nil, fmt.Errorf("the broker's URL: nkey: %w", err)
		}
		list = append(list, option)
	}
	if file := a.Param("token-file"); file != "" {
		token, err := inbox.Secret(file)
		if err != nil {
			return nil, fmt.Errorf("the broker's URL: token-file: %w", err)
		}
		list = append(list, natsgo.Token(token))
	}
	if prefix := a.Param("inbox-prefix"); prefix != "" {
		list = append(list, natsgo.CustomInboxPrefix(prefix))
	}
	if secure != nil {
		list = append(list, natsgo.Secure(secure))
	}
	return list, nil
}

// dial connects for the first time; later the library does, for ever.
func (p *publisher) dial() (*natsgo.Conn, error) {
	conn, err := natsgo.Connect(p.servers, append([]natsgo.Option{
		natsgo.Name("driftmesh-sdk"),
		natsgo.Timeout(dialTimeout), natsgo.PingInterval(pingInterval), natsgo.MaxPingsOutstanding(2), natsgo.FlusherTimeout(writeTimeout),
		natsgo.MaxReconnects(-1), natsgo.IgnoreAuthErrorAbort(), natsgo.CustomReconnectDelay(delay),
		natsgo.ReconnectBufSize(-1), // what is sent while it is away fails, and is sent again by who waits for it
		natsgo.ConnectHandler(func(*natsgo.Conn) { p.deny(nil) }),
		natsgo.ReconnectHandler(func(*natsgo.Conn) { p.deny(nil) }),
		natsgo.ReconnectErrHandler(func(_ *natsgo.Conn, err error) { p.hear(err) }),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { p.hear(err) }),
	}, p.options...)...)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncTimeout(p.timeout))
	if err != nil {
		conn.Close()
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.end:
		conn.Close()
		return nil, natsgo.ErrConnectionClosed
	default:
	}
	p.conn, p.js = conn, js
	return conn, nil
}

func delay(attempts int) time.Duration {
	d := min(100*time.Millisecond<<min(attempts, 10), reconnectMax)
	return d/2 + rand.N(d/2)
}

// hear looks at what the server says of us out of turn.
func (p *publisher) hear(err error) {
	if isDenied(err) {
		p.deny(err)
	}
}

// deny notes why we are not let in, or that we are.
func (p *publisher) deny(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.denied = err; err != nil {
		close(p.refused)
		p.refused = make(chan struct{})
	}
}

// state is the connection, why it is refused, and what is closed when it is.
func (p *publisher) state() (conn *natsgo.Conn, js jetstream.JetStream, refused <-chan struct{}, denied error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn, p.js, p.refused, p.denied
}

// Publish implements inbox.Publisher.
func (p *publisher) Publish(ctx context.Context, m *inbox.Message) error {
	conn, js, refused, denied := p.state()
	if conn == nil {
		select {
		case r := <-p.dialing.DoChan("", func() (any, error) { return p.dial() }):
			if r.Err != nil {
				return p.failed(r.Err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		conn, js, refused, denied = p.state()
	}
	if limit := conn.MaxPayload(); limit > 0 {
		p.payload.Store(limit)
	}
	if !conn.IsConnected() {
		if denied != nil {
			return p.failed(denied)
		}
		return fmt.Errorf("not connected: %w", errors.Join(conn.LastError(), natsgo.ErrDisconnected))
	}
	out := &natsgo.Msg{Subject: p.subject, Data: m.Body, Header: natsgo.Header{}}
	for name, value := range m.Headers {
		out.Header[name] = []string{value}
	}
	if m.ID != "" {
		out.Header[natsgo.MsgIdHdr] = []string{m.ID}
	}
	ack, err := js.PublishMsgAsync(out, jetstream.WithRetryAttempts(0))
	if err != nil {
		return p.failed(err)
	}
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return p.failed(err)
	case <-refused:
		_, _, _, denied := p.state()
		return p.failed(denied)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func isDenied(err error) bool {
	return errors.Is(err, natsgo.ErrAuthorization) || errors.Is(err, natsgo.ErrAuthExpired) || errors.Is(err, natsgo.ErrAuthRevoked) ||
		errors.Is(err, natsgo.ErrPermissionViolation) || errors.Is(err, natsgo.ErrSecureConnWanted) || inbox.BadCertificate(err)
}

// failed says what an error means for the message.
func (p *publisher) failed(err error) error {
	var code jetstream.ErrorCode
	if of, ok := errors.AsType[jetstream.JetStreamError](err); ok && of.APIError() != nil { // the library's own have none
		code = of.APIError().ErrorCode
	}
	switch {
	case err == nil: // the server let us in meanwhile
		return inbox.Unknown(errors.New("the connection began anew"))
	case errors.Is(err, natsgo.ErrPermissionViolation):
		return inbox.Refused(fmt.Errorf("the user may not publish to %s: %w", p.subject, err))
	case isDenied(err):
		return inbox.Refused(fmt.Errorf("check user, password, creds and certificates of the URL: %w", err))
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, natsgo.ErrNoResponders):
		return fmt.Errorf("no stream takes %s: is the mesh there, and is its prefix the one of this URL? %w", p.subject, err)
	case full[code]:
		return inbox.Full(fmt.Errorf("the stream of %s is full: %w", p.subject, err))
	case code == jetstream.JSErrCodeStreamMessageExceedsMaximum, errors.Is(err, natsgo.ErrMaxPayload):
		return &sdk.TransportError{Permanent: true, Cause: fmt.Errorf("the batch is larger than max_payload or the stream's limit: make batches smaller, or raise it: %w", err)}
	case errors.Is(err, natsgo.ErrNoServers):
		return fmt.Errorf("no server accepts a connection: %w", err)
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout), errors.Is(err, natsgo.ErrDisconnected):
		return inbox.Unknown(err)
	}
	return err
}

// MaxBytes implements inbox.Publisher.
func (p *publisher) MaxBytes() int {
	limit := p.payload.Load()
	return int(max(limit-headRoom, limit/2))
}

// Close implements inbox.Publisher.
func (p *publisher) Close() error {
	p.mu.Lock()
	close(p.end)
	conn := p.conn
	p.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
	return nil
}
