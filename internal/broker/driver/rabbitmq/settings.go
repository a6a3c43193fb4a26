package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// settings is what was provisioned for a topic: one message in a queue of its
// own, because AMQP cannot read the arguments of what was declared.
type settings struct {
	Version int               `json:"version"` // grows with every change
	Topic   topicSettings     `json:"topic"`
	Groups  map[string]*group `json:"groups,omitempty"`
}

type topicSettings struct {
	MaxAge   time.Duration `json:"max_age"`
	MaxBytes int64         `json:"max_bytes"`
	Replicas int           `json:"replicas"`
	Dedupe   time.Duration `json:"dedupe"`
}

type group struct {
	Queue       string        `json:"queue"`
	AckWait     time.Duration `json:"ack_wait"`
	MaxInFlight int           `json:"max_in_flight"`
	MaxDeliver  int           `json:"max_deliver,omitempty"`
	MayLose     bool          `json:"may_lose,omitempty"`
}

func (s *settings) topic(name string) broker.TopicSpec {
	return broker.TopicSpec{
		Name: name, MaxAge: s.Topic.MaxAge, MaxBytes: s.Topic.MaxBytes, Replicas: s.Topic.Replicas, Dedupe: s.Topic.Dedupe,
	}
}

func (s *settings) setTopic(t broker.TopicSpec) {
	s.Topic = topicSettings{MaxAge: t.MaxAge, MaxBytes: t.MaxBytes, Replicas: t.Replicas, Dedupe: t.Dedupe}
}

// never is a delivery limit that no message reaches. RabbitMQ 4 has a limit of
// 20 where none is given.
const never = 1 << 30

// declareSettings makes the queue of the settings, and reports whether it was
// not there before; the lock is held.
func (c *conn) declareSettings(ctx context.Context, p *peer, topic string) (fresh bool, err error) {
	_, err = with(ctx, p, func(ch *amqp.Channel) (amqp.Queue, error) {
		return ch.QueueDeclarePassive(c.settings(topic), true, false, false, false, nil)
	})
	if code(err) != amqp.NotFound {
		return false, err
	}
	_, err = with(ctx, p, func(ch *amqp.Channel) (amqp.Queue, error) {
		return ch.QueueDeclare(c.settings(topic), true, false, false, false, amqp.Table{
			amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-delivery-limit": int64(never), "x-quorum-initial-group-size": int64(c.target.replicas),
		})
	})
	return true, err
}

const (
	lockWait = 5 * time.Millisecond // at first
	lockMost = 100 * time.Millisecond
	absence  = 3 * time.Second // of the settings of a topic that has some
)

// edit gives fn the settings of a topic, with the guarantee that nobody else
// changes them, and stores what it returns if that is not nil. With create, it
// makes those of a new topic, and gives nil.
func (c *conn) edit(ctx context.Context, p *peer, topic string, create bool, fn change) error {
	select {
	case c.admins <- struct{}{}:
		defer func() { <-c.admins }()
	case <-ctx.Done():
		return ended(ctx)
	}
	if err := c.acquire(ctx, p, topic); err != nil {
		return err
	}
	err := c.editLocked(ctx, p, topic, create, fn)
	unlock, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_, e := with(unlock, p, func(ch *amqp.Channel) (int, error) { return ch.QueueDelete(c.lock(topic), false, false, false) })
	if err == nil {
		err = e
	}
	return err
}

// change makes new settings of old ones, or returns nil.
type change func(*amqp.Channel, *settings) (*settings, error)

// acquire takes the topic's lock: a queue that only its owner's connection may
// declare, and which ends with that.
func (c *conn) acquire(ctx context.Context, p *peer, topic string) error {
	for wait := lockWait; ; wait = min(2*wait, lockMost) {
		_, err := with(ctx, p, func(ch *amqp.Channel) (amqp.Queue, error) {
			return ch.QueueDeclare(c.lock(topic), false, true, true, false, nil)
		})
		if code(err) != amqp.ResourceLocked {
			return err
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return fmt.Errorf("settings are in use: %w", ended(ctx))
		}
	}
}

