package nats

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// gap finds messages that retention removed before the group read them: the
// stream sequence of first deliveries then jumps further than the group's own
// count. With several workers each may see the same jump.
type gap struct {
	made             time.Time // the group
	stream, consumer uint64
}

// start sets the position of the group that was made at a time. A worker that
// joins the same one again goes on counting where it was.
func (g *gap) start(made time.Time, stream, consumer uint64) {
	if !g.made.Equal(made) {
		g.made, g.stream, g.consumer = made, stream, consumer
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

// lost reports messages that a group lost; one that may lose some lost none.
func (k *consumer) lost(n int64) {
	if !k.mayLose.Load() {
		k.conn.cfg.Losses(k.cfg.Topic, k.cfg.Group, n)
	}
}

// watcher listens to what the server says about a group: that it is no more,
// and that a message of it will not be delivered any more.
type watcher struct {
	consumer *consumer
	subs     []*nats.Subscription
}

const (
	advisoryTerminated    = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED."
	advisoryGroupDeleted  = "$JS.EVENT.ADVISORY.CONSUMER.DELETED."
	advisoryStreamDeleted = "$JS.EVENT.ADVISORY.STREAM.DELETED."
)

func watch(k *consumer) (*watcher, error) {
	w := &watcher{consumer: k}
	for _, a := range []struct {
		subject, queue string
		heard          nats.MsgHandler
	}{
		{advisoryTerminated + k.stream + "." + k.cfg.Group, "driftmesh-" + k.cfg.Group, w.terminated}, // one worker counts it
		{advisoryGroupDeleted + k.stream + "." + k.cfg.Group, "", w.deleted},
		{advisoryStreamDeleted + k.stream, "", w.deleted},
	} {
		sub, err := k.link.nc.QueueSubscribe(a.subject, a.queue, a.heard)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("subscribe to advisories: %w", err)
		}
		w.subs = append(w.subs, sub)
	}
	return w, nil
}

// deleted hears that somebody has deleted the group.
func (w *watcher) deleted(*nats.Msg) { w.consumer.forsake() }

// terminated hears of messages removed while a worker had them, or while they
// waited to be delivered again.
func (w *watcher) terminated(m *nats.Msg) {
	var advisory struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(m.Data, &advisory) == nil && strings.Contains(advisory.Reason, "deleted") {
		w.consumer.lost(1)
	}
}

func (w *watcher) close() {
	for _, s := range w.subs {
		_ = s.Unsubscribe() // fails only when the connection is gone, and the subscription with it
	}
}
