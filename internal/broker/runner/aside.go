package runner

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
)

// A message that waits for a neighbour would wait in the place of those behind
// it: a broker lets a group have so many messages unsettled, and no more. So it
// is put into the retry topic, and its own topic goes on. There it may wait in
// place, because all behind it wait too, but not for long, because they may not
// wait for the same: then it goes to the end. See ADR 17.

// Rules of a retry topic, in the longest back-offs: half a minute, if nobody
// said otherwise.
const (
	// A message waits so long before it goes to the end: it is published so often.
	minWait = 2
	// A handler puts the messages of a full batch to the end in so long, at the
	// fastest, and those of a smaller one sooner: the whole topic is written so
	// often.
	minTurn = 1. / 6
)

func (r *Runner) works(topic string) bool { return r.cfg.Consumer.Topic == topic }

// lingers reports whether messages go on waiting in place.
func (w *work) lingers(idx []int) bool {
	if !w.works(w.cfg.RetryTopic) {
		return false
	}
	longest := float64(w.cfg.BackoffMax)
	full := max(float64(len(w.batch.Deliveries))/float64(w.cfg.Consumer.MaxMessages), float64(w.batch.Size())/float64(w.cfg.Consumer.MaxBytes))
	if time.Since(w.received) < time.Duration(min(full, 1)*minTurn*longest) {
		return true
	}
	return slices.ContainsFunc(idx, func(i int) bool {
		return time.Since(waitingSince(&w.batch.Deliveries[i].Message)) < time.Duration(minWait*longest)
	})
}

// waitingSince is when a message was put into the retry topic it comes from.
func waitingSince(m *broker.Message) time.Time {
	ns, err := strconv.ParseInt(m.Header(event.HeaderWaiting), 10, 64)
	if err != nil {
		return time.Time{}
	}
	if at := time.Unix(0, ns); !at.After(time.Now()) {
		return at
	}
	return time.Time{} // clocks differ: better early than never
}

// setAside puts messages that wait at the end of the retry topic and
// acknowledges them. What it refuses is given back.
func (w *work) setAside(ctx context.Context, idx []int, why error) {
	msgs := make([]broker.Message, len(idx))
	for k, i := range idx {
		msgs[k] = w.waiting(ctx, &w.batch.Deliveries[i])
	}
	var moved, refused []int
	var refusal error
	for k, err := range fateOf(w.publisher.Publish(untraced(ctx), msgs), len(msgs)) {
		i := idx[k]
		if err != nil {
			refused, refusal = append(refused, i), err
			continue
		}
		moved = append(moved, i)
		w.trace.verdict(ctx, i, outcomeAside, "", why)
		if w.works(w.cfg.RetryTopic) {
			w.failures.renewed(&w.batch.Deliveries[i], msgs[k].ID)
		} else {
			w.failures.forget(&w.batch.Deliveries[i])
		}
	}
	if len(moved) > 0 && w.settle(ctx, moved, nil, 0) {
		w.cfg.Log.Info("messages wait for a neighbour in the retry topic", "messages", len(moved), "err", why)
		w.telemetry.metrics.aside.WithLabelValues(w.cfg.Consumer.Topic, w.cfg.Consumer.Group).Add(float64(len(moved)))
	}
	if len(refused) == 0 {
		return
	}
	rounds := 0
	for _, i := range refused {
		rounds = max(rounds, w.failures.add(&w.batch.Deliveries[i], false).rounds)
		w.trace.verdict(ctx, i, outcomeRetry, "", why)
	}
	after := backoff(2*(rounds-1), w.cfg.BackoffMin, w.cfg.BackoffMax)
	w.cfg.Log.Warn("the retry topic does not take messages that wait for a neighbour, they will come again",
		"messages", len(refused), "wait", after, "err", refusal)
	if w.handBack(ctx, refused, after) {
		w.telemetry.metrics.retried.WithLabelValues(w.cfg.Consumer.Topic, w.cfg.Consumer.Group).Add(float64(len(refused)))
	}
}

// waiting is the message to put into the retry topic for a delivery. It has its
// credentials only while nobody knows whose they are.
func (w *work) waiting(ctx context.Context, d *broker.Delivery) broker.Message {
	m := published(d)
	m.Topic = w.cfg.RetryTopic
	if w.cfg.Mark != nil {
		known, cancel := context.WithCancel(ctx)
		cancel() // a neighbour is away, and there may be thousands of messages
		if marks := w.cfg.Mark(known, d); len(marks) > 0 {
			mark(&m, marks)
			m.Headers = slices.DeleteFunc(m.Headers, func(h broker.Header) bool { return Secret(h.Key) })
		}
	}
	mark(&m, []broker.Header{{Key: event.HeaderWaiting, Value: strconv.AppendInt(nil, time.Now().UnixNano(), 10)}})
	return m
}

// published is a delivery as a message to publish again in its topic, under
// another id, because brokers drop one that they have seen: for the ledger it is
// the same.
func published(d *broker.Delivery) broker.Message {
	m := d.Message
	m.ID = uuid.NewString()
	m.Headers = slices.DeleteFunc(slices.Clone(d.Headers), func(h broker.Header) bool { return h.Key == broker.HeaderBrokerUser })
	if !has(&m, event.HeaderOrigin) {
		first := d.ID
		if first == "" {
			first = d.Lane + ":" + d.Position
		}
		m.Headers = append(m.Headers, broker.Header{Key: event.HeaderOrigin, Value: []byte(first)})
	}
	return m
}
