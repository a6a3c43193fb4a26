package kafka

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
)

// coordinated remembers who coordinates a group: the library's transport asks
// before each commit, which doubles its time. It is safe for concurrent use.
type coordinated struct {
	*kafkago.Transport

	mu    sync.Mutex
	known map[string]net.Addr // by group
}

var _ kafkago.RoundTripper = (*coordinated)(nil)

// direct is a commit that goes to the address it is sent to; the library sends
// its own type to whom it finds to be the coordinator.
type direct offsetcommit.Request

// ApiKey implements protocol.Message.
func (*direct) ApiKey() protocol.ApiKey { return protocol.OffsetCommit } //nolint:revive,staticcheck // the name is the interface's

// elsewhereCodes say that a broker does not coordinate the group, or not yet.
var elsewhereCodes = []kafkago.Error{
	kafkago.NotCoordinatorForGroup, kafkago.GroupCoordinatorNotAvailable, kafkago.GroupLoadInProgress,
}

// RoundTrip implements kafkago.RoundTripper.
func (c *coordinated) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	commit, ok := req.(*offsetcommit.Request)
	if !ok {
		return c.Transport.RoundTrip(ctx, addr, req)
	}
	to, err := c.coordinator(ctx, addr, commit.GroupID)
	if err != nil {
		return nil, err
	}
	res, err := c.Transport.RoundTrip(ctx, to, (*direct)(commit))
	if err != nil || elsewhere(res) {
		c.mu.Lock()
		delete(c.known, commit.GroupID)
		c.mu.Unlock()
	}
	return res, err
}

// coordinator is who coordinates a group, as far as we or the brokers know.
func (c *coordinated) coordinator(ctx context.Context, addr net.Addr, group string) (net.Addr, error) {
	c.mu.Lock()
	to := c.known[group]
	c.mu.Unlock()
	if to != nil {
		return to, nil
	}
	m, err := c.Transport.RoundTrip(ctx, addr, &findcoordinator.Request{Key: group})
	if err != nil {
		return nil, err
	}
	found, ok := m.(*findcoordinator.Response)
	if !ok {
		return nil, kafkago.GroupCoordinatorNotAvailable
	}
	if found.ErrorCode != 0 {
		return nil, kafkago.Error(found.ErrorCode)
	}
	to = kafkago.TCP(net.JoinHostPort(found.Host, strconv.Itoa(int(found.Port))))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[string]net.Addr{}
	}
	c.known[group] = to
	return to, nil
}

// elsewhere reports whether the answer to a commit says to ask again who
// coordinates the group.
func elsewhere(res kafkago.Response) bool {
	m, ok := res.(*offsetcommit.Response)
	if !ok {
		return false
	}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			if slices.Contains(elsewhereCodes, kafkago.Error(p.ErrorCode)) {
				return true
			}
		}
	}
	return false
}
