package nats

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// seen is what the last look at a stream found.
type seen struct {
	seq  uint64
	at   time.Time
	rate float64 // bytes per second, the highest of late
}

// newGuard is needed because a stream at its MaxBytes drops its oldest messages,
// read or not; the server can refuse new ones instead, but also without regard
// to what was read.
func newGuard(c *conn) *connect.Guard[seen] {
	return connect.NewGuard(connect.GuardConfig[seen]{
		Away: func() bool { return !c.pub.nc.IsConnected() }, Look: c.look, Log: c.cfg.Log,
	})
}

// look asks how much of a stream the slowest group has left to read.
func (c *conn) look(ctx context.Context, topic string, t *seen) (b connect.Backlog, err error) {
	stream, err := c.js.Stream(ctx, c.stream(topic))
	if err != nil {
		return b, err
	}
	info := stream.CachedInfo()
	state := info.State
	b.Max = info.Config.MaxBytes
	if state.Msgs == 0 {
		return b, nil
	}
	average := float64(state.Bytes) / float64(state.Msgs)
	now := time.Now()
	if !t.at.IsZero() {
		rate := average * float64(state.LastSeq-min(t.seq, state.LastSeq)) / now.Sub(t.at).Seconds()
		t.rate = max(rate, t.rate*3/4)
	}
	t.seq, t.at = state.LastSeq, now
	limit := float64(b.Max)
	if limit <= 0 || float64(state.Bytes) < limit/2 {
		return b, nil
	}
	floor, err := slowest(ctx, stream)
	if err != nil {
		return b, err
	}
	backlog := average * float64(state.LastSeq-min(floor, state.LastSeq))
	b.Bytes = int64(backlog)
	b.Full = backlog+2*t.rate*connect.GuardEvery.Seconds()+limit/50 > limit
	return b, nil
}

// slowest is up to where every group that must not lose anything has
// acknowledged.
func slowest(ctx context.Context, stream jetstream.Stream) (floor uint64, err error) {
	floor = ^uint64(0)
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable == "" || info.Config.Metadata[metaMayLose] == "true" {
			continue
		}
		if info.NumPending+uint64(info.NumAckPending) > 0 {
			floor = min(floor, info.AckFloor.Stream)
		}
	}
	return floor, list.Err()
}
