// Package memory is a message broker inside the process. It keeps the whole
// contract of package broker except that a crash of the process loses
// everything, so it may stand in for a real broker in any test.
//
// A Server holds the topics; every Open on it is a separate connection. Down
// and Up simulate an outage of a broker whose disk survives.
package memory

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// MaxMessageBytes is the largest message a Server takes: about what NATS takes
// by default, so that tests meet the same limit.
const MaxMessageBytes = 1<<20 - broker.ParkRoom - 128

// Options of a connection. The zero value works.
type Options struct {
	// Name is the connection's name in Members; default "memory".
	Name string
	// Log hears about lost messages; default: nobody.
	Log *slog.Logger
	// Lost is told how many messages retention removed before a group read
	// them; may be nil.
	Lost func(topic, group string, n int64)
}

// Server is the broker itself. Its zero value is not usable; see NewServer.
type Server struct {
	mu     sync.Mutex
	topics map[string]*topic
	down   bool
	wake   chan struct{} // closed and replaced whenever something changed
}

// NewServer makes an empty broker.
func NewServer() *Server {
	return &Server{topics: map[string]*topic{}, wake: make(chan struct{})}
}

// Down makes the server unreachable: Publish fails with ErrUnavailable, settling
// fails, Receive waits. What was stored stays.
func (s *Server) Down() { s.set(true) }

// Up ends an outage.
func (s *Server) Up() { s.set(false) }

// Remove deletes a topic and what is in it, or one group of it, as somebody with
// the broker's own tools would.
func (s *Server) Remove(topic, group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[topic]; t != nil && group != "" {
		delete(t.groups, group)
	} else {
		delete(s.topics, topic)
	}
	s.changed()
}

func (s *Server) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	s.changed()
}

// Replay delivers to a group again everything that its topic retains, for tests
// of idempotence. Leases of its workers are lost. It returns broker.ErrNoGroup
// when there is no such group.
func (s *Server) Replay(topic, group string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, g, err := s.group(topic, group)
	if err != nil {
		return err
	}
	g.rewind(t.first)
	s.changed()
	return nil
}

// changed wakes everybody who waits; mu is held.
func (s *Server) changed() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// conn is one connection.
type conn struct {
	server   *Server
	opts     Options
	children connect.Children
}

var (
	_ broker.Broker    = (*conn)(nil)
	_ broker.Admin     = (*conn)(nil)
	_ broker.Publisher = (*publisher)(nil)
	_ broker.Consumer  = (*consumer)(nil)
)

// Open connects to the server.
func (s *Server) Open(opts Options) broker.Broker {
	if opts.Name == "" {
		opts.Name = "memory"
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &conn{server: s, opts: opts}
}

// Publisher implements broker.Broker.
func (c *conn) Publisher() (broker.Publisher, error) {
	p := &publisher{conn: c}
	return p, c.children.Add(p)
}

// Consumer implements broker.Broker.
func (c *conn) Consumer(cfg broker.ConsumerConfig) (broker.Consumer, error) {
	if err := broker.ValidName(cfg.Topic); err != nil {
		return nil, err
	}
	if err := broker.ValidGroup(cfg.Group); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	k := &consumer{
		conn: c, cfg: cfg, slots: make(chan struct{}, cfg.MaxInFlight),
		closing: make(chan struct{}), leases: map[*lease]struct{}{},
	}
	return k, c.children.Add(k)
}

// Tail implements broker.Broker.
func (c *conn) Tail(_ context.Context, name string) (broker.Tail, error) {
	s := c.server
	s.mu.Lock()
	t, err := s.topic(name)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	tl := &tail{TailBuffer: broker.NewTailBuffer(), server: s, topic: t}
	t.tails[tl] = struct{}{}
	s.mu.Unlock()
	return tl, c.children.Add(connect.Tail{Tail: tl})
}

// Admin implements broker.Broker.
func (c *conn) Admin() broker.Admin { return c }

// Capabilities implements broker.Broker.
func (c *conn) Capabilities() broker.Capabilities {
	return broker.Capabilities{
		System: "memory", Replay: true, Dedupe: true, DelayedRetry: true, CountsAttempts: true,
		MaxMessageBytes: MaxMessageBytes,
		Durability:      "acked = in this process's memory; a crash loses everything",
	}
}

// Ping implements broker.Broker.
func (c *conn) Ping(context.Context) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.server.down {
		return broker.ErrUnavailable
	}
	return nil
}

// Close implements broker.Broker.
func (c *conn) Close(ctx context.Context) error {
	_, err := c.children.Close(ctx)
	return err
}

// topic finds a topic; mu is held.
func (s *Server) topic(name string) (*topic, error) {
	if s.down {
		return nil, broker.ErrUnavailable
	}
	t := s.topics[name]
	if t == nil {
		return nil, fmt.Errorf("topic %q: %w", name, broker.ErrUnroutable)
	}
	return t, nil
}

// group finds a group; mu is held.
func (s *Server) group(topicName, name string) (*topic, *group, error) {
	if s.down {
		return nil, nil, broker.ErrUnavailable
	}
	t := s.topics[topicName]
	if t == nil || t.groups[name] == nil {
		return nil, nil, fmt.Errorf("group %q of topic %q: %w", name, topicName, broker.ErrNoGroup)
	}
	return t, t.groups[name], nil
}
