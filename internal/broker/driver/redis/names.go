package redis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// lane is the only one.
const lane = "0"

// stream is the key of a topic. The braces keep the keys of a topic on one node
// of a cluster.
func (c *conn) stream(topic string) string { return c.target.prefix + ":{" + topic + "}" }

// settings is the key of the hash beside it.
func (c *conn) settings(topic string) string { return c.stream(topic) + ":settings" }

// keys are both, for scripts.
func (c *conn) keys(topic string) []string { return []string{c.stream(topic), c.settings(topic)} }

// entryID is the id of an entry: milliseconds and a sequence within them.
type entryID struct{ ms, seq uint64 }

func parseID(s string) (entryID, error) {
	a, b, ok := strings.Cut(s, "-")
	ms, err := strconv.ParseUint(a, 10, 64)
	if err != nil {
		return entryID{}, fmt.Errorf("entry id %q", s)
	}
	if !ok {
		return entryID{ms: ms}, nil
	}
	seq, err := strconv.ParseUint(b, 10, 64)
	if err != nil {
		return entryID{}, fmt.Errorf("entry id %q", s)
	}
	return entryID{ms, seq}, nil
}

func (id entryID) less(o entryID) bool { return id.ms < o.ms || id.ms == o.ms && id.seq < o.seq }

// time is when the server stored the entry. It can be counted in nanoseconds,
// whatever a stranger chose for an id.
func (id entryID) time() time.Time {
	return time.UnixMilli(int64(min(id.ms, math.MaxInt64/uint64(time.Millisecond))))
}
