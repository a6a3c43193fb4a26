package nats

import (
	"context"
	"errors"
	"fmt"
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
	err := a.ensureTopic(ctx, spec)
	if err != nil {
		return fmt.Errorf("ensure topic %q: %w", spec.Name, a.classify(err))
	}
	a.known.Store(spec.Name, struct{}{})
	return nil
}

func (a admin) ensureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if !a.pub.nc.IsConnected() {
		return a.pub.err()
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	stream, err := a.js.Stream(ctx, a.stream(spec.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = a.js.CreateStream(ctx, a.streamConfig(spec))
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		stream, err = a.js.Stream(ctx, a.stream(spec.Name)) // somebody was faster
	}
	if err != nil {
		return err
	}
	cfg := stream.CachedInfo().Config
	if got := cfg.Metadata[metaTopic]; got != "" && got != spec.Name {
		return fmt.Errorf("%w: stream %s belongs to topic %q", broker.ErrConflict, cfg.Name, got)
	}
	have := broker.TopicSpec{
		Name: spec.Name, MaxAge: cfg.MaxAge, MaxBytes: cfg.MaxBytes, Replicas: cfg.Replicas, Dedupe: cfg.Duplicates,
	}
	merged, diff := have.Merge(spec)
	if diff == "" {
		return nil
	}
	if !spec.Update {
		return fmt.Errorf("%w: %s", broker.ErrConflict, diff)
	}
	cfg.MaxAge, cfg.MaxBytes, cfg.Replicas, cfg.Duplicates = merged.MaxAge, merged.MaxBytes, merged.Replicas, merged.Dedupe
	_, err = a.js.UpdateStream(ctx, cfg)
	return err
}

func (a admin) streamConfig(spec broker.TopicSpec) jetstream.StreamConfig {
	if spec.Replicas == 0 {
		spec.Replicas = a.target.replicas
	}
	spec = spec.WithDefaults()
	return jetstream.StreamConfig{
		Name:        a.stream(spec.Name),
		Description: "driftmesh topic " + spec.Name,
		Subjects:    []string{a.subject(spec.Name)},
		Retention:   jetstream.LimitsPolicy, // several groups, and replay
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardOld,
		MaxAge:      spec.MaxAge,
		MaxBytes:    spec.MaxBytes,
		Replicas:    spec.Replicas,
		Duplicates:  spec.Dedupe,
		AllowDirect: true,
		Metadata:    map[string]string{metaTopic: spec.Name},
	}
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
	c, err := a.js.Consumer(ctx, a.stream(spec.Topic), spec.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		cfg, err := groupConfig(spec)
		if err != nil {
			return err
		}
		_, err = a.js.CreateConsumer(ctx, a.stream(spec.Topic), cfg)
		if !errors.Is(err, jetstream.ErrConsumerExists) {
			return err
		}
		c, err = a.js.Consumer(ctx, a.stream(spec.Topic), spec.Name) // somebody was faster
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	cfg := c.CachedInfo().Config
	have := broker.GroupSpec{AckWait: cfg.AckWait, MaxInFlight: cfg.MaxAckPending, MaxDeliver: max(cfg.MaxDeliver, 0)}
	merged, diff := have.Merge(spec)
	if diff == "" {
		return nil
	}
	if !spec.Update {
		return fmt.Errorf("%w: %s", broker.ErrConflict, diff)
	}
	cfg.AckWait, cfg.MaxAckPending, cfg.MaxDeliver = merged.AckWait, merged.MaxInFlight, maxDeliver(merged.MaxDeliver)
	_, err = a.js.UpdateConsumer(ctx, a.stream(spec.Topic), cfg)
	return err
}

func maxDeliver(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}

func groupConfig(spec broker.GroupSpec) (jetstream.ConsumerConfig, error) {
	start := spec.Start
	spec = spec.WithDefaults()
	cfg := jetstream.ConsumerConfig{
		Durable:       spec.Name,
		Description:   "driftmesh group " + spec.Name + " of topic " + spec.Topic,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       spec.AckWait,
		MaxAckPending: spec.MaxInFlight, // of all workers together
		MaxDeliver:    maxDeliver(spec.MaxDeliver),
		MaxWaiting:    4096,
		Metadata:      map[string]string{metaTopic: spec.Topic, metaMayLose: strconv.FormatBool(spec.MayLose)},
	}
	return cfg, startAt(&cfg, start)
}

// startAt sets where a consumer begins.
func startAt(cfg *jetstream.ConsumerConfig, at broker.Position) error {
	cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverAllPolicy, 0, nil
	switch at.Place {
	case broker.Earliest:
	case broker.Latest:
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	case broker.AtTime:
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &at.Time
	case broker.AtPosition:
		seq, err := strconv.ParseUint(at.Value, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: position %q", broker.ErrInvalid, at.Value)
		}
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, max(seq, 1)
	}
	return nil
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
	if lag.Total() == 0 {
		return lag, nil
	}
	stream, err := a.js.Stream(ctx, a.stream(topic))
	if err != nil {
		return lag, fmt.Errorf("lag of group %q of topic %q: %w", group, topic, a.classify(err))
	}
	oldest, err := stream.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(a.subject(topic)))
	if err == nil {
		lag.Oldest = max(time.Since(oldest.Time), 0)
	}
	return lag, nil
}

// Seek implements broker.Admin. JetStream has no moving cursor: the consumer is
// made anew, with the same settings.
func (a admin) Seek(ctx context.Context, topic, group string, to broker.Position) error {
	if err := a.seek(ctx, topic, group, to); err != nil {
		return fmt.Errorf("seek group %q of topic %q: %w", group, topic, a.classify(err))
	}
	return nil
}

func (a admin) seek(ctx context.Context, topic, group string, to broker.Position) error {
	if !a.pub.nc.IsConnected() {
		return a.pub.err()
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	c, err := a.js.Consumer(ctx, a.stream(topic), group)
	if err != nil {
		return err
	}
	cfg := c.CachedInfo().Config
	if err := startAt(&cfg, to); err != nil {
		return err
	}
	if err := a.js.DeleteConsumer(ctx, a.stream(topic), group); err != nil {
		return err
	}
	_, err = a.js.CreateConsumer(ctx, a.stream(topic), cfg)
	return err
}

// classify gives an error of the jetstream package its class.
func (c *conn) classify(err error) error {
	class := error(broker.ErrUnavailable)
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && full(int(api.ErrorCode)) {
		return fmt.Errorf("%w: %w", broker.ErrBackpressure, err)
	}
	switch {
	case errors.Is(err, broker.ErrConflict), errors.Is(err, broker.ErrInvalid), errors.Is(err, broker.ErrUnavailable),
		errors.Is(err, broker.ErrDenied):
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
