// Package brokertest is the suite that every broker driver passes: one case per
// promise of package broker, named as in docs and reference. A driver's test
// says how to start its server and which cases it cannot satisfy, each with a
// reason; with no exceptions everything runs.
//
// Cases that kill servers or wait for leases are skipped with -short.
package brokertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/test/server"
)

// Server is a running broker of a harness. Its methods fail the test that
// started it.
type Server interface {
	// URL is where it is, for Open, worker processes and foreign clients.
	URL() string
	// Kill ends the server as kill -9 does; what it had made durable stays.
	Kill()
	// Restart starts it again at the same address.
	Restart()
}

// Lost is told how many messages retention removed before a group read them.
type Lost = func(topic, group string, n int64)

// Open opens a connection to the server at a URL, also while it is away. lost
// may be nil.
type Open func(ctx context.Context, url string, lost Lost) (broker.Broker, error)

// Harness says how to run a broker.
type Harness struct {
	// Start starts a server for one case. The server of a case without faults is
	// not killed, and may be shared.
	Start func(t *testing.T, fault bool) Server
	// Open is the driver's.
	Open Open
	// Foreign connects with the broker's bare client library until tb ends, and
	// returns how to publish with it as the wire form is documented, with the
	// header names as they are. An error says that the broker has not confirmed
	// the message. Needed by ForeignProducer, TraceContextRoundTrip and
	// FullTopicForeign.
	Foreign func(tb testing.TB, addr string) func(ctx context.Context, m broker.Message) error
	// RefusesForeign says that the broker itself refuses what does not fit into a
	// topic, whoever publishes; without it foreign producers may fill it further.
	RefusesForeign bool
	// Remove deletes a topic, or one group of it where group is not "", with the
	// broker's bare client library, and returns when the broker has done so. Needed
	// by TopicGone, GroupGone, TopicReadFromItsBeginning and TopicMadeAnew, which is
	// skipped without.
	Remove func(tb testing.TB, addr, topic, group string)
	// Refused opens connections that a server refuses, by what is wrong with
	// them. Needed by AuthAndTLS.
	Refused func(tb testing.TB) map[string]func(context.Context) error
	// Slow starts a server behind a link that can be slowed; where it is nil, the
	// link is laid to the server of Start. Kafka's clients connect to where the
	// server says it is.
	Slow func(t *testing.T) (Server, *server.Proxy)
	// Settle waits until what was just provisioned survives Kill. It is called in
	// cases with faults, where the server needs time for that. May be nil.
	Settle func(tb testing.TB)
	// ConnectionLease says that deliveries belong to the connection they came on:
	// when it ends, the lease is lost and they return to the group at once.
	ConnectionLease bool
}

// Except names the cases that a driver cannot satisfy, each with the reason.
type Except map[string]string

// testCase is one promise.
type testCase struct {
	name  string
	slow  bool // skipped with -short
	fault bool // kills the server
	alone bool // measures or fills the process or the server, so nothing runs beside it
	run   func(e *env)
}

// Cases are the names of all cases, in order.
func Cases() []string {
	var names []string
	for _, c := range cases() {
		names = append(names, c.name)
	}
	return names
}

func cases() []testCase {
	return slices.Concat(publishCases(), consumeCases(), runnerCases(), parkCases(), groupCases(), adminCases(), fullCases(), goneCases(), faultCases(), linkCases(), anewCases())
}

// Run runs the suite.
func Run(t *testing.T, h Harness, except Except) {
	t.Helper()
	for name, reason := range except {
		require.Contains(t, Cases(), name, "exception for a case that does not exist")
		require.NotEmpty(t, reason, "exception %s needs a reason", name)
	}
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			if reason, ok := except[c.name]; ok {
				t.Skipf("exception: %s", reason)
			}
			if testing.Short() && (c.slow || c.fault) {
				t.Skip("slow; runs without -short")
			}
			if !c.fault && !c.alone {
				t.Parallel()
			}
			c.run(newEnv(t, h, c.fault))
		})
	}
}

// env is what one case works with: a connection, and a topic and a group of
// its own.
type env struct {
	*testing.T
	h      Harness
	fault  bool
	server Server
	ctx    context.Context //nolint:containedctx // of the test
	b      broker.Broker
	pub    broker.Publisher
	topic  string
	group  string

	mu   sync.Mutex
	lost int64
}

const caseTime = 90 * time.Second

