package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// work is one batch in a runner's hands. One goroutine uses it.
type work struct {
	*Runner
	batch    *broker.Batch
	received time.Time
	trace    *batchTrace
	stored   int       // messages done so far
	failed   []failure // messages that failed alone so far
}

func (r *Runner) begin(ctx context.Context, b *broker.Batch) *work {
	m, topic, group := r.telemetry.metrics, r.cfg.Consumer.Topic, r.cfg.Consumer.Group
	w := &work{Runner: r, batch: b, received: time.Now()}
	m.inFlight.WithLabelValues(topic, group).Add(float64(len(b.Deliveries)))
	dwell, again := m.dwell.WithLabelValues(topic, group), 0
	for i := range b.Deliveries {
		dwell.Observe(max(w.received.Sub(b.Deliveries[i].Time), 0).Seconds())
		if b.Deliveries[i].Attempt > 1 {
			again++
		}
	}
	m.redelivered.WithLabelValues(topic, group).Add(float64(again))
	w.trace = r.telemetry.startBatch(ctx, &r.cfg.Consumer, b, w.received)
	return w
}

func (w *work) end() {
	m, topic, group := w.telemetry.metrics, w.cfg.Consumer.Topic, w.cfg.Consumer.Group
	m.inFlight.WithLabelValues(topic, group).Sub(float64(len(w.batch.Deliveries)))
	m.processTime.WithLabelValues(topic, group).Observe(time.Since(w.received).Seconds())
	w.trace.end()
}

// run handles everything and settles it.
func (w *work) run(ctx context.Context) {
	w.handleAll(ctx)
	w.conclude(ctx)
}

// handleAll handles everything, the suspects of crashing us last.
func (w *work) handleAll(ctx context.Context) {
	good := make([]int, 0, len(w.batch.Deliveries))
	var suspects, dead, forged []int
	seal, why := broker.SealOf(w.cfg.Broker), map[int]error{}
	for i := range w.batch.Deliveries {
		if seal != nil {
			if err := seal.Check(&w.batch.Deliveries[i].Message); err != nil {
				forged, why[i] = append(forged, i), err
				continue
			}
		}
		switch w.suspicion(&w.batch.Deliveries[i]) {
		case 0:
			good = append(good, i)
		case 1:
			suspects = append(suspects, i)
		default:
			dead = append(dead, i)
		}
	}
	if len(forged) > 0 {
		w.park(ctx, forged, func(i int) (Reason, error) { return ReasonForged, why[i] })
	}
	if len(dead) > 0 {
		crashed := errors.New("every attempt ended without a verdict: it seems to crash its workers")
		w.park(ctx, dead, func(int) (Reason, error) { return ReasonMaxDeliveries, crashed })
	}
	if len(good) > 0 {
		w.try(ctx, good)
	}
	w.handleSuspects(ctx, suspects)
}

// handleSuspects tries messages one by one that may crash us, one in the whole
// process at a time and in random order: whoever is not the culprit has an even
// chance in each round to be done before it strikes.
func (w *work) handleSuspects(ctx context.Context, suspects []int) {
	if len(suspects) == 0 || !w.pause(ctx, rand.N(w.cfg.BackoffMin+1)) {
		return
	}
	w.suspects.Lock()
	defer w.suspects.Unlock()
	rand.Shuffle(len(suspects), func(i, j int) { suspects[i], suspects[j] = suspects[j], suspects[i] })
	for _, i := range suspects {
		if ctx.Err() != nil || w.stopped() {
			return
		}
		w.try(ctx, []int{i})
	}
}

// suspicion is 0 for a message like any other, 1 for one that may crash its
// workers, 2 for one that has done so too often. A process that is new knows
// nothing of what was given back before; there is little of that (see renew).
func (w *work) suspicion(d *broker.Delivery) int {
	unexplained := d.Attempt - 1 - w.failures.of(d).given
	switch {
	case unexplained <= w.cfg.MaxAttempts:
		return 0
	case w.cfg.MaxCrashes < 0 || unexplained <= w.cfg.MaxAttempts+w.cfg.MaxCrashes:
		return 1
	}
	return 2
}

