package nats

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// gap finds messages that retention removed before the group read them: the
// stream sequence of first deliveries then jumps further than the group's own
// count. With several workers each may see the same jump.
type gap struct {
	known            bool
	stream, consumer uint64
}

// start sets the position of the group.
func (g *gap) start(stream, consumer uint64) {
	if !g.known {
		g.known, g.stream, g.consumer = true, stream, consumer
	}
}

// next takes a delivery and returns how many messages are missing before it.
func (g *gap) next(m meta) int64 {
	if m.attempt != 1 || m.stream <= g.stream {
		return 0
	}
	missing := int64(m.stream-g.stream) - int64(m.consumer-g.consumer)
	if m.consumer < g.consumer || g.stream == 0 && g.consumer == 0 {
		missing = 0 // the group was made anew, or begins somewhere
	}
	g.stream, g.consumer = m.stream, m.consumer
	return max(missing, 0)
}

// lost reports lost messages.
func (c *conn) lost(cfg broker.ConsumerConfig, n int64) { c.cfg.Losses(cfg.Topic, cfg.Group, n) }

// watcher listens to what the server says about a group's messages that it
// will not deliver any more. One worker of the group hears each advisory.
type watcher struct {
	consumer *consumer
	subs     []*nats.Subscription
}

const (
	advisoryTerminated = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED."
	advisoryExceeded   = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES."
)

func watch(k *consumer) (*watcher, error) {
	w := &watcher{consumer: k}
	name := k.stream + "." + k.cfg.Group
	for subject, f := range map[string]nats.MsgHandler{
		advisoryTerminated + name: w.terminated,
		advisoryExceeded + name:   w.exceeded,
	} {
		sub, err := k.link.nc.QueueSubscribe(subject, "driftmesh-"+k.cfg.Group, f)
		if err != nil {
			return nil, fmt.Errorf("subscribe to advisories: %w", err)
		}
		w.subs = append(w.subs, sub)
	}
	return w, nil
}

// advisory is the part of an advisory we read.
type advisory struct {
	StreamSeq  uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
	Reason     string `json:"reason"`
}

// terminated hears of messages removed while a worker had them, or while they
// waited to be delivered again.
func (w *watcher) terminated(m *nats.Msg) {
	var a advisory
	if json.Unmarshal(m.Data, &a) == nil && strings.Contains(a.Reason, "deleted") {
		w.consumer.conn.lost(w.consumer.cfg, 1)
	}
}

// exceeded hears of messages the server gave up after MaxDeliver attempts.
// They are still stored, so they are parked from there.
func (w *watcher) exceeded(m *nats.Msg) {
	var a advisory
	if json.Unmarshal(m.Data, &a) != nil {
		return
	}
	k := w.consumer
	logger := k.conn.cfg.Log.With("topic", k.cfg.Topic, "group", k.cfg.Group, "position", a.StreamSeq)
	if err := k.rescue(a); err != nil {
		logger.Error("message given up by the broker could not be parked", "err", err)
		k.conn.lost(k.cfg, 1)
		return
	}
	logger.Warn("message given up by the broker is parked", "attempts", a.Deliveries)
}

func (w *watcher) close() {
	for _, s := range w.subs {
		_ = s.Unsubscribe() // fails only when the connection is gone, and the subscription with it
	}
}