func newEnv(t *testing.T, h Harness, fault bool) *env {
	ctx, cancel := context.WithTimeout(t.Context(), caseTime)
	t.Cleanup(cancel)
	name := fmt.Sprintf("t%08x", rand.Uint32())
	e := &env{T: t, h: h, fault: fault, server: h.Start(t, fault), ctx: ctx, topic: name, group: "g"}
	e.b = e.dial()
	e.pub = e.publisher(e.b)
	return e
}

func (e *env) dial() broker.Broker {
	e.Helper()
	b, err := e.h.Open(e.ctx, e.server.URL(), func(topic, _ string, n int64) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if topic == e.topic {
			e.lost += n
		}
	})
	require.NoError(e, err)
	e.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			e.Logf("close: %v", err)
		}
	})
	return b
}

func (e *env) publisher(b broker.Broker) broker.Publisher {
	e.Helper()
	p, err := b.Publisher()
	require.NoError(e, err)
	return p
}

// provision makes the topic, its DLQ and one group; the specs may be zero.
func (e *env) provision(t broker.TopicSpec, groups ...broker.GroupSpec) {
	e.Helper()
	t.Name = e.topic
	if len(groups) == 0 {
		groups = []broker.GroupSpec{{Name: e.group}}
	}
	require.Eventually(e, func() bool { return e.b.Ping(e.ctx) == nil }, 20*time.Second, 20*time.Millisecond)
	require.NoError(e, broker.Provision(e.ctx, e.b.Admin(), t, groups...))
	if e.fault && e.h.Settle != nil {
		e.h.Settle(e)
	}
}

// consumer joins the group.
func (e *env) consumer(b broker.Broker, cfg broker.ConsumerConfig) broker.Consumer {
	e.Helper()
	cfg.Topic = e.topic
	if cfg.Group == "" {
		cfg.Group = e.group
	}
	if cfg.Linger == 0 {
		cfg.Linger = 50 * time.Millisecond
	}
	c, err := b.Consumer(cfg)
	require.NoError(e, err)
	return c
}

// messages makes n messages whose id and value are "<prefix><i>".
func (e *env) messages(prefix string, n int) []broker.Message {
	msgs := make([]broker.Message, n)
	for i := range msgs {
		s := fmt.Sprintf("%s%d", prefix, i)
		msgs[i] = broker.Message{Topic: e.topic, Value: []byte(s), ID: s}
	}
	return msgs
}

func (e *env) publish(msgs ...broker.Message) {
	e.Helper()
	require.NoError(e, e.pub.Publish(e.ctx, msgs))
}

// receive returns the next batch, which must come within d.
func (e *env) receive(c broker.Consumer, d time.Duration) *broker.Batch {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, d)
	defer cancel()
	b, err := c.Receive(ctx)
	require.NoError(e, err, "receive")
	return b
}

// quiet asserts that nothing comes for d.
func (e *env) quiet(c broker.Consumer, d time.Duration) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, d)
	defer cancel()
	b, err := c.Receive(ctx)
	if err == nil {
		e.Fatalf("received %d messages, the first %q, where none was expected", len(b.Deliveries), b.Deliveries[0].Value)
	}
	require.ErrorIs(e, err, context.DeadlineExceeded)
}

// drain acknowledges until n different values came, and counts every one.
func (e *env) drain(c broker.Consumer, n int, within time.Duration) map[string]int {
	e.Helper()
	seen := map[string]int{}
	deadline := time.Now().Add(within)
	for len(seen) < n {
		left := time.Until(deadline)
		require.Positive(e, left, "%d of %d messages came", len(seen), n)
		b := e.receive(c, left)
		for _, d := range b.Deliveries {
			seen[string(d.Value)]++
		}
		require.NoError(e, b.Ack(e.ctx))
	}
	return seen
}

// lag waits until the lag is what it should be.
func (e *env) lag(pending, inFlight int64) {
	e.Helper()
	var got broker.Lag
	ok := within(2*time.Second, func() bool {
		var err error
		got, err = e.b.Admin().Lag(e.ctx, e.topic, e.group)
		return err == nil && got.Known && got.Pending == pending && got.InFlight == inFlight
	})
	require.True(e, ok, "lag is %+v, want %d pending and %d in flight", got, pending, inFlight)
}

func (e *env) lostMessages() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lost
}

// within polls ok for d.
func within(d time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

// values are the payloads of a batch.
func values(b *broker.Batch) []string {
	var out []string
	for _, d := range b.Deliveries {
		out = append(out, string(d.Value))
	}
	return out
}

// names are the values of messages(prefix, n).
func names(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s%d", prefix, i))
	}
	return out
}