func (c *conn) editLocked(ctx context.Context, p *peer, topic string, create bool, fn change) error {
	fresh := false
	if create {
		var err error
		if fresh, err = c.declareSettings(ctx, p, topic); err != nil {
			return err
		}
	}
	_, err := with(ctx, p, func(ch *amqp.Channel) (struct{}, error) {
		var have *settings
		var tags []uint64
		var err error
		if !fresh {
			if have, tags, err = c.load(ctx, ch, topic); err != nil {
				return struct{}{}, err
			}
		}
		want, err := fn(ch, have)
		if err != nil || want == nil {
			return struct{}{}, errors.Join(err, giveBack(ch, tags))
		}
		if err := c.store(ch, topic, want); err != nil {
			return struct{}{}, err
		}
		for _, tag := range tags {
			if err := ch.Ack(tag, false); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	return err
}

// giveBack returns what was read, if the channel is still there; otherwise it
// has returned by itself.
func giveBack(ch *amqp.Channel, tags []uint64) error {
	if ch.IsClosed() {
		return nil
	}
	for _, tag := range tags {
		if err := ch.Nack(tag, false, true); err != nil {
			return err
		}
	}
	return nil
}

// load reads the settings: the latest, should a crash have left two. The tags
// are those of all messages read. While somebody else reads them they are not
// there; when they stay away, a crash has left none.
func (c *conn) load(ctx context.Context, ch *amqp.Channel, topic string) (latest *settings, tags []uint64, err error) {
	for start := time.Now(); ; {
		m, ok, err := ch.Get(c.settings(topic), false)
		switch {
		case code(err) == amqp.NotFound:
			return nil, nil, errNoSettings
		case err != nil:
			return nil, nil, err
		case ok:
			tags = append(tags, m.DeliveryTag)
			s := &settings{}
			if err := json.Unmarshal(m.Body, s); err != nil {
				return nil, nil, fmt.Errorf("read settings of topic %q: %w", topic, err)
			}
			if latest == nil || s.Version > latest.Version {
				latest = s
			}
			continue
		case latest != nil || time.Since(start) > absence:
			return latest, tags, nil
		}
		select {
		case <-time.After(lockWait/2 + rand.N(lockWait)):
		case <-ctx.Done():
			return nil, nil, ended(ctx)
		}
	}
}

var errNoSettings = fmt.Errorf("%w: nothing was provisioned", broker.ErrUnroutable)

func (c *conn) store(ch *amqp.Channel, topic string, s *settings) error {
	s.Version++
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	dc, err := ch.PublishWithDeferredConfirm("", c.settings(topic), false, false, amqp.Publishing{
		ContentType: "application/json", DeliveryMode: amqp.Persistent, Timestamp: time.Now(), Body: body,
	})
	if err != nil {
		return err
	}
	if !dc.Wait() {
		return fmt.Errorf("%w: settings of topic %q were not stored", broker.ErrUnavailable, topic)
	}
	return nil
}

// lookup is the settings of a group, remembered. One that was not provisioned
// by us has the defaults. It needs no lock: it changes nothing.
func (c *conn) lookup(ctx context.Context, p *peer, topic, name string) (group, error) {
	if g, ok := c.groups.Load(membership{topic, name}); ok {
		return g.(group), nil
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	g, err := with(ctx, p, func(ch *amqp.Channel) (group, error) {
		g := group{Queue: c.queue(topic, name), AckWait: broker.DefaultAckWait}
		s, tags, err := c.load(ctx, ch, topic)
		if err != nil {
			return g, err
		}
		if s != nil && s.Groups[name] != nil {
			g = *s.Groups[name]
			c.groups.Store(membership{topic, name}, g)
		}
		return g, giveBack(ch, tags)
	})
	if errors.Is(err, errNoSettings) || errors.Is(err, broker.ErrDenied) {
		return group{Queue: c.queue(topic, name), AckWait: broker.DefaultAckWait}, nil
	}
	return g, err
}

// membership names a group.
type membership struct{ topic, group string }

// queueOf is what a group reads.
func (c *conn) queueOf(ctx context.Context, p *peer, topic, name string) (string, error) {
	if !broker.IsDLQ(topic) {
		return c.queue(topic, name), nil
	}
	g, err := c.lookup(ctx, p, topic, name)
	return g.Queue, err
}
