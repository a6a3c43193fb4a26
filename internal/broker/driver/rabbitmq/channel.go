package rabbitmq

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// channel is one channel for publishing, in confirm mode. The broker numbers
// publishes from 1; each carries its number as correlation id, because what it
// returns as unroutable it confirms all the same.
type channel struct {
	peer    *peer
	ch      *amqp.Channel
	returns chan amqp.Return // room for every publish in flight: the library drops what finds none
	closes  chan *amqp.Error
	mute    atomic.Bool // a confirm stayed away for the publish timeout

	mu       sync.Mutex
	last     uint64 // number of the last publish; used by the sender only
	returned map[uint64]struct{}
	why      *amqp.Error // why the broker closed the channel
}

// openChannel is called within call.
func openChannel(p *peer) (*channel, error) {
	ch, err := p.conn.Channel()
	if err != nil {
		return nil, err
	}
	c := &channel{peer: p, ch: ch, returned: map[uint64]struct{}{}}
	c.returns = ch.NotifyReturn(make(chan amqp.Return, windowMessages+1))
	c.closes = ch.NotifyClose(make(chan *amqp.Error, 1))
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	return c, nil
}

// usable reports whether the channel can be published on. One that lost a confirm
// may never get another: a queue that was made anew does not know its numbers.
func (c *channel) usable(p *peer) bool {
	return c != nil && c.peer == p && !c.mute.Load() && !c.ch.IsClosed()
}

// send publishes one message. Only one goroutine does at a time.
func (c *channel) send(exchange, key string, out *amqp.Publishing) (*amqp.DeferredConfirmation, uint64, error) {
	n := c.last + 1
	out.CorrelationId = strconv.FormatUint(n, 10)
	dc, err := c.ch.PublishWithDeferredConfirm(exchange, key, true, false, *out)
	if err == nil {
		c.last = n
	}
	return dc, n, err
}

// cameBack reports whether a confirmed publish was returned. A return precedes
// its confirm, so it is here when the confirm is.
func (c *channel) cameBack(n uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		select {
		case r, ok := <-c.returns:
			if ok {
				if id, err := strconv.ParseUint(r.CorrelationId, 10, 64); err == nil {
					c.returned[id] = struct{}{}
				}
				continue
			}
		default:
		}
		_, back := c.returned[n]
		delete(c.returned, n)
		return back
	}
}

// reason is why the broker closed the channel; nil when it did not, or the
// connection ended.
func (c *channel) reason() *amqp.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case err := <-c.closes:
		if err != nil && err.Server {
			c.why = err
		}
	default:
	}
	return c.why
}

var tooLarge = regexp.MustCompile(`larger than (?:configured )?max size (\d+)`)

// lost is the fate of a publish whose confirm never came because the channel
// ended. The broker says what it refused, but closes the channel for it: about
// the others nothing is known.
func (c *channel) lost(exchange string, size int) error {
	err := c.reason()
	if err == nil {
		return fmt.Errorf("%w: the connection ended", broker.ErrUnknownOutcome)
	}
	class := error(broker.ErrUnknownOutcome)
	named := strings.Contains(err.Reason, "'"+exchange+"'")
	switch {
	case err.Code == amqp.AccessRefused && named:
		class = broker.ErrDenied
	case err.Code == amqp.NotFound && named:
		class = broker.ErrUnroutable
	case err.Code == amqp.PreconditionFailed:
		if m := tooLarge.FindStringSubmatch(err.Reason); m != nil {
			if limit, e := strconv.Atoi(m[1]); e == nil && size > limit {
				class = broker.ErrTooLarge
			}
		}
	}
	return fmt.Errorf("%w: %w", class, err)
}

// close ends the channel, if it is open.
func (c *channel) close(ctx context.Context) {
	if c == nil || c.ch.IsClosed() {
		return
	}
	// An error means that it is gone already, or the connection will be.
	_, _ = call(ctx, c.peer, func() (struct{}, error) { return struct{}{}, c.ch.Close() })
}
