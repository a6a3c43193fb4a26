package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
)

// What every message carries beside its payload.
const (
	traceHeader = "traceparent"
	traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	group       = "bench"
)

// item is one message, before a side makes a message of it.
type item struct {
	id      string
	payload []byte
}

// side is one way to use a broker, with connections of its own: one for
// publishing and one for consuming, as far as the library has connections.
type side interface {
	// sender returns how one caller publishes a batch; it returns nil when all of
	// it is durable.
	sender() (func(ctx context.Context, items []item) error, error)
	// receiver joins the group of the topic.
	receiver(ctx context.Context) (receiver, error)
	// close ends the connections.
	close()
}

// receiver is one worker. It is asked by one goroutine; the batches are
// acknowledged by another, in order.
type receiver interface {
	// receive returns the next batch, of at most most messages.
	receive(ctx context.Context, most int) (batch, error)
	// close leaves the group.
	close()
}

// batch is what one receive brought.
type batch struct {
	n   int
	ack func(context.Context) error
	// size is the sum of the bytes of payloads and trace headers, to prove that
	// they were read.
	size int
}

// read counts one message.
func (b *batch) read(payload int, trace string) {
	b.n++
	b.size += payload + len(trace)
}

// load makes the items that are published: random payloads, made before, and a
// new id for each message.
type load struct {
	payloads [][]byte
	next     atomic.Uint64
	batch    int
	size     int
}

// variety is how many different payloads there are.
const variety = 1024

func newLoad(batch, size int) *load {
	l := &load{batch: batch, size: size}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	for range variety {
		p := make([]byte, 0, size+8)
		for len(p) < size {
			p = binary.LittleEndian.AppendUint64(p, random.Uint64())
		}
		l.payloads = append(l.payloads, p[:size])
	}
	return l
}

// fill makes the items of a batch.
func (l *load) fill(items []item) {
	for i := range items {
		n := l.next.Add(1)
		items[i] = item{id: strconv.FormatUint(n+1e15, 36), payload: l.payloads[n%variety]}
	}
}

// check finds out whether a batch was read whole.
func (l *load) check(b *batch) error {
	if want := b.n * (l.size + len(traceParent)); b.size != want {
		return fmt.Errorf("%d messages had %d bytes of payloads and trace headers, not %d", b.n, b.size, want)
	}
	return nil
}
