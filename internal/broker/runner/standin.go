package runner

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
)

// Bounds of what a stand-in keeps.
const (
	maxKeptHeaders = 16 << 10 // AMQP wants all headers in one frame
	maxKeptID      = 512
	markerRoom     = 256 // event.HeaderDLQCut, event.HeaderDLQSize, event.HeaderDLQDigest
)

// standInRooms are the sizes of the stand-ins that are tried, one after the
// other, when the broker takes no larger one: the operator may have set a limit
// that Capabilities do not tell. The last holds the bare facts.
var standInRooms = []int{256 << 10, 64 << 10, 8 << 10, 0}

// StandIn is a parked message cut to at most room bytes, with the digest and
// the size of its value. What it must have is there even when room is less: the
// reason, the origin, and an id.
func StandIn(parked *broker.Message, room int) broker.Message {
	m := broker.Message{Topic: parked.Topic, Time: parked.Time, ID: parked.ID}
	var cut []string
	if len(m.ID) > maxKeptID || broker.ValidID(m.ID) != nil {
		m.ID = digest([]byte(m.ID))
		cut = append(cut, "id")
	}
	left := room - markerRoom - m.Size()
	kept, whole := 0, true
	for _, h := range byRank(parked.Headers) {
		n := len(h.Key) + len(h.Value) + 4
		if rank(&h) > 0 && (n > left || kept+n > maxKeptHeaders) || has(&m, h.Key) || broker.ValidHeader(&h) != nil {
			whole = false
			continue
		}
		m.Headers = append(m.Headers, h)
		kept, left = kept+n, left-n
	}
	if !whole {
		cut = append(cut, "headers")
	}
	if parked.Key == nil || len(parked.Key) <= left/2 { // some of the room is for the value
		m.Key, left = parked.Key, left-len(parked.Key)
	} else {
		cut = append(cut, "key")
	}
	m.Value = parked.Value[:max(0, min(len(parked.Value), left))]
	if len(m.Value) < len(parked.Value) {
		cut = append(cut, "value")
	}
	m.Headers = append(m.Headers,
		broker.Header{Key: event.HeaderDLQCut, Value: []byte(strings.Join(cut, ","))},
		broker.Header{Key: event.HeaderDLQSize, Value: strconv.AppendInt(nil, int64(len(parked.Value)), 10)},
		broker.Header{Key: event.HeaderDLQDigest, Value: []byte(digest(parked.Value))})
	return m
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// byRank sorts headers by how much a stand-in needs them.
func byRank(hs []broker.Header) []broker.Header {
	return slices.SortedStableFunc(slices.Values(hs), func(a, b broker.Header) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(len(a.Value), len(b.Value)), strings.Compare(a.Key, b.Key))
	})
}

// rank is 0 for what every stand-in has, 1 for what else the mesh says of the
// message, 2 for the producer's own.
func rank(h *broker.Header) int {
	switch h.Key {
	case event.HeaderDLQReason, event.HeaderDLQAttempts, event.HeaderDLQTopic, event.HeaderDLQGroup, event.HeaderDLQDeadAt, event.HeaderDLQFirstSeen:
		return 0
	case broker.HeaderTraceParent:
		return 1
	}
	if bytes.HasPrefix([]byte(h.Key), []byte("driftmesh-")) {
		return 1
	}
	return 2
}
