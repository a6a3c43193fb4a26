package broker

import (
	"context"
	"sync"
)

// Bounds of a tail's buffer.
const (
	TailMessages = 1024
	TailBytes    = 8 << 20
)

// TailBuffer is the bounded buffer behind every driver's Tail: when it is
// full, the oldest deliveries give way and are counted. It is safe for
// concurrent use.
type TailBuffer struct {
	mu      sync.Mutex
	queue   []Delivery
	bytes   int
	dropped uint64
	closed  bool
	ready   chan struct{} // capacity 1: something changed
}

// NewTailBuffer makes an empty buffer.
func NewTailBuffer() *TailBuffer { return &TailBuffer{ready: make(chan struct{}, 1)} }

// Push appends a delivery whose memory belongs to the buffer from now on.
func (t *TailBuffer) Push(d Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.queue = append(t.queue, d)
	t.bytes += d.Size()
	for len(t.queue) > TailMessages || t.bytes > TailBytes && len(t.queue) > 1 {
		t.bytes -= t.queue[0].Size()
		t.queue[0] = Delivery{}
		t.queue = t.queue[1:]
		t.dropped++
	}
	t.signal()
}

// Skip counts deliveries that never reached the buffer.
func (t *TailBuffer) Skip(n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropped += n
}

// Next implements Tail.
func (t *TailBuffer) Next(ctx context.Context) (Delivery, error) {
	for {
		if d, ok, err := t.pop(); ok || err != nil {
			return d, err
		}
		select {
		case <-t.ready:
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

func (t *TailBuffer) pop() (d Delivery, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		t.signal() // for the next waiter
		return d, false, ErrClosed
	}
	if len(t.queue) == 0 {
		return d, false, nil
	}
	d = t.queue[0]
	t.queue[0] = Delivery{}
	t.queue = t.queue[1:]
	t.bytes -= d.Size()
	if len(t.queue) > 0 {
		t.signal()
	}
	return d, true, nil
}

// signal is called with mu held.
func (t *TailBuffer) signal() {
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// Dropped implements Tail.
func (t *TailBuffer) Dropped() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Close implements Tail. It may be called twice.
func (t *TailBuffer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed, t.queue, t.bytes = true, nil, 0
	t.signal()
	return nil
}
