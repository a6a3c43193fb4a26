package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"golang.org/x/sync/semaphore"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Bounds of what is on its way to the server, per publisher: bytes, and calls,
// each of which has a connection to itself.
const (
	windowBytes = 64 << 20
	windowCalls = 16
)

// publisher sends the messages of one call in one pipeline.
type publisher struct {
	conn   *conn
	window *semaphore.Weighted
	closed atomic.Bool
}

func newPublisher(c *conn) *publisher {
	return &publisher{conn: c, window: semaphore.NewWeighted(windowBytes)}
}

// Publish implements broker.Publisher. Once messages are on their way, only the
// deadline of ctx and the publish timeout end the wait for their fate, so that
// nothing refers to them after it has returned.
func (p *publisher) Publish(ctx context.Context, msgs []broker.Message) error {
	errs := make([]error, len(msgs))
	idx := make([]int, 0, len(msgs))
	size := 0
	for i := range msgs {
		if errs[i] = p.check(ctx, &msgs[i]); errs[i] == nil {
			idx = append(idx, i)
			size += msgs[i].Size()
		}
	}
	if len(idx) > 0 {
		p.send(ctx, msgs, idx, size, errs)
	}
	return broker.Published(errs)
}

// check says why a message can not be sent.
func (p *publisher) check(ctx context.Context, m *broker.Message) error {
	if err := broker.ValidMessage(m, MaxMessageBytes); err != nil {
		return err
	}
	if p.closed.Load() {
		return broker.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	if err := p.conn.link.gone(); err != nil {
		return err
	}
	p.conn.guard.watch(m.Topic)
	return nil
}

// send publishes the messages at idx and notes what became of each.
func (p *publisher) send(ctx context.Context, msgs []broker.Message, idx []int, size int, errs []error) {
	ctx, cancel := context.WithTimeout(ctx, p.conn.target.timeout)
	defer cancel()
	weight := int64(min(max(size, windowBytes/windowCalls), windowBytes))
	if err := p.window.Acquire(ctx, weight); err != nil {
		for _, i := range idx {
			errs[i] = fmt.Errorf("%w: the publish window stayed full", broker.ErrBackpressure)
		}
		return
	}
	defer p.window.Release(weight)
	pipe := p.conn.pub.Pipeline()
	cmds := make([]*goredis.Cmd, len(idx))
	stream, topic := "", ""
	for k, i := range idx {
		if m := &msgs[i]; m.Topic != topic {
			topic, stream = m.Topic, p.conn.stream(m.Topic)
		}
		cmds[k] = pipe.Do(ctx, encode(&msgs[i], stream)...)
	}
	copied := p.wait(ctx, pipe)
	_, err := pipe.Exec(ctx)
	if err != nil {
		_ = p.conn.link.observe(err)
		unsaid(cmds, err)
	}
	for k, i := range idx {
		errs[i] = outcome(cmds[k].Err(), msgs[i].Topic)
		if errs[i] == nil {
			errs[i] = copied()
		}
	}
}

// unsaid notes on each command what the server said to the connection instead of
// letting it in: that nobody more may connect, or that the password is another. The
// library tells the pipeline alone, and leaves commands that were never sent
// looking as if they had been done.
func unsaid(cmds []*goredis.Cmd, err error) {
	for _, cmd := range cmds {
		if cmd.Err() != nil || cmd.Val() != nil {
			return // the server answered the commands
		}
	}
	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
}

// wait has the pipeline end when replicas have what is before, where the URL
// asks for that, and returns what tells whether they have.
func (p *publisher) wait(ctx context.Context, pipe goredis.Pipeliner) (copied func() error) {
	want := p.conn.target.wait
	if want == 0 {
		return func() error { return nil }
	}
	deadline, _ := ctx.Deadline()                             // send has set one
	patience := max(time.Until(deadline)/2, time.Millisecond) // the answer has to come back too
	have := pipe.Do(ctx, "WAIT", want, patience.Milliseconds())
	return func() error {
		if n, err := have.Int(); err != nil || n < want {
			return fmt.Errorf("%w: %d of %d replicas have it", broker.ErrUnknownOutcome, n, want)
		}
		return nil
	}
}

// outcome is what became of a message, by the error of its command.
func outcome(err error, topic string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, goredis.Nil):
		return fmt.Errorf("topic %q: %w", topic, broker.ErrUnroutable)
	case unsent(err):
		return classify(err)
	}
	return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err)
}

// Close implements broker.Publisher.
func (p *publisher) Close(ctx context.Context) error {
	if p.closed.Swap(true) {
		return nil
	}
	defer p.conn.children.Remove(p)
	if p.window.Acquire(ctx, windowBytes) != nil {
		return fmt.Errorf("close publisher: %w", ctx.Err())
	}
	p.window.Release(windowBytes)
	return nil
}
