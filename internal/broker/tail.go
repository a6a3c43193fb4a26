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
	room Room // nil is any

	mu      sync.Mutex
	queue   []Delivery
	bytes   int
	dropped uint64
	closed  bool
	ready   chan struct{} // capacity 1: something changed
}

// Room is memory that buffers have in common.
type Room interface {
	// Take takes n bytes, or reports that there are none.
	Take(n int) bool
	// Give gives n bytes back.
	Give(n int)
}

// NewTailBuffer makes an empty buffer.
func NewTailBuffer() *TailBuffer { return NewTailBufferIn(nil) }

// NewTailBufferIn makes an empty buffer that takes its memory from room: where that
// is short, its oldest deliveries give way earlier.
func NewTailBufferIn(room Room) *TailBuffer {
	return &TailBuffer{room: room, ready: make(chan struct{}, 1)}
}

// Push appends a delivery whose memory belongs to the buffer from now on.
func (t *TailBuffer) Push(d Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	for t.room != nil && !t.room.Take(d.Size()) {
		t.dropped++
		if len(t.queue) == 0 {
			return // there is no room even for this one alone
		}
		t.shift()
	}
	t.queue = append(t.queue, d)
	t.bytes += d.Size()
	for len(t.queue) > TailMessages || t.bytes > TailBytes && len(t.queue) > 1 {
		t.shift()
		t.dropped++
	}
	t.signal()
}

// shift lets go of the oldest. It is called with mu held.
func (t *TailBuffer) shift() (d Delivery) {
	d = t.queue[0]
	t.queue[0] = Delivery{}
	t.queue = t.queue[1:]
	t.bytes -= d.Size()
	if t.room != nil {
		t.room.Give(d.Size())
	}
	return d
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
	d = t.shift()
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
	if t.room != nil {
		t.room.Give(t.bytes)
	}
	t.closed, t.queue, t.bytes = true, nil, 0
	t.signal()
	return nil
}
