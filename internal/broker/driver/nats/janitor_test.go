package nats

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// What is purged was acknowledged by every group that must not lose anything.
func TestFloor(t *testing.T) {
	t.Parallel()
	group := func(acked, delivered uint64, pending int) *jetstream.ConsumerInfo {
		return &jetstream.ConsumerInfo{
			Config:        jetstream.ConsumerConfig{Durable: "g"},
			AckFloor:      jetstream.SequenceInfo{Stream: acked},
			Delivered:     jetstream.SequenceInfo{Stream: delivered},
			NumAckPending: pending,
		}
	}
	careless := group(0, 0, 0)
	careless.Config.Metadata = map[string]string{metaMayLose: "true"}
	tail := group(0, 0, 0)
	tail.Config.Durable = ""
	for name, c := range map[string]struct {
		groups []*jetstream.ConsumerInfo
		want   uint64
	}{
		"no group":                         {nil, 0},
		"a tail is no group":               {[]*jetstream.ConsumerInfo{tail}, 0},
		"the slowest":                      {[]*jetstream.ConsumerInfo{group(70, 90, 20), group(40, 90, 1)}, 40},
		"one that has read nothing":        {[]*jetstream.ConsumerInfo{group(70, 90, 20), group(0, 0, 0)}, 0},
		"one that began at the end":        {[]*jetstream.ConsumerInfo{group(0, 90, 0)}, 90},
		"a message held since":             {[]*jetstream.ConsumerInfo{group(3, 90, 1)}, 3},
		"nobody waits for the careless":    {[]*jetstream.ConsumerInfo{group(70, 90, 20), careless, tail}, 70},
		"not even where there is no other": {[]*jetstream.ConsumerInfo{careless}, ^uint64(0)},
	} {
		require.Equal(t, c.want, floor(c.groups), name)
	}
}

// History takes up to half of a stream, and gives way to three eighths.
func TestExcess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		room        int64
		bytes, msgs uint64
		first, last uint64
		want        uint64
	}{
		"empty":        {room: 1600},
		"no bound":     {room: -1, bytes: 1 << 40, msgs: 100, first: 1, last: 100},
		"half":         {room: 1600, bytes: 800, msgs: 80, first: 21, last: 100},
		"more":         {room: 1600, bytes: 1000, msgs: 100, first: 1, last: 100, want: 41},
		"full":         {room: 1600, bytes: 1600, msgs: 160, first: 1, last: 160, want: 101},
		"one too big":  {room: 1600, bytes: 1600, msgs: 1, first: 7, last: 7, want: 7},
		"of no length": {room: 8, bytes: 8, msgs: 100, first: 1, last: 100, want: 6},
	} {
		info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{MaxBytes: c.room}}
		info.State.Bytes, info.State.Msgs, info.State.FirstSeq, info.State.LastSeq = c.bytes, c.msgs, c.first, c.last
		require.Equal(t, c.want, excess(info), name)
	}
}
