package nats

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const adminTimeout = 5 * time.Second

type admin struct{ *conn }

// EnsureTopic implements broker.Admin.
func (a admin) EnsureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if err := broker.ValidName(spec.Name); err != nil {
		return err
	}
	if err := a.ensureTopic(ctx, spec); err != nil {
		return fmt.Errorf("ensure topic %q: %w", spec.Name, a.classify(err))
	}
	return nil
}

func (a admin) ensureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if !a.pub.nc.IsConnected() {
		return a.pub.err()
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	if spec.Dedupe == broker.NoDedupe {
		if err := a.ensureNothing(ctx, spec); err != nil {
			return err
		}
	}
	stream, err := a.js.Stream(ctx, a.stream(spec.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = a.js.CreateStream(ctx, a.streamConfig(spec))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody was faster
			stream, err = a.js.Stream(ctx, a.stream(spec.Name))
		}
	}
	if err != nil {
		return err
	}
	cfg := stream.CachedInfo().Config
	if got := cfg.Metadata[metaTopic]; got != "" && got != spec.Name {
		return fmt.Errorf("%w: stream %s belongs to topic %q", broker.ErrInvalid, cfg.Name, got)
	}
	if mended := a.mended(cfg, spec); !reflect.DeepEqual(mended, cfg) {
		a.cfg.Log.Warn("stream mended: it must refuse what does not fit, and keep ids of strangers apart", "topic", spec.Name)
		if stream, err = a.js.UpdateStream(ctx, mended); err != nil {
			return err
		}
	}
	if spec.Dedupe == broker.NoDedupe && stream.CachedInfo().Config.Duplicates > 0 {
		a.cfg.Log.Warn("within a tenth of a second this server takes two messages of one id for one, whoever sent them; NATS 2.14 does not",
			"topic", spec.Name, "version", a.pub.nc.ConnectedServerVersion())
	}
	a.janitor.topic(spec.Name).there()
	return nil
}

// EnsureGroup implements broker.Admin.
func (a admin) EnsureGroup(ctx context.Context, spec broker.GroupSpec) error {
	if err := broker.ValidGroup(spec.Name); err != nil {
		return err
	}
	if err := a.ensureGroup(ctx, spec); err != nil {
		return fmt.Errorf("ensure group %q of topic %q: %w", spec.Name, spec.Topic, a.classify(err))
	}
	return nil
}

func (a admin) ensureGroup(ctx context.Context, spec broker.GroupSpec) error {
	if !a.pub.nc.IsConnected() {
		return a.pub.err()
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	_, err := a.js.Consumer(ctx, a.stream(spec.Topic), spec.Name)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	_, err = a.js.CreateConsumer(ctx, a.stream(spec.Topic), groupConfig(spec))
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return nil // somebody was faster
	}
	return err
}

func groupConfig(spec broker.GroupSpec) jetstream.ConsumerConfig {
	spec = spec.WithDefaults()
	cfg := jetstream.ConsumerConfig{
		Durable:       spec.Name,
		Description:   "driftmesh group " + spec.Name + " of topic " + spec.Topic,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       spec.AckWait,
		MaxAckPending: spec.MaxInFlight, // of all workers together
		MaxDeliver:    -1,               // a server that gives up would do so past the ledger
		MaxWaiting:    4096,
		Metadata:      map[string]string{metaTopic: spec.Topic, metaMayLose: strconv.FormatBool(spec.MayLose)},
	}
	if spec.Start == broker.Latest {
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	return cfg
}

// Lag implements broker.Admin.
func (a admin) Lag(ctx context.Context, topic, group string) (broker.Lag, error) {
	if !a.pub.nc.IsConnected() {
		return broker.Lag{}, a.pub.err()
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	c, err := a.js.Consumer(ctx, a.stream(topic), group)
	if err != nil {
		return broker.Lag{}, fmt.Errorf("lag of group %q of topic %q: %w", group, topic, a.classify(err))
	}
	info := c.CachedInfo()
	lag := broker.Lag{Pending: int64(info.NumPending), InFlight: int64(info.NumAckPending), Known: true}
	stream, err := a.js.Stream(ctx, a.stream(topic))
	if err != nil {
		return lag, fmt.Errorf("lag of group %q of topic %q: %w", group, topic, a.classify(err))
	}
	if lag.Total() == 0 {
		if lag.Pending, err = a.unnoticed(ctx, stream, topic, info); err != nil || lag.Pending == 0 {
			return lag, err
		}
	}
	oldest, err := stream.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(a.subject(topic)))
	if err == nil {
		lag.Oldest = max(time.Since(oldest.Time), 0)
	}
	return lag, nil
}

// unnoticed is 1 when the stream holds a message that the consumer does not count
// yet: a server tells its consumers of one a moment after it has told who published it.
func (a admin) unnoticed(ctx context.Context, stream jetstream.Stream, topic string, consumer *jetstream.ConsumerInfo) (int64, error) {
	if stream.CachedInfo().State.LastSeq <= consumer.Delivered.Stream {
		return 0, nil
	}
	last, err := stream.GetLastMsgForSubject(ctx, a.subject(topic)) // of this topic, where somebody's stream has more
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("last message of topic %q: %w", topic, a.classify(err))
	case last.Sequence > consumer.Delivered.Stream:
		return 1, nil
	}
	return 0, nil
}

// classify gives an error of the jetstream package its class.
func (c *conn) classify(err error) error {
	class := error(broker.ErrUnavailable)
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && full(int(api.ErrorCode)) {
		return fmt.Errorf("%w: %w", broker.ErrBackpressure, err)
	}
	switch {
	case errors.Is(err, broker.ErrInvalid), errors.Is(err, broker.ErrUnavailable), errors.Is(err, broker.ErrDenied):
		return err
	case errors.Is(err, jetstream.ErrStreamNotFound):
		class = broker.ErrUnroutable
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		class = broker.ErrNoGroup
	case errors.Is(err, nats.ErrPermissionViolation), errors.Is(err, nats.ErrAuthorization):
		class = broker.ErrDenied
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		class = broker.ErrUnsupported
	}
	return fmt.Errorf("%w: %w", class, err)
}
