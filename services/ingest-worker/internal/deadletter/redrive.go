package deadletter

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// Outcome is what became of a letter that was to be redriven.
type Outcome int

// The outcomes.
const (
	Done     Outcome = iota + 1 // durable in its topic
	Already                     // redriven before, and not back
	NotFound                    // the tenant has no such letter
	Refused                     // the broker will not take it
	TryAgain                    // not now
)

// Result is what became of one letter.
type Result struct {
	ID      ID
	Outcome Outcome
	Message string // why it was not redriven
}

// redriver publishes letters again. It is safe for concurrent use.
type redriver struct {
	store     *Store
	publisher broker.Publisher
	metrics   *metrics
}

// Bounds of a redrive.
const (
	maxFlight = 8 << 20 // bytes of values in memory; a larger letter goes alone
	// spare is how much of the call's time must be left to begin another flight,
	// and markTimeout is how long marking what was published may take.
	spare       = 3 * time.Second
	markTimeout = 10 * time.Second
)

// byID redrives the named letters of a tenant.
func (r *redriver) byID(ctx context.Context, tenant, by string, ids []ID) ([]Result, error) {
	letters, err := r.store.List(ctx, tenant, Filter{IDs: ids, States: []State{Parked, Redriven}}, Page{Limit: len(ids)})
	if err != nil {
		return nil, err
	}
	known := make(map[ID]*Letter, len(letters))
	for i := range letters {
		known[letters[i].ID] = &letters[i]
	}
	outcomes := make(map[ID]Result, len(ids))
	var parked []Letter
	for _, id := range ids {
		l := known[id]
		switch _, seen := outcomes[id]; {
		case seen:
		case l == nil:
			outcomes[id] = Result{id, NotFound, "there is no such dead letter"}
		case l.State == Redriven:
			outcomes[id] = Result{id, Already, "it was redriven at " + l.RedrivenAt.Format(time.RFC3339) + " and has not come back"}
		default:
			outcomes[id] = Result{ID: id}
			parked = append(parked, *l)
		}
	}
	done, err := r.redrive(ctx, tenant, by, parked)
	if err != nil {
		return nil, err
	}
	for _, result := range done {
		outcomes[result.ID] = result
	}
	results := make([]Result, len(ids))
	for i, id := range ids {
		results[i] = outcomes[id]
	}
	return results, nil
}

// byFilter redrives parked letters of a tenant that match, the first parked
// first, at most limit of them; more tells whether there are others. It passes
// by those of which only a part is kept.
func (r *redriver) byFilter(ctx context.Context, tenant, by string, f Filter, limit int) (_ []Result, more bool, _ error) {
	f.States, f.Whole = []State{Parked}, true
	letters, err := r.store.List(ctx, tenant, f, Page{Order: OldestFirst, Limit: limit + 1})
	if err != nil {
		return nil, false, err
	}
	if more = len(letters) > limit; more {
		letters = letters[:limit]
	}
	results, err := r.redrive(ctx, tenant, by, letters)
	return results, more, err
}

// redrive publishes parked letters in flights and answers for each, in their
// order. The error is of the store: what was published before it may not be
// marked, and publishing that again changes nothing.
func (r *redriver) redrive(ctx context.Context, tenant, by string, letters []Letter) ([]Result, error) {
	results := make([]Result, 0, len(letters))
	for first := true; len(letters) > 0; first = false {
		n := flight(letters)
		if deadline, ok := ctx.Deadline(); ok && !first && time.Until(deadline) < spare {
			for i := range letters {
				results = append(results, Result{letters[i].ID, TryAgain, "time was up"})
			}
			return results, nil
		}
		done, err := r.fly(ctx, tenant, by, letters[:n])
		if err != nil {
			return nil, err
		}
		results, letters = append(results, done...), letters[n:]
	}
	return results, nil
}

// flight is how many of the letters go at once.
func flight(letters []Letter) int {
	size := 0
	for i := range letters {
		if size += letters[i].Bytes; i > 0 && size > maxFlight {
			return i
		}
	}
	return len(letters)
}

// fly publishes some letters and marks those that are durable.
func (r *redriver) fly(ctx context.Context, tenant, by string, letters []Letter) ([]Result, error) {
	ids := make([]ID, len(letters))
	for i := range letters {
		ids[i] = letters[i].ID
	}
	loaded, contents, err := r.store.Load(ctx, tenant, ids)
	if err != nil {
		return nil, err
	}
	results, place := make([]Result, len(ids)), make(map[ID]int, len(ids))
	for i, id := range ids {
		results[i], place[id] = Result{id, NotFound, "the dead letter is gone"}, i
	}
	var msgs []broker.Message
	var sent []int // of msgs in loaded
	for i := range loaded {
		l := &loaded[i]
		if _, known := event.Lookup(l.Topic); !known {
			results[place[l.ID]] = Result{l.ID, Refused, "the mesh has no topic " + l.Topic}
			continue
		}
		if l.partial() {
			results[place[l.ID]] = Result{l.ID, Refused, "only a part of the message is kept (" + l.lack() + "): have its producer send it again"}
			continue
		}
		msgs, sent = append(msgs, l.message(&contents[i])), append(sent, i)
	}
	if len(msgs) == 0 {
		return results, nil
	}
	var durable []Letter
	for k, err := range r.publish(ctx, msgs) {
		l := &loaded[sent[k]]
		results[place[l.ID]] = resultOf(l.ID, err)
		if err == nil {
			durable = append(durable, *l)
			r.metrics.redriven(l)
		}
	}
	// What is published is to be marked, whether or not the caller still waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	return results, r.store.Mark(ctx, durable, time.Now(), by)
}

// publish gives the fate of each message.
func (r *redriver) publish(ctx context.Context, msgs []broker.Message) []error {
	fates := make([]error, len(msgs))
	err := r.publisher.Publish(ctx, msgs)
	if pe, ok := errors.AsType[*broker.PublishError](err); ok {
		for _, f := range pe.Failed {
			fates[f.Index] = f.Err
		}
		return fates
	}
	for i := range fates {
		fates[i] = err
	}
	return fates
}

func resultOf(id ID, err error) Result {
	switch {
	case err == nil:
		return Result{ID: id, Outcome: Done}
	case broker.Permanent(err):
		return Result{id, Refused, fault.Of(err).Message()}
	}
	return Result{id, TryAgain, fault.Of(err).Message()}
}
