package memory

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

type publisher struct {
	conn   *conn
	closed atomic.Bool
}

// Publish implements broker.Publisher.
func (p *publisher) Publish(ctx context.Context, msgs []broker.Message) error {
	var failed []broker.Failure
	s := p.conn.server
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	touched := map[*topic]struct{}{}
	for i := range msgs {
		t, err := p.target(ctx, &msgs[i])
		if err == nil && t.wouldLose(int64(msgs[i].Size())) {
			err = broker.ErrBackpressure
		}
		if err != nil {
			failed = append(failed, broker.Failure{Index: i, Err: err})
			continue
		}
		t.store(&msgs[i], now)
		touched[t] = struct{}{}
	}
	for t := range touched {
		p.conn.report(t, t.trim(now))
	}
	s.changed()
	if len(failed) > 0 {
		return &broker.PublishError{Total: len(msgs), Failed: failed}
	}
	return nil
}

func (p *publisher) target(ctx context.Context, m *broker.Message) (*topic, error) {
	if err := broker.ValidMessage(m, MaxMessageBytes); err != nil {
		return nil, err
	}
	if p.closed.Load() {
		return nil, broker.ErrClosed
	}
	if ctx.Err() != nil {
		return nil, broker.ErrUnavailable
	}
	return p.conn.server.topic(m.Topic)
}

// Close implements broker.Publisher.
func (p *publisher) Close(context.Context) error {
	p.closed.Store(true)
	return nil
}

// report tells about messages lost by retention.
func (c *conn) report(t *topic, lost map[string]int64) {
	for group, n := range lost {
		c.opts.Log.Error("messages lost by retention", "topic", t.spec.Name, "group", group, "messages", n)
		if c.opts.Lost != nil {
			c.opts.Lost(t.spec.Name, group, n)
		}
	}
}
