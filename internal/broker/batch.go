package broker

import (
	"context"
	"sync"
	"time"
)

// Batch is what one Receive returned. It is a lease: the deliveries are the
// worker's until it settles them, or until Context is done because the lease
// was lost. Every delivery must be settled once, by Ack, Settle, or SettleSome;
// calls after success are no-ops. It is safe for concurrent use.
type Batch struct {
	// Deliveries holds at least one, in the order received. Read-only.
	Deliveries []Delivery
	// Lease is how long the worker may hold the deliveries without extending; 0
	// is for ever. Read-only.
	Lease time.Duration

	ctx     context.Context //nolint:containedctx // it is the lease
	settler Settler

	mu   sync.Mutex
	done []bool // by index
	left int
}

// Settler is a driver's side of one batch. Batch calls its methods one at a
// time and never twice for an index that succeeded.
type Settler interface {
	// Ack returns nil when the broker will never deliver these again.
	Ack(ctx context.Context, idx []int) error
	// Retry gives these back, to be delivered again not before after, as well as
	// the broker can.
	Retry(ctx context.Context, idx []int, after time.Duration) error
	// Extend renews the lease on these.
	Extend(ctx context.Context, idx []int) error
	// Settled is called once, after the last delivery was settled.
	Settled()
}

// NewBatch makes a batch, for drivers. The context is done when the lease is
// lost, with the cause ErrLeaseLost.
func NewBatch(ctx context.Context, ds []Delivery, lease time.Duration, s Settler) *Batch {
	return &Batch{Deliveries: ds, Lease: lease, ctx: ctx, settler: s, done: make([]bool, len(ds)), left: len(ds)}
}

// Context is done when the lease is lost: another worker may have the
// deliveries now.
func (b *Batch) Context() context.Context { return b.ctx }

// Size is the number of bytes of all deliveries.
func (b *Batch) Size() int {
	n := 0
	for i := range b.Deliveries {
		n += b.Deliveries[i].Size()
	}
	return n
}

// Ack acknowledges everything not yet settled. After an error the caller may
// call it again; what was not acknowledged will be delivered again.
func (b *Batch) Ack(ctx context.Context) error { return b.Settle(ctx, nil, 0) }

// Settle acknowledges everything not yet settled except retry, which it gives
// back to be delivered again, not before after as well as the broker can.
func (b *Batch) Settle(ctx context.Context, retry []int, after time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	again := make(map[int]bool, len(retry))
	for _, i := range retry {
		again[i] = true
	}
	ack := make([]int, 0, b.left)
	for i := range b.done {
		if !again[i] {
			ack = append(ack, i)
		}
	}
	return b.settle(ctx, ack, retry, after)
}

// SettleSome acknowledges ack and gives retry back, and leaves the rest with
// the caller.
func (b *Batch) SettleSome(ctx context.Context, ack, retry []int, after time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.settle(ctx, ack, retry, after)
}

// settle is called with mu held.
func (b *Batch) settle(ctx context.Context, ack, retry []int, after time.Duration) error {
	ack, retry = b.open(ack), b.open(retry)
	if len(ack)+len(retry) == 0 {
		return nil
	}
	if b.ctx.Err() != nil {
		return ErrLeaseLost
	}
	if len(ack) > 0 {
		if err := b.settler.Ack(ctx, ack); err != nil {
			return err
		}
		b.close(ack)
	}
	if len(retry) > 0 {
		if err := b.settler.Retry(ctx, retry, after); err != nil {
			return err
		}
		b.close(retry)
	}
	return nil
}

// Extend renews the lease on everything not yet settled, for another AckWait.
func (b *Batch) Extend(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return nil
	}
	if b.ctx.Err() != nil {
		return ErrLeaseLost
	}
	return b.settler.Extend(ctx, b.rest())
}

// open keeps the indexes that are not settled yet.
func (b *Batch) open(idx []int) []int {
	for _, i := range idx {
		if b.done[i] {
			kept := make([]int, 0, len(idx))
			for _, j := range idx {
				if !b.done[j] {
					kept = append(kept, j)
				}
			}
			return kept
		}
	}
	return idx
}

func (b *Batch) close(idx []int) {
	for _, i := range idx {
		if !b.done[i] {
			b.done[i] = true
			b.left--
		}
	}
	if b.left == 0 {
		b.settler.Settled()
	}
}

// Unsettled are the indexes not yet settled, in order.
func (b *Batch) Unsettled() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rest()
}

// rest is Unsettled, called with mu held.
func (b *Batch) rest() []int {
	idx := make([]int, 0, b.left)
	for i, done := range b.done {
		if !done {
			idx = append(idx, i)
		}
	}
	return idx
}