func (w *work) stopped() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

// Limits of retrying in place.
const (
	conflictTries = 3 // at once
	failTries     = 2 // with back-off, before a batch is halved

	// When so many messages fail alone and none is done, it is not the messages;
	// but after so many rounds of that it is said to be.
	systemic       = 8
	systemicRounds = 20
)

// try handles some deliveries until each is settled, or ctx or the runner ends,
// or there is no use any more. The end of the batch gives back what is left.
func (w *work) try(ctx context.Context, idx []int) {
	for n, conflicts, fails := 0, 0, 0; ctx.Err() == nil && !w.sick(); n++ {
		verdicts, err := w.invoke(ctx, idx)
		if err == nil {
			var away Verdict
			if idx, away = w.apply(ctx, idx, verdicts); len(idx) == 0 {
				return
			}
			if err = away.err; !w.lingers(idx) {
				w.setAside(ctx, idx, err)
				return
			}
		}
		wait := backoff(n, w.cfg.BackoffMin, w.cfg.BackoffMax)
		switch reactionTo(err) {
		case reactDone:
			w.apply(ctx, idx, nil)
			return
		case reactPark:
			w.isolate(ctx, idx, err)
			return
		case reactGiveBack:
			return // the end of the batch gives it back
		case reactWait:
			wait = max(wait, fault.Of(err).RetryAfter())
		case reactRetry:
			if conflicts++; conflicts <= conflictTries {
				wait = backoff(0, w.cfg.BackoffMin/10, w.cfg.BackoffMin)
				break
			}
			fallthrough
		default:
			if fails++; fails > failTries || len(idx) == 1 {
				w.isolate(ctx, idx, err)
				return
			}
		}
		w.cfg.Log.Warn("batch failed, or waits, trying again", "messages", len(idx), "tries", n+1, "wait", wait, "err", err)
		if !w.pause(ctx, wait) {
			return
		}
	}
}

// pause waits; it returns false when the runner stops or ctx ends.
func (w *work) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.stopping:
	case <-ctx.Done():
	}
	return false
}

// invoke calls the handler, whose panic is a failure like any other.
func (w *work) invoke(ctx context.Context, idx []int) (verdicts []Verdict, err error) {
	ds := w.pick(idx)
	ctx, done := w.trace.invoke(ctx, idx)
	defer func() {
		if p := recover(); p != nil {
			err = fault.Internal.Wrap(fmt.Errorf("handler panicked: %v", p), "internal error")
		}
		done(err)
	}()
	verdicts, err = w.cfg.Handler(ctx, ds)
	if err == nil && verdicts != nil && len(verdicts) != len(ds) {
		err = fmt.Errorf("handler returned %d verdicts on %d deliveries", len(verdicts), len(ds))
	}
	return verdicts, err
}

func (w *work) pick(idx []int) []broker.Delivery {
	if len(idx) == len(w.batch.Deliveries) {
		return w.batch.Deliveries
	}
	ds := make([]broker.Delivery, len(idx))
	for i, j := range idx {
		ds[i] = w.batch.Deliveries[j]
	}
	return ds
}

// isolate halves what failed for good until the culprit stands alone.
func (w *work) isolate(ctx context.Context, idx []int, err error) {
	if len(idx) > 1 {
		w.cfg.Log.Warn("batch refused, handling its halves", "messages", len(idx), "err", err)
		half := len(idx) / 2
		w.try(ctx, idx[:half])
		w.try(ctx, idx[half:])
		return
	}
	if reactionTo(err) == reactPark {
		w.apply(ctx, idx, []Verdict{Dead(reasonOf(err), err)})
		return
	}
	w.failed = append(w.failed, failure{idx[0], err})
}

