// Package source is the contract between the mesh and queues that belong to others:
// a Kafka topic, a queue of RabbitMQ, a channel of Redis that somebody's applications
// publish to, in a form of their own. It stands beside the contract of package broker
// and is small: a source is received from and acknowledged, and nothing is ever made,
// changed or published there. The drivers implement it with what they have for ours;
// driver.OpenSource chooses by URL, and package sourcetest holds what all of them do.
package source

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Source is an open queue of somebody else's. It is safe for concurrent use, but
// that one goroutine at a time receives.
//
// It waits for a broker that is away and for a queue that is not there yet, for ever,
// and takes the queue as it is. A delivery that is not acknowledged comes again, where
// Traits.Keeps; its headers are those of the message in lower case, and those that
// break our rules are left out. It has no Lane, Position or ID where the broker has none.
type Source interface {
	// Receive and Close are as those of any consumer. Close gives back what is not
	// settled.
	broker.Consumer
	// Ping returns nil while what is published reaches us now or will: ErrUnavailable
	// while the broker is away, and where it keeps nothing, while nobody listens.
	Ping(ctx context.Context) error
	// Lag is how far we are behind, ErrUnsupported where the broker keeps nothing.
	Lag(ctx context.Context) (broker.Lag, error)
	// Traits say what it is.
	Traits() Traits
}

// Traits are what differs from broker to broker. The zero value is the least.
type Traits struct {
	// System is the broker's name in telemetry: kafka, rabbitmq, redis.
	System string
	// Queue is the name of the topic, queue or channel, and Group that of the workers
	// who share it.
	Queue, Group string
	// Keeps: what is published while nobody listens, and what is not acknowledged, is
	// kept. Without it that is lost, and Losses is told where somebody can know.
	Keeps bool
	// Shared: a message goes to one of several workers. Without it each gets it.
	Shared bool
	// Headers: messages may have some.
	Headers bool
}

// Name is that of the source in metrics and traces, where topics of ours have theirs: of
// a process's sources several may have the same queue, on brokers of several kinds.
func (t Traits) Name() string { return t.System + "/" + t.Queue }

// Config says how a source is received from.
type Config struct {
	// Consumer says how batches are cut; its Topic is the name of the queue where the
	// URL names none, and its Group that of the group.
	Consumer broker.ConsumerConfig
	// Gap is told how long nobody listened, whenever listening began again, where what
	// was published meanwhile is lost. May be nil.
	Gap func(deaf time.Duration)
}

// AsBroker makes a broker of a source, from which a Runner works it: of one topic and
// one group, and nothing can be published there.
func AsBroker(s Source) broker.Broker { return foreign{s} }

type foreign struct{ Source }

// Publisher implements broker.Broker.
func (f foreign) Publisher() (broker.Publisher, error) { return nobody{}, nil }

// Consumer implements broker.Broker.
func (f foreign) Consumer(broker.ConsumerConfig) (broker.Consumer, error) { return f.Source, nil }

// Tail implements broker.Broker.
func (f foreign) Tail(context.Context, string) (broker.Tail, error) {
	return nil, broker.ErrUnsupported
}

// Admin implements broker.Broker.
func (f foreign) Admin() broker.Admin { return looker(f) }

// Capabilities implements broker.Broker.
func (f foreign) Capabilities() broker.Capabilities {
	return broker.Capabilities{System: f.Traits().System}
}

// nobody publishes nothing.
type nobody struct{}

// Publish implements broker.Publisher.
func (nobody) Publish(context.Context, []broker.Message) error { return broker.ErrUnsupported }

// Close implements broker.Publisher.
func (nobody) Close(context.Context) error { return nil }

// looker changes nothing.
type looker foreign

// EnsureTopic implements broker.Admin.
func (looker) EnsureTopic(context.Context, broker.TopicSpec) error { return broker.ErrUnsupported }

// EnsureGroup implements broker.Admin.
func (looker) EnsureGroup(context.Context, broker.GroupSpec) error { return broker.ErrUnsupported }

// Check implements broker.Admin.
func (l looker) Check(ctx context.Context, _ string, _ ...string) error { return l.Ping(ctx) }

// Lag implements broker.Admin.
func (l looker) Lag(ctx context.Context, _, _ string) (broker.Lag, error) { return l.Source.Lag(ctx) }
