// Package rabbitmq carries spans and records to the mesh over RabbitMQ. Importing it
// makes addresses with amqp:// and amqps:// known to the SDK:
//
//	import _ "github.com/driftmesh/driftmesh/sdk/broker/rabbitmq"
//
//	client, err := sdk.New("amqps://producer:PASSWORD@rabbit1,rabbit2/vhost", sdk.WithAPIKey(key))
//
// Acknowledged means that a majority of the replicas of the mesh's quorum queue have
// the batch on disk: it is persistent, mandatory and confirmed. The path of the URL is
// the virtual host, without one it is /. Beside the parameters of package broker there
// are auth (plain, external: the client certificate says who we are), server-name,
// and max-message-bytes, the broker's max_message_size, which it does not tell
// (16 MiB). Every batch names its user, so a mesh with inbox-auth=broker needs no
// API key.
package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/singleflight"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/broker/internal/inbox"
)

func init() {
	sdk.RegisterTransport("amqp", New)
	sdk.RegisterTransport("amqps", New)
}

const (
	port       = "5672"
	securePort = "5671"
	maxMessage = 16 << 20 // from RabbitMQ 4 on; before it was 128 MiB
	// headRoom is what of the limit is left for what is said about a batch that has
	// to be parked; headers are apart.
	headRoom = 16 << 10
)

// New makes a transport to a RabbitMQ server, or several, without waiting for it.
func New(address string, cfg sdk.TransportConfig) (sdk.Transport, error) {
	p := &publisher{end: make(chan struct{})}
	a, err := p.parse(address, cfg)
	if err != nil {
		return nil, err
	}
	return inbox.New("RabbitMQ", a, cfg, p), nil
}

// publisher publishes to the exchange of the inbox.
type publisher struct {
	dialer
	exchange string
	limit    int

	opening singleflight.Group
	end     chan struct{} // closed by Close

	mu      sync.Mutex
	session *session // the last that was opened
}

// open gives a session on which can be published: the present one, or a new channel
// on its connection, or a new connection.
func (p *publisher) open(ctx context.Context) (*session, error) {
	s := p.current()
	if s.usable() {
		return s, nil
	}
	select {
	case r := <-p.opening.DoChan("", func() (any, error) { return p.renew() }): //nolint:contextcheck // it is for others too, who wait longer
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*session), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *publisher) current() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session
}

// renew is called by one at a time.
func (p *publisher) renew() (*session, error) {
	s := p.current()
	if s.usable() {
		return s, nil
	}
	var fresh *session
	var err error
	if s != nil && !s.peer.conn.IsClosed() {
		fresh, err = newSession(s.peer)
	} else {
		fresh, err = p.dial()
	}
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.end:
		fresh.peer.abort()
		return nil, amqp.ErrClosed
	default:
	}
	p.session = fresh
	return fresh, nil
}

// dial connects to one of the hosts, any first.
func (p *publisher) dial() (*session, error) {
	var why error
	first := rand.N(len(p.hosts))
	for i := range p.hosts {
		peer, err := p.connect(p.hosts[(first+i)%len(p.hosts)])
		if err != nil {
			why = errors.Join(why, err)
			continue
		}
		return newSession(peer)
	}
	return nil, why
}

// Publish implements inbox.Publisher.
func (p *publisher) Publish(ctx context.Context, m *inbox.Message) error {
	s, err := p.open(ctx)
	if err != nil {
		return p.failed(err)
	}
	blocked := s.peer.alarmed()
	select {
	case <-blocked:
		return errBlocked
	default:
	}
	headers := amqp.Table{}
	for name, value := range m.Headers {
		headers[name] = value
	}
	// The library writes under its locks and knows no context: a write that lasts
	// longer than the attempt ends the connection.
	stuck := context.AfterFunc(ctx, func() { s.peer.abort() })
	sent, err := s.publish(p.exchange, amqp.Publishing{
		DeliveryMode: amqp.Persistent, MessageId: m.ID, UserId: p.user(), Headers: headers, Body: m.Body,
	})
	stuck()
	if err != nil {
		return p.failed(err)
	}
	select {
	case <-sent.confirm.Done():
	case <-blocked: // the broker says so once something was sent, and reads it when the alarm is over
		return errBlocked
	case <-ctx.Done():
		s.peer.abort() // a queue that was made anew never confirms what the old one got
		return ctx.Err()
	}
	switch {
	case s.cameBack(sent.number):
		return fmt.Errorf("no queue is bound to %s: is the mesh there?", p.exchange)
	case sent.confirm.Acked():
		return nil
	case !s.ch.IsClosed():
		return inbox.Full(fmt.Errorf("the queue of %s is full", p.exchange))
	}
	return p.lost(s.reason(), len(m.Body))
}

var errBlocked = inbox.Full(errors.New("it takes no messages: an alarm about its memory or disk is on"))

// lost is the fate of a batch whose channel ended before the confirm came. The
// broker says what it refused, and closes the channel for it: about the neighbours
// nothing is known.
func (p *publisher) lost(why *amqp.Error, size int) error {
	switch {
	case why == nil:
		return inbox.Unknown(errors.New("the connection ended"))
	case why.Code == amqp.PreconditionFailed && size > sizeLimit(why):
		return inbox.TooLarge(size, sizeLimit(why))
	case why.Code == amqp.PreconditionFailed && sizeLimit(why) < noLimit:
		return inbox.Unknown(errors.New("the channel ended with a batch that was too large"))
	}
	return p.failed(why)
}

// failed says what an error means for the batch.
func (p *publisher) failed(err error) error {
	var code int
	if said, ok := errors.AsType[*amqp.Error](err); ok && said.Server {
		code = said.Code
	}
	switch {
	case isLogin(err):
		return inbox.Refused(fmt.Errorf("check user, password, virtual host and certificates of the URL: %w", err))
	case code == amqp.AccessRefused:
		return inbox.Refused(fmt.Errorf("the user may not publish to %s: %w", p.exchange, err))
	case code == amqp.NotFound:
		return fmt.Errorf("there is no exchange %s: is the mesh there, and is its prefix the one of this URL? %w", p.exchange, err)
	case code == amqp.PreconditionFailed:
		return inbox.Refused(err) // what we say of ourselves is not what it knows
	}
	return err
}

// MaxBytes implements inbox.Publisher.
func (p *publisher) MaxBytes() int { return p.limit }

// Close implements inbox.Publisher.
func (p *publisher) Close() error {
	p.mu.Lock()
	close(p.end)
	s := p.session
	p.mu.Unlock()
	if s != nil {
		s.peer.close()
	}
	return nil
}
