package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Settings of the writers.
const (
	batchMessages = 1000
	batchLinger   = 100 * time.Microsecond // for what other callers publish to the same partition
	laneBytes     = 1 << 20                // of unkeyed messages to one partition, per Publish
)

// lanes sends keyed messages where Java's default partitioner does, and the
// others to the lane they name.
type lanes struct{ murmur kafkago.Murmur2Balancer }

func (b lanes) Balance(m kafkago.Message, partitions ...int) int {
	if lane, ok := m.WriterData.(int); ok && m.Key == nil {
		return partitions[lane%len(partitions)]
	}
	return b.murmur.Balance(m, partitions...)
}

// writer is the writer of a topic; it counts the caller among those who fly.
func (p *publisher) writer(topic string, k *known) (*kafkago.Writer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, broker.ErrClosed
	}
	p.flying.Add(1)
	if w := p.writers[topic]; w != nil {
		return w, nil
	}
	c := p.conn
	w := &kafkago.Writer{
		Addr: c.pub.Addr, Topic: c.target.name(topic), Transport: c.pub.transport, Balancer: lanes{},
		RequiredAcks: kafkago.RequireAll, Compression: c.target.compression,
		BatchSize: batchMessages, BatchBytes: int64(k.max - frame/2), BatchTimeout: batchLinger,
		MaxAttempts: 1, // its retries would hide whether the first attempt may have been stored
		ReadTimeout: c.target.timeout, WriteTimeout: c.target.timeout,
	}
	p.writers[topic] = w
	return w, nil
}

// encode makes the wire form; lanes change when one has had its share.
func (p *publisher) encode(s *slab, msgs []broker.Message, idx []int) {
	s.reset(msgs, idx)
	now := time.Now()
	lane, left := int(p.turn.Add(1)&0xffff), laneBytes
	for n, i := range idx {
		if left -= msgs[i].Size(); left < 0 && n > 0 {
			lane, left = int(p.turn.Add(1)&0xffff), laneBytes-msgs[i].Size()
		}
		s.add(&msgs[i], lane, now)
	}
}

// spread gives each message its own error. Errors that are not about single
// messages came before anything was sent, except for the end of a context.
func spread(err error, idx []int, errs []error) error {
	var each kafkago.WriteErrors
	switch {
	case err == nil:
		for _, i := range idx {
			errs[i] = nil
		}
		return nil
	case errors.As(err, &each):
		for n, i := range idx {
			if errs[i] = nil; each[n] != nil {
				errs[i] = outcome(each[n])
			}
		}
		return nil
	case errors.Is(err, io.ErrClosedPipe):
		return broker.ErrClosed
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", broker.ErrUnknownOutcome, err)
	}
	for _, i := range idx {
		errs[i] = classify(err)
	}
	return nil
}
