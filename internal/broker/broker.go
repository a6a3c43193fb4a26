package broker

import (
	"context"
	"time"
)

// Broker is an open connection to one message broker. It is safe for
// concurrent use.
type Broker interface {
	// Publisher returns a publisher on this connection. Several may be made.
	Publisher() (Publisher, error)
	// Consumer joins a group. The topic and the group must exist by the first
	// Receive; until then Receive waits and retries.
	Consumer(cfg ConsumerConfig) (Consumer, error)
	// Tail opens an ephemeral reader outside any group, which starts at the end
	// of the topic and needs no settling. It returns ErrUnavailable while the
	// broker is away and ErrUnroutable when the topic does not exist.
	Tail(ctx context.Context, topic string) (Tail, error)
	// Admin provisions and inspects topics and groups.
	Admin() Admin
	// Capabilities says what this broker can do; its zero value is the least.
	Capabilities() Capabilities
	// Ping returns nil when the broker answers, ErrDenied when it refuses us,
	// and ErrUnavailable otherwise.
	Ping(ctx context.Context) error
	// Close closes every publisher, consumer and tail, and the connection. It
	// flushes until ctx ends. It is safe to call twice.
	Close(ctx context.Context) error
}

// Publisher publishes messages. It is safe for concurrent use.
type Publisher interface {
	// Publish returns nil only when every message is durable. Otherwise it
	// returns a *PublishError with one entry per failed index. Batches are
	// cheaper than single messages, except for large ones.
	Publish(ctx context.Context, msgs []Message) error
	// Close waits for what is in flight until ctx ends. Later Publish calls
	// return ErrClosed.
	Close(ctx context.Context) error
}

// Consumer is one member of a group. Receive is called by one goroutine at a
// time; batches may be settled from any.
type Consumer interface {
	// Receive blocks until there is at least one delivery and fewer than
	// MaxInFlight batches are unsettled, then until MaxMessages, MaxBytes, or
	// Linger since the first delivery. It returns an error only when ctx ends or
	// the consumer is closed; while the broker is away it waits.
	Receive(ctx context.Context) (*Batch, error)
	// Close leaves the group. Unsettled deliveries go back to it and their
	// leases are lost.
	Close(ctx context.Context) error
}

// Tail is an ephemeral reader of a topic's end, for people who watch. It
// promises neither completeness nor exactly once: when its reader is slow, the
// oldest unread deliveries are dropped and counted.
type Tail interface {
	// Next returns the next delivery, which belongs to the caller. It blocks
	// until there is one, ctx ends, or the tail is closed (ErrClosed).
	Next(ctx context.Context) (Delivery, error)
	// Dropped is how many deliveries were dropped since the tail was opened.
	Dropped() uint64
	// Close ends the tail and frees what it holds.
	Close() error
}

// Admin provisions and inspects.
type Admin interface {
	// EnsureTopic makes the topic exist, also anew after somebody deleted it:
	// publishers and consumers that were open before go on. What exists keeps the
	// settings that operators gave it, except those without which a promise would
	// break: the driver sets them right.
	EnsureTopic(ctx context.Context, t TopicSpec) error
	// EnsureGroup makes the group exist, under the same rule. It returns
	// ErrUnroutable when there is no such topic.
	EnsureGroup(ctx context.Context, g GroupSpec) error
	// Check returns nil when a message published to the topic now would be stored
	// for each of the groups. Otherwise it says what is missing, and names it:
	// ErrUnroutable for the topic, ErrNoGroup for a group, ErrDenied, or
	// ErrUnavailable while the broker is away. It asks the broker, never a memory
	// of it, and changes nothing there; it may forget what the connection believed
	// of a topic that is gone, so that one made anew is found. Every process asks
	// once a second: it costs a round trip or two. A topic that is full is there.
	Check(ctx context.Context, topic string, groups ...string) error
	// Lag is how far the group is behind. It returns ErrNoGroup when there is
	// no such group.
	Lag(ctx context.Context, topic, group string) (Lag, error)
}

// Capabilities says what a broker can do. The zero value is the least able.
type Capabilities struct {
	// System is the broker's name in telemetry: nats, kafka, rabbitmq, redis,
	// memory.
	System string
	// Ordered: messages of one key are delivered in order while nothing fails.
	Ordered bool
	// Replay: a late group can start at the earliest message that is retained;
	// without it a late group begins with what is published next.
	Replay bool
	// Dedupe: a message ID published twice within the topic's window is stored
	// once.
	Dedupe bool
	// DelayedRetry: a retry does not come back before its delay.
	DelayedRetry bool
	// CountsAttempts: Delivery.Attempt counts, across crashes too.
	CountsAttempts bool
	// VerifiedUser: deliveries carry HeaderBrokerUser where their producer let
	// the broker verify it, and nobody can forge it.
	VerifiedUser bool
	// MaxMessageBytes bounds Message.Size, with what the driver adds; larger
	// messages fail with ErrTooLarge. 0 is unknown as yet.
	MaxMessageBytes int
	// Durability says what a nil error from Publish means, in words for a log.
	Durability string
}

// Lag is how far a group is behind.
type Lag struct {
	// Pending is how many messages wait that no worker has.
	Pending int64
	// InFlight is how many are with workers, unsettled.
	InFlight int64
	// Oldest is the age of the oldest message not yet acknowledged, 0 if there
	// is none or the broker cannot tell.
	Oldest time.Duration
	// Known is false when the numbers cannot be trusted at the moment.
	Known bool
}

// Total is everything the group still has to do: what autoscaling looks at.
func (l Lag) Total() int64 { return l.Pending + l.InFlight }
