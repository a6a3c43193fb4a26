package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const adminTimeout = 10 * time.Second

type admin struct{ *conn }

// EnsureTopic implements broker.Admin.
func (a admin) EnsureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if err := broker.ValidName(spec.Name); err != nil {
		return err
	}
	if err := a.ensureTopic(ctx, spec); err != nil {
		return fmt.Errorf("ensure topic %q: %w", spec.Name, err)
	}
	return nil
}

func (a admin) ensureTopic(ctx context.Context, spec broker.TopicSpec) error {
	p, err := a.peer()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	return a.edit(ctx, p, spec.Name, true, func(ch *amqp.Channel, s *settings) (*settings, error) {
		fresh := s == nil
		if fresh {
			s = &settings{}
			s.setTopic(a.complete(spec))
		}
		if err := a.declareTopic(ch, spec.Name, s); err != nil {
			return nil, err
		}
		merged, diff := s.topic(spec.Name).Merge(spec)
		switch {
		case fresh:
			return s, nil
		case diff == "":
			return nil, nil
		case !spec.Update:
			return nil, fmt.Errorf("%w: %s", broker.ErrConflict, diff)
		case merged.MaxBytes != s.Topic.MaxBytes || merged.Replicas != s.Topic.Replicas:
			return nil, fmt.Errorf("%w: the arguments of a queue do not change; set a policy, or make the topic anew (%s)", broker.ErrUnsupported, diff)
		}
		s.setTopic(merged)
		return s, nil
	})
}

func (a admin) complete(spec broker.TopicSpec) broker.TopicSpec {
	if spec.Replicas == 0 {
		spec.Replicas = a.target.replicas
	}
	return spec.WithDefaults()
}

// declareTopic makes the exchange of a topic; a DLQ's has a queue from the
// beginning.
func (a admin) declareTopic(ch *amqp.Channel, topic string, s *settings) error {
	if err := ch.ExchangeDeclare(a.exchange(topic), amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		return err
	}
	if !broker.IsDLQ(topic) {
		return nil
	}
	return a.declareQueue(ch, topic, a.shelf(topic), a.arguments(topic, s, &group{MayLose: true}))
}

// arguments are those of a group's queue.
func (a admin) arguments(topic string, s *settings, g *group) amqp.Table {
	args := amqp.Table{
		amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-quorum-initial-group-size": int64(s.Topic.Replicas),
		"x-max-length-bytes": s.Topic.MaxBytes, "x-overflow": "reject-publish", "x-delivery-limit": int64(never),
	}
	if g.MayLose {
		args["x-overflow"] = "drop-head"
	}
	if g.MaxDeliver > 0 {
		args["x-delivery-limit"] = int64(g.MaxDeliver - 1) // of redeliveries
		args["x-dead-letter-exchange"] = a.exchange(broker.DLQ(topic))
		if !g.MayLose {
			args["x-dead-letter-strategy"] = "at-least-once"
		}
	}
	return args
}

// declareQueue makes a queue and binds it.
func (a admin) declareQueue(ch *amqp.Channel, topic, queue string, args amqp.Table) error {
	if _, err := ch.QueueDeclare(queue, true, false, false, false, args); err != nil {
		return err
	}
	return ch.QueueBind(queue, "", a.exchange(topic), false, nil)
}

// EnsureGroup implements broker.Admin.
func (a admin) EnsureGroup(ctx context.Context, spec broker.GroupSpec) error {
	if err := broker.ValidName(spec.Topic); err != nil {
		return err
	}
	if err := broker.ValidGroup(spec.Name); err != nil {
		return err
	}
	if err := a.ensureGroup(ctx, spec); err != nil {
		return fmt.Errorf("ensure group %q of topic %q: %w", spec.Name, spec.Topic, err)
	}
	return nil
}

func (a admin) ensureGroup(ctx context.Context, spec broker.GroupSpec) error {
	p, err := a.peer()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	used, err := a.exists(ctx, p, a.used(spec.Topic))
	if err != nil {
		return err
	}
	return a.edit(ctx, p, spec.Topic, false, func(ch *amqp.Channel, s *settings) (changed *settings, err error) {
		if s == nil {
			return nil, errNoSettings
		}
		defer func() {
			if g := s.Groups[spec.Name]; err == nil && g != nil {
				a.groups.Store(membership{spec.Topic, spec.Name}, *g)
			}
		}()
		have := s.Groups[spec.Name]
		if have == nil {
			return a.makeGroup(ch, s, spec, used)
		}
		merged, diff := broker.GroupSpec{
			AckWait: have.AckWait, MaxInFlight: have.MaxInFlight, MaxDeliver: have.MaxDeliver,
		}.Merge(spec)
		switch {
		case diff == "":
			return nil, nil
		case !spec.Update:
			return nil, fmt.Errorf("%w: %s", broker.ErrConflict, diff)
		case merged.MaxDeliver != have.MaxDeliver:
			return nil, fmt.Errorf("%w: the arguments of a queue do not change; set a policy (%s)", broker.ErrUnsupported, diff)
		}
		have.AckWait, have.MaxInFlight = merged.AckWait, merged.MaxInFlight
		return s, nil
	})
}

// makeGroup declares the queue of a new group. It begins with what is published
// next, and so only a topic that nobody has published to gives it everything.
// The first group of a DLQ takes over the queue that is there from the
// beginning, with all that is in it.
func (a admin) makeGroup(ch *amqp.Channel, s *settings, spec broker.GroupSpec, used bool) (*settings, error) {
	full := spec.WithDefaults()
	g := &group{
		Queue: a.queue(spec.Topic, spec.Name), AckWait: full.AckWait, MaxInFlight: full.MaxInFlight,
		MaxDeliver: full.MaxDeliver, MayLose: full.MayLose || broker.IsDLQ(spec.Topic),
	}
	switch {
	case broker.IsDLQ(spec.Topic) && s.free(a.shelf(spec.Topic)) && spec.Start.Place != broker.Latest:
		g.Queue = a.shelf(spec.Topic)
	case used && spec.Start.Place != broker.Latest:
		return nil, fmt.Errorf("%w: a queue holds nothing of the time before it was made; start at the latest", broker.ErrUnsupported)
	default:
		if err := a.declareQueue(ch, spec.Topic, g.Queue, a.arguments(spec.Topic, s, g)); err != nil {
			return nil, err
		}
	}
	if s.Groups == nil {
		s.Groups = map[string]*group{}
	}
	s.Groups[spec.Name] = g
	return s, nil
}

// free reports whether no group reads a queue.
func (s *settings) free(queue string) bool {
	for _, g := range s.Groups {
		if g.Queue == queue {
			return false
		}
	}
	return true
}

// exists reports whether there is an exchange.
func (a admin) exists(ctx context.Context, p *peer, exchange string) (bool, error) {
	_, err := with(ctx, p, func(ch *amqp.Channel) (struct{}, error) {
		return struct{}{}, ch.ExchangeDeclarePassive(exchange, amqp.ExchangeFanout, true, false, false, false, nil)
	})
	if errors.Is(err, broker.ErrUnroutable) {
		return false, nil
	}
	return err == nil, err
}

// Seek implements broker.Admin: a queue keeps nothing to go back to.
func (a admin) Seek(context.Context, string, string, broker.Position) error {
	return fmt.Errorf("seek: %w", broker.ErrUnsupported)
}
