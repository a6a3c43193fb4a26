package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/fault"
)

const adminTimeout = 10 * time.Second

type admin struct{ *conn }

// membership names a group.
type membership struct{ topic, group string }

// EnsureTopic implements broker.Admin. Its bounds are those of queues that this
// connection makes from now on.
func (a admin) EnsureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if err := broker.ValidName(spec.Name); err != nil {
		return err
	}
	a.specs.Store(spec.Name, a.complete(spec))
	err := a.administer(ctx, func(ctx context.Context, p *peer) error {
		_, err := with(ctx, p, func(ch *amqp.Channel) (struct{}, error) {
			return struct{}{}, ch.ExchangeDeclare(a.exchange(spec.Name), amqp.ExchangeFanout, true, false, false, false, nil)
		})
		if err != nil || !broker.IsDLQ(spec.Name) {
			return err
		}
		return a.ensureQueue(ctx, p, broker.GroupSpec{Topic: spec.Name})
	})
	if err != nil {
		return fmt.Errorf("ensure topic %q: %w", spec.Name, err)
	}
	return nil
}

// complete fills a spec up: with what this connection was told before, with the
// URL's replicas, with the defaults.
func (a admin) complete(spec broker.TopicSpec) broker.TopicSpec {
	if before, ok := a.specs.Load(spec.Name); ok {
		b := before.(broker.TopicSpec) //nolint:forcetypeassert // nothing else is stored
		spec.MaxBytes, spec.Replicas = cmp.Or(spec.MaxBytes, b.MaxBytes), cmp.Or(spec.Replicas, b.Replicas)
	}
	spec.Replicas = cmp.Or(spec.Replicas, a.target.replicas)
	return spec.WithDefaults()
}

// EnsureGroup implements broker.Admin. A queue that it makes begins with what is
// published next.
func (a admin) EnsureGroup(ctx context.Context, spec broker.GroupSpec) error {
	if err := broker.ValidName(spec.Topic); err != nil {
		return err
	}
	if err := broker.ValidGroup(spec.Name); err != nil {
		return err
	}
	err := a.administer(ctx, func(ctx context.Context, p *peer) error {
		if err := a.present(ctx, p, spec.Topic); err != nil {
			return err
		}
		return a.ensureQueue(ctx, p, spec)
	})
	if err != nil {
		return fmt.Errorf("ensure group %q of topic %q: %w", spec.Name, spec.Topic, err)
	}
	if spec.AckWait > 0 {
		a.ackWaits.Store(membership{spec.Topic, spec.Name}, spec.AckWait)
	}
	return nil
}

// administer runs fn with any connection that answers.
func (a admin) administer(ctx context.Context, fn func(context.Context, *peer) error) error {
	p, err := a.peer()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	return fn(ctx, p)
}

// never is a delivery limit that no message reaches: beyond its limit a queue
// throws a message away, past the ledger. RabbitMQ 4 has one of 20 where none is
// given.
const never = 1 << 30

// errUnsafe refuses what somebody declared otherwise and what would lose
// messages so. Nothing on the broker can be changed, only deleted.
var errUnsafe = fault.Precondition.New("a queue or exchange of this name is there that may lose messages").WithReason("BROKER_UNSAFE")

// ownersAffair finds the arguments that are its owner's affair where a queue exists.
var ownersAffair = regexp.MustCompile(`inequivalent arg '(x-max-length-bytes|x-quorum-initial-group-size)' .* current is (?:none|'(\d+)')`)

// ensureQueue makes a queue, or leaves the one that is there, and binds it. AMQP
// cannot read the arguments of a queue, but the broker compares them with those
// of a declaration and names the first that differs: where that is one of size,
// ours gives way and the rest is compared. What then differs is a matter of
// safety.
func (a admin) ensureQueue(ctx context.Context, p *peer, g broker.GroupSpec) error {
	spec := a.complete(broker.TopicSpec{Name: g.Topic})
	queue := a.queue(g.Topic, g.Name)
	args := amqp.Table{
		amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-quorum-initial-group-size": int64(spec.Replicas),
		"x-max-length-bytes": spec.MaxBytes, "x-overflow": "reject-publish", "x-delivery-limit": int64(never),
	}
	if g.MayLose {
		args["x-overflow"] = "drop-head"
	}
	if err := a.mourn(ctx, p, queue); err != nil {
		return err
	}
	for {
		_, err := with(ctx, p, func(ch *amqp.Channel) (struct{}, error) {
			if _, err := ch.QueueDeclare(queue, true, false, false, false, args); err != nil {
				return struct{}{}, err
			}
			return struct{}{}, ch.QueueBind(queue, "", a.exchange(g.Topic), false, nil)
		})
		if err == nil {
			a.made.Store(queue, struct{}{})
		}
		if code(err) != amqp.PreconditionFailed {
			return err
		}
		differs := ownersAffair.FindStringSubmatch(err.Error())
		if differs == nil {
			return err
		}
		if delete(args, differs[1]); differs[2] != "" {
			args[differs[1]], _ = strconv.ParseInt(differs[2], 10, 64)
		}
	}
}

// Check implements broker.Admin. A binding cannot be asked about; that one is
// missing shows when a message comes back.
func (a admin) Check(ctx context.Context, topic string, groups ...string) error {
	return a.administer(ctx, func(ctx context.Context, p *peer) error {
		if err := a.present(ctx, p, topic); err != nil {
			a.known.Delete(topic)
			return err
		}
		for _, group := range groups {
			if _, err := a.length(ctx, p, a.queue(topic, group)); err != nil {
				return fmt.Errorf("group %q of topic %q: %w", group, topic, err)
			}
		}
		return nil
	})
}

// length asks for a queue. It returns ErrNoGroup when there is none.
func (c *conn) length(ctx context.Context, p *peer, queue string) (amqp.Queue, error) {
	q, err := with(ctx, p, func(ch *amqp.Channel) (amqp.Queue, error) {
		return ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	})
	if code(err) == amqp.NotFound {
		err = fmt.Errorf("%w: no queue %s", broker.ErrNoGroup, queue)
	}
	return q, err
}

// mourning is how long the name of a queue that was deleted stays unused.
const mourning = time.Second

// mourn waits where a queue was here and is gone. The broker tells the channels
// that used a quorum queue of its end by and by. One that finds another queue of
// that name first takes it for the old one, and is never told: as a consumer it
// throws away what it is sent, because it has seen those numbers; the bare library
// shows it (TestQueueSwappedUnderAWorker). A queue that was never here is made at
// once.
func (a admin) mourn(ctx context.Context, p *peer, queue string) error {
	if _, ok := a.made.Load(queue); !ok {
		return nil
	}
	if _, err := a.length(ctx, p, queue); !errors.Is(err, broker.ErrNoGroup) {
		return err
	}
	t := time.NewTimer(mourning)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// present returns ErrUnroutable unless there is a topic.
func (c *conn) present(ctx context.Context, p *peer, topic string) error {
	_, err := with(ctx, p, func(ch *amqp.Channel) (struct{}, error) {
		return struct{}{}, ch.ExchangeDeclarePassive(c.exchange(topic), amqp.ExchangeFanout, true, false, false, false, nil)
	})
	if err != nil {
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	return nil
}

// ackWait is how long a worker of a group may hold a batch: what EnsureGroup was
// told on this connection.
func (c *conn) ackWait(topic, group string) time.Duration {
	if d, ok := c.ackWaits.Load(membership{topic, group}); ok {
		return d.(time.Duration) //nolint:forcetypeassert // nothing else is stored
	}
	return broker.DefaultAckWait
}
