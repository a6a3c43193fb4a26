package brokertest

import (
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/test/server"
)

func linkCases() []testCase {
	return []testCase{{name: "SlowLinkLargeMessages", slow: true, run: slowLinkLargeMessages}}
}

// linked is a server seen over a link.
type linked struct {
	Server
	addr string
}

// URL is where the link begins.
func (l linked) URL() string { return l.addr }

// link lays a link to a server, and returns the server as it is seen over it.
func (h Harness) link(t *testing.T) (Server, *server.Proxy) {
	if h.Slow != nil {
		return h.Slow(t)
	}
	s := h.Start(t, false)
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	p := server.NewProxy(t, u.Host)
	u.Host = p.Addr()
	return linked{s, u.String()}, p
}

// Messages that take long to come are delivered, as long as they come: several
// at once, over a link that carries one of them in about two seconds.
func slowLinkLargeMessages(e *env) {
	const n, size, rate = 8, 7 << 20, 4 << 20
	far, link := e.h.link(e.T)
	e.server = far
	e.b = e.dial()
	e.pub = e.publisher(e.b)
	e.provision(broker.TopicSpec{MaxBytes: 256 << 20})
	msgs := e.messages("m", n)
	for i := range msgs {
		msgs[i].Value = make([]byte, min(size, e.b.Capabilities().MaxMessageBytes/2))
		copy(msgs[i].Value, msgs[i].ID)
		e.publish(msgs[i])
	}
	link.Slow(rate)
	defer link.Slow(0)
	seen := map[string]bool{}
	c := e.consumer(e.b, broker.ConsumerConfig{})
	for len(seen) < n {
		b := e.receive(c, caseTime) // as long as the case may take: only that they come is asserted
		for _, d := range b.Deliveries {
			seen[d.ID] = true
		}
		if err := b.Ack(e.ctx); err != nil { // it waits behind what comes, and may lose; then they come again
			require.True(e, errors.Is(err, broker.ErrLeaseLost) || isPassing(err), "%v", err)
		}
	}
	require.Zero(e, e.lostMessages())
}
