package runner

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
)

// parkTries is how often the DLQ is tried in place before the message is given
// back, unacknowledged.
const parkTries = 3

// grave is one delivery on its way into the DLQ.
type grave struct {
	index int // of the delivery
	park  Park
	whole broker.Message
	next  broker.Message // what is tried: the whole message, or a stand-in
	rooms []int          // of the stand-ins not tried yet
	state graveState
	err   error // why the last try failed
}

// graveState is what became of a grave.
type graveState int

const (
	graveOpen    graveState = iota // it could not be tried to the end; the delivery comes again
	graveFull                      // it is durable in the DLQ
	graveRefused                   // the broker does not take even the bare facts
)

func (w *work) dig(ctx context.Context, i int, p Park) *grave {
	d := &w.batch.Deliveries[i]
	g := &grave{index: i, park: p, whole: Parked(d, p)}
	if w.cfg.Mark != nil && p.Reason != ReasonForged {
		mark(&g.whole, w.cfg.Mark(ctx, d))
	}
	g.next = g.whole
	if limit := w.cfg.Broker.Capabilities().MaxMessageBytes; limit > 0 {
		g.rooms = append(g.rooms, limit+broker.ParkRoom)
	}
	for _, room := range standInRooms {
		if len(g.rooms) == 0 || room < g.rooms[len(g.rooms)-1] {
			g.rooms = append(g.rooms, room)
		}
	}
	return g
}

// refused takes a smaller message after the broker has refused one for what it
// is, or gives up.
func (g *grave) refused() {
	if len(g.rooms) == 0 {
		g.state = graveRefused
		return
	}
	g.next, g.rooms = StandIn(&g.whole, g.rooms[0]), g.rooms[1:]
}

// bury publishes to the DLQ what fits into it. Every grave has its last state then.
func (w *work) bury(ctx context.Context, graves []*grave) {
	ctx = untraced(ctx)
	for tries, open := 0, graves; ; {
		msgs := make([]broker.Message, len(open))
		for k, g := range open {
			msgs[k] = g.next
		}
		left, smaller := open[:0:0], false
		for k, err := range fateOf(w.publisher.Publish(ctx, msgs), len(msgs)) {
			g := open[k]
			g.err = err
			switch {
			case err == nil:
				g.state = graveFull
				continue
			case errors.Is(err, broker.ErrTooLarge) || errors.Is(err, broker.ErrInvalid):
				smaller = true
				if g.refused(); g.state == graveRefused {
					continue
				}
			}
			left = append(left, g)
		}
		if open = left; len(open) == 0 {
			return
		}
		if smaller {
			continue // each grave has few stand-ins: this ends
		}
		if tries++; tries == parkTries || !w.pause(ctx, backoff(tries-1, w.cfg.BackoffMin, w.cfg.BackoffMax)) {
			return
		}
	}
}

// fateOf is what Publish returned about each of n messages.
func fateOf(err error, n int) []error {
	errs := make([]error, n)
	if pe, ok := errors.AsType[*broker.PublishError](err); ok {
		for _, f := range pe.Failed {
			errs[f.Index] = f.Err
		}
		return errs
	}
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// park puts deliveries into the DLQ, tells OnPark, and acknowledges them. What
// cannot be parked now comes again; what never can is lost, loudly, because it
// would come for ever.
func (w *work) park(ctx context.Context, idx []int, why func(i int) (Reason, error)) {
	graves := make([]*grave, len(idx))
	for k, i := range idx {
		d := &w.batch.Deliveries[i]
		p := Park{
			Group: w.cfg.Consumer.Group, Worker: w.cfg.Consumer.Member, At: time.Now(),
			Attempts: max(d.Attempt, w.failures.of(d).given, 1),
		}
		p.Reason, p.Err = why(i)
		graves[k] = w.dig(ctx, i, p)
	}
	w.bury(ctx, graves)
	var done []*grave
	var ack []int
	for _, g := range graves {
		if g.state == graveOpen {
			w.cfg.Log.Error("message could not be parked, it will come again", "id", g.whole.ID, "err", g.err)
			w.unparked(ctx, g.index, g.err)
			continue
		}
		// Whose account a forged one is on is its forger's word.
		if w.cfg.OnPark != nil && g.park.Reason != ReasonForged {
			if err := w.cfg.OnPark(ctx, &w.batch.Deliveries[g.index], g.park); err != nil {
				w.unparked(ctx, g.index, err)
				continue
			}
		}
		w.tell(g)
		done, ack = append(done, g), append(ack, g.index)
	}
	if len(ack) == 0 || !w.settle(ctx, ack, nil, 0) {
		return
	}
	m, topic, group := w.telemetry.metrics, w.cfg.Consumer.Topic, w.cfg.Consumer.Group
	for _, g := range done {
		w.trace.verdict(ctx, g.index, outcomeDead, g.park.Reason, g.park.Err)
		w.failures.forget(&w.batch.Deliveries[g.index])
		if g.state == graveRefused {
			m.unparkable.WithLabelValues(topic, group).Inc()
		} else {
			m.parked.WithLabelValues(topic, group, string(g.park.Reason)).Inc()
		}
	}
}

// tell logs what became of a message that is dead.
func (w *work) tell(g *grave) {
	d := &w.batch.Deliveries[g.index]
	log := w.cfg.Log.With("id", d.ID, "position", d.Position, "reason", g.park.Reason, "attempts", g.park.Attempts)
	switch {
	case g.state == graveRefused:
		log.Error("message lost: the broker refuses even a dead letter of its bare facts",
			"digest", digest(d.Value), "bytes", len(d.Value), "refused", g.err, "err", g.park.Err)
	case has(&g.next, event.HeaderDLQCut):
		log.Error("message parked, but not all of it", "cut", g.next.Header(event.HeaderDLQCut), "bytes", len(d.Value), "err", g.park.Err)
	default:
		log.Error("message parked", "err", g.park.Err)
	}
}
