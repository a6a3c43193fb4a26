package door

import (
	"cmp"
	"context"
	"fmt"
	"runtime"

	"github.com/driftmesh/driftmesh/internal/broker"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
)

// maxRounds is how many receipts may be under way at once. With one, a caller
// waits half a round trip for its turn; with many, each carries little.
const maxRounds = 2

// round is one receipt: whoever joins it before it begins is on it.
type round struct {
	led  bool          // somebody is told to publish it, or will be
	lead chan struct{} // holds a token when one of those who joined is to publish it
	done chan struct{} // closed when it is over
	err  error         // set before done is closed
}

// join joins the next round, and lets it begin where there is room. The mutex
// is held.
func (r *Receipts) join() *round {
	if r.next == nil {
		r.next = &round{lead: make(chan struct{}, 1), done: make(chan struct{})}
	}
	joined := r.next
	r.begin()
	return joined
}

// begin lets the next round begin where there is room: the first of those who
// joined it that looks publishes it. Should all of them have left, the next to
// join does. The mutex is held.
func (r *Receipts) begin() {
	if r.next == nil || r.running >= maxRounds || r.next.led {
		return
	}
	r.running++
	r.next.led = true
	r.next.lead <- struct{}{} // never blocks: it has room for one, and led lets nobody here again
}

// wait waits for the end of a round, and publishes it if told to.
func (r *Receipts) wait(ctx context.Context, joined *round) error {
	select {
	case <-joined.done:
		return joined.err
	case <-joined.lead:
		// Acknowledgements come several at a time: let those who were woken by the
		// same one join. It saves every third receipt of a busy door.
		runtime.Gosched()
		r.publish(ctx, joined)
		return joined.err
	case <-ctx.Done():
		return fmt.Errorf("%w: the receipt: %w", broker.ErrUnknownOutcome, ctx.Err())
	}
}

// publish publishes a round, of all that changed by now. What a failed one would
// have said is said by the next.
func (r *Receipts) publish(ctx context.Context, current *round) {
	r.mu.Lock()
	r.next = nil // it is current: whoever enters from here on is too late for it
	changed := r.changed
	r.changed = nil
	lanes := make([][]*lane, len(changed))
	accounts := make([]*eventv1.ReceiptAccount, len(changed))
	for i, a := range changed {
		lanes[i] = a.changed
		accounts[i] = a.receipt()
	}
	r.mu.Unlock()

	err := cmp.Or(send(ctx, r.publisher, r.messages(accounts))...)

	r.mu.Lock()
	if err != nil {
		for i, a := range changed {
			r.restore(a, lanes[i], len(accounts[i].GetRejected())+len(accounts[i].GetRefused()) > 0)
		}
	}
	r.running--
	r.begin()
	r.mu.Unlock()
	current.err = err
	close(current.done)
}

// restore marks as changed what a failed receipt was about.
func (r *Receipts) restore(a *account, lanes []*lane, refusals bool) {
	for _, l := range lanes {
		a.change(l)
	}
	a.refusals = a.refusals || refusals
	if !a.listed {
		a.listed = true
		r.changed = append(r.changed, a)
	}
}
