package kafka

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// member is our membership of the Kafka group, from joining to leaving.
type member struct {
	k    *consumer
	quit context.Context //nolint:containedctx // done when we leave
	stop context.CancelFunc

	mu    sync.Mutex
	conns []net.Conn
}

const (
	joinBackoff = 250 * time.Millisecond
	watchEvery  = 30 * time.Second        // for partitions added
	cutAfter    = 1500 * time.Millisecond // of leaving, when kafka-go hangs in a request
)

// join makes us a member, unless we are; consumer.mu is held.
func (k *consumer) join() {
	if k.member != nil || k.closed.Err() != nil {
		return
	}
	m := &member{k: k}
	m.quit, m.stop = context.WithCancel(context.Background())
	k.member = m
	k.leaving.Go(m.run)
}

// leave ends our membership, without waiting for it; consumer.mu is held.
func (k *consumer) leave() {
	if k.member != nil {
		k.member.stop()
		k.member = nil
	}
}

// run works in the group until we leave.
func (m *member) run() {
	if !m.attach() {
		return
	}
	c := m.k.conn
	dialer := c.newDialer(m.opened)
	group, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: m.k.gid, Brokers: c.target.brokers, Topics: []string{c.target.name(m.k.cfg.Topic)}, Dialer: dialer,
		GroupBalancers:    []kafkago.GroupBalancer{kafkago.RangeGroupBalancer{}},
		HeartbeatInterval: heartbeat(c.target.session), SessionTimeout: c.target.session,
		RebalanceTimeout: drainTime + c.target.session + requestTimeout, JoinGroupBackoff: joinBackoff,
		StartOffset: kafkago.FirstOffset, WatchPartitionChanges: true, PartitionWatchInterval: watchEvery,
		Timeout: requestTimeout,
	})
	if err != nil {
		c.cfg.Log.Error("cannot join the group", "topic", m.k.cfg.Topic, "group", m.k.cfg.Group, "err", err)
		return
	}
	var watch sync.WaitGroup
	watch.Go(m.watch)
	m.work(group)
	cut := time.AfterFunc(cutAfter, m.cut)
	_ = group.Close() // returns nil
	cut.Stop()
	watch.Wait()
}

// work runs one session after the other.
func (m *member) work(group *kafkago.ConsumerGroup) {
	c := m.k.conn
	for {
		gen, err := group.Next(m.quit)
		switch {
		case err == nil:
			s := newSession(m.k, gen)
			gen.Start(func(over context.Context) { s.run(over, m.quit) })
			continue
		case m.quit.Err() != nil || errors.Is(err, kafkago.ErrGroupClosed):
			return
		case errors.Is(err, kafkago.RebalanceInProgress):
			continue
		}
		c.link.doubt(err)
		wait := joinBackoff
		if isDenied(err) || errors.Is(err, kafkago.InvalidSessionTimeout) {
			wait = deniedWait
		}
		c.cfg.Log.Warn("cannot join the group yet, trying on", "topic", m.k.cfg.Topic, "group", m.k.cfg.Group, "err", err)
		if changed, cause := c.link.state(); cause != nil {
			select {
			case <-changed:
			case <-m.quit.Done():
			}
		}
		pause(m.quit, wait)
	}
}

// attach waits until topic and group exist.
func (m *member) attach() bool {
	k := m.k
	for wait := backoff(0); m.quit.Err() == nil; wait = wait.next() {
		_, err := k.conn.topic(m.quit, k.cfg.Topic)
		if err == nil {
			err = k.conn.groupExists(m.quit, k.cfg.Topic, k.cfg.Group)
		}
		if err == nil {
			return true
		}
		if wait == 0 {
			k.conn.cfg.Log.Warn("cannot join the group yet, trying on", "topic", k.cfg.Topic, "group", k.cfg.Group, "err", err)
		}
		if changed, cause := k.conn.link.state(); cause != nil {
			select {
			case <-changed:
			case <-m.quit.Done():
			}
			continue
		}
		pause(m.quit, wait.duration())
	}
	return false
}

// watch cuts the group's connections when the cluster is back after it was
// away: kafka-go would wait on dead ones for as long as a rebalance may take.
func (m *member) watch() {
	for {
		changed, before := m.k.conn.link.state()
		select {
		case <-changed:
		case <-m.quit.Done():
			return
		}
		if after := m.k.conn.link.err(); before != nil && after == nil {
			m.cut()
		}
	}
}

// opened notes a connection of the group.
func (m *member) opened(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const most = 16 // kafka-go has two at a time; the older ones are closed
	if len(m.conns) >= most {
		m.conns = append(m.conns[:0], m.conns[most/2:]...)
	}
	m.conns = append(m.conns, c)
}

// cut closes the group's connections.
func (m *member) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		_ = c.Close() // it may be closed already
	}
	m.conns = nil
}