// conclude settles what failed alone. When nothing at all of a fair number
// succeeded, it is not the messages that are bad: they come again without
// prejudice, unless that has happened too often.
func (w *work) conclude(ctx context.Context) {
	sick := w.sick()
	for _, f := range w.failed {
		if sick && w.failures.of(&w.batch.Deliveries[f.index]).rounds < systemicRounds {
			w.failures.add(&w.batch.Deliveries[f.index], false)
			w.retry(ctx, f.index, backoff(4, w.cfg.BackoffMin, w.cfg.BackoffMax), f.err)
			continue
		}
		w.apply(ctx, []int{f.index}, []Verdict{Retry(0, f.err)})
	}
	if sick {
		if rest := w.batch.Unsettled(); len(rest) > 0 {
			w.handBack(ctx, rest, backoff(4, w.cfg.BackoffMin, w.cfg.BackoffMax))
		}
	}
}

// sick reports whether the handler fails whatever it is given.
func (w *work) sick() bool { return w.stored == 0 && len(w.failed) >= systemic }

// failure is a message that failed alone, for an unknown reason.
type failure struct {
	index int
	err   error
}

// apply settles deliveries by their verdicts; none is done for all. It leaves
// those that wait for a neighbour, where there is a retry topic for them, and
// returns them with the verdict on the last of them.
func (w *work) apply(ctx context.Context, idx []int, verdicts []Verdict) (waiting []int, away Verdict) {
	if verdicts == nil {
		w.finish(ctx, idx)
		return nil, away
	}
	var done, dead []int
	why := map[int]Verdict{}
	for k, i := range idx {
		v := verdicts[k]
		switch {
		case v.kind == verdictDone:
			done = append(done, i)
		case v.kind == verdictDead:
			dead, why[i] = append(dead, i), v
		case w.cfg.RetryTopic != "" && reactionTo(v.err) == reactWait:
			waiting, away = append(waiting, i), v
		default:
			if again, after := w.again(i, v); again {
				w.retry(ctx, i, after, v.err)
			} else {
				dead, why[i] = append(dead, i), Dead(ReasonMaxDeliveries, v.err)
			}
		}
	}
	if len(done) > 0 {
		w.finish(ctx, done)
	}
	if len(dead) > 0 {
		w.park(ctx, dead, func(i int) (Reason, error) { return why[i].reason, why[i].err })
	}
	return waiting, away
}

// again counts a failure and decides whether the message may come again.
func (w *work) again(i int, v Verdict) (bool, time.Duration) {
	d := &w.batch.Deliveries[i]
	c := w.failures.add(d, burns(v.err))
	after := v.after
	if after <= 0 {
		after = backoff(2*(c.rounds-1), w.cfg.BackoffMin, w.cfg.BackoffMax)
	}
	return !burns(v.err) || c.burned < w.cfg.MaxAttempts, after
}

// retry gives one delivery back.
func (w *work) retry(ctx context.Context, i int, after time.Duration, err error) {
	w.trace.verdict(ctx, i, outcomeRetry, "", err)
	w.cfg.Log.Warn("message failed, it will come again",
		"id", w.batch.Deliveries[i].ID, "position", w.batch.Deliveries[i].Position, "wait", after, "err", err)
	if w.handBack(ctx, []int{i}, after) {
		w.telemetry.metrics.retried.WithLabelValues(w.cfg.Consumer.Topic, w.cfg.Consumer.Group).Inc()
	}
}

// finish acknowledges.
func (w *work) finish(ctx context.Context, idx []int) {
	for _, i := range idx {
		w.trace.verdict(ctx, i, outcomeDone, "", nil)
		w.failures.forget(&w.batch.Deliveries[i])
	}
	if w.settle(ctx, idx, nil, 0) {
		w.stored += len(idx)
		w.telemetry.metrics.consumed.WithLabelValues(w.cfg.Consumer.Topic, w.cfg.Consumer.Group).Add(float64(len(idx)))
	}
}
