package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	// Bounds of what is sent and not confirmed, per publisher. A small message
	// weighs minWeight, so that the window holds at most windowMessages.
	windowBytes    = 64 << 20
	windowMessages = 4096
	minWeight      = windowBytes / windowMessages

	// lanes is how many channels a publisher has: while one caller sends, others
	// need not wait for it.
	lanes = 4
	// grace is how long a stuck write may outlast its caller's context, before
	// the connection is given up: the library still reads the caller's memory.
	grace = 250 * time.Millisecond
	// tableRoom is what a frame holds beside the headers.
	tableRoom = 4 << 10
)

var (
	errNoGroup = fmt.Errorf("%w: no group reads the topic", broker.ErrUnroutable)
	errFull    = fmt.Errorf("%w: the queue of a group is full", broker.ErrBackpressure)
	errBlocked = fmt.Errorf("%w: the broker raised an alarm about memory or disk", broker.ErrBackpressure)
	errBusy    = fmt.Errorf("%w: all channels stayed busy", broker.ErrBackpressure)
	errLate    = errors.New("no confirm within the publish timeout")
)

// publisher sends messages on a few channels and waits for their confirms.
type publisher struct {
	conn   *conn
	window *semaphore.Weighted
	free   chan *channel // lanes that nobody sends on; nil where none is open yet
	closed atomic.Bool
}

func newPublisher(c *conn) *publisher {
	p := &publisher{conn: c, window: semaphore.NewWeighted(windowBytes), free: make(chan *channel, lanes)}
	for range lanes {
		p.free <- nil
	}
	return p
}

// Publish implements broker.Publisher.
func (p *publisher) Publish(ctx context.Context, msgs []broker.Message) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.conn.target.timeout, errLate)
	defer cancel()
	f := &flight{publisher: p, ctx: ctx, msgs: msgs, sent: make([]sent, 0, len(msgs))}
	limit := p.conn.limit()
	for i := range msgs {
		err := broker.ValidMessage(&msgs[i], limit)
		if n := tableBytes(&msgs[i]); err == nil && n > frameBytes-tableRoom {
			err = fmt.Errorf("%w: headers of %d bytes", broker.ErrTooLarge, n)
		}
		f.fail(i, err)
	}
	f.send()
	for f.settled < len(f.sent) {
		f.settle()
	}
	return f.result()
}

// Close implements broker.Publisher.
func (p *publisher) Close(ctx context.Context) error {
	if p.closed.Swap(true) {
		return nil
	}
	defer p.conn.children.Remove(p)
	var err error
	if p.window.Acquire(ctx, windowBytes) != nil {
		err = fmt.Errorf("close publisher: %w", ctx.Err())
	} else {
		p.window.Release(windowBytes)
	}
	var all sync.WaitGroup
	for range lanes {
		select {
		case ch := <-p.free:
			all.Go(func() { ch.close(ctx) })
		case <-ctx.Done():
			return err
		}
	}
	all.Wait()
	for range lanes {
		p.free <- nil
	}
	return err
}
