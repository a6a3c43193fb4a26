package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const adminTimeout = 10 * time.Second

type admin struct{ *conn }

// EnsureTopic implements broker.Admin.
func (a admin) EnsureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if err := broker.ValidName(spec.Name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	err := a.persist(ctx, a.pub, func(ctx context.Context) error { return a.ensureTopic(ctx, spec) })
	if err == nil {
		err = a.persist(ctx, a.pub, func(ctx context.Context) error { return a.ready(ctx, spec.Name) })
	}
	if err != nil {
		return fmt.Errorf("ensure topic %q: %w", spec.Name, classify(err))
	}
	if spec.MaxBytes > 0 {
		a.told.Store(spec.Name, spec.MaxBytes)
	}
	return nil
}

func (a admin) ensureTopic(ctx context.Context, spec broker.TopicSpec) error {
	list, err := a.partitions(ctx, spec.Name)
	if errors.Is(err, broker.ErrUnroutable) {
		if err = a.create(ctx, spec); errors.Is(err, kafkago.TopicAlreadyExists) {
			return nil // somebody was faster
		}
		return err
	}
	if err != nil {
		return err
	}
	return a.spare(ctx, spec, len(list))
}

// spare sees to it that a topic that is there does not delete what nobody has
// read before publishers stop, as those of earlier versions did. All else stays
// as it is.
func (a admin) spare(ctx context.Context, spec broker.TopicSpec, lanes int) error {
	cfg, err := a.topicConfig(ctx, spec.Name)
	if err != nil {
		return err
	}
	have := value(cfg, configMaxBytes)
	if have <= 0 || have*int64(lanes) >= 2*spec.MaxBytes {
		return nil
	}
	res, err := a.pub.IncrementalAlterConfigs(ctx, &kafkago.IncrementalAlterConfigsRequest{
		Resources: []kafkago.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: a.target.name(spec.Name),
			Configs: []kafkago.IncrementalAlterConfigsRequestConfig{{
				Name: configMaxBytes, Value: strconv.FormatInt(share(spec.MaxBytes, lanes)*headroom, 10),
				ConfigOperation: kafkago.ConfigOperationSet,
			}},
		}},
	})
	if err != nil {
		return err
	}
	for _, r := range res.Resources {
		if isDenied(r.Error) {
			a.cfg.Log.Warn("a topic deletes its oldest messages, read or not, at a size that publishers may reach; "+
				"we may not change that, so they stop at half of it", "topic", spec.Name, "setting", configMaxBytes, "value", have)
			return nil
		}
		if r.Error != nil {
			return r.Error
		}
	}
	a.topics.seen.Delete(spec.Name)
	return nil
}

func value(cfg map[string]string, name string) int64 {
	n, err := strconv.ParseInt(cfg[name], 10, 64)
	if err != nil {
		return -1 // unlimited
	}
	return n
}

// share is the part of a topic's bytes that one partition may hold.
func share(bytes int64, partitions int) int64 {
	return (bytes + int64(partitions) - 1) / int64(partitions)
}

// minInSync is how many replicas must have a message before it is acknowledged.
func minInSync(replicas int) int { return (replicas + 1) / 2 }

// Bounds of the files of a partition. Kafka removes whole files only, so they
// are small beside what is kept.
const (
	segmentMin      = 16 << 20
	segmentMax      = 1 << 30
	segmentAgeMin   = time.Minute
	segmentAgeMax   = 24 * time.Hour
	segmentsAtATime = 8
)

func (a admin) create(ctx context.Context, spec broker.TopicSpec) error {
	if spec.Replicas == 0 {
		spec.Replicas = a.target.replicas
	}
	spec = spec.WithDefaults()
	part := share(spec.MaxBytes, a.target.partitions)
	segment := min(max(part/segmentsAtATime, segmentMin, int64(a.target.maxMessage)), segmentMax)
	age := min(max(spec.MaxAge/segmentsAtATime, segmentAgeMin), segmentAgeMax)
	name := a.target.name(spec.Name)
	entry := func(key string, n int64) kafkago.ConfigEntry {
		return kafkago.ConfigEntry{ConfigName: key, ConfigValue: strconv.FormatInt(n, 10)}
	}
	res, err := a.pub.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: name, NumPartitions: a.target.partitions, ReplicationFactor: spec.Replicas,
		ConfigEntries: []kafkago.ConfigEntry{
			entry(configMaxAge, spec.MaxAge.Milliseconds()),
			entry(configMaxBytes, part*headroom),
			entry(configMaxMessage, int64(a.target.maxMessage)),
			entry("segment.bytes", segment),
			entry("segment.ms", age.Milliseconds()),
			entry("min.insync.replicas", int64(minInSync(spec.Replicas))),
			{ConfigName: "cleanup.policy", ConfigValue: "delete"},
			// The producer's clock must not decide when a message is removed.
			{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"},
		},
	}}})
	if err != nil {
		return err
	}
	return res.Errors[name]
}

// ready returns nil when the topic has all its leaders, and both pools know it.
func (a admin) ready(ctx context.Context, name string) error {
	if _, err := a.topic(ctx, name); err != nil {
		if errors.Is(err, broker.ErrUnroutable) {
			return kafkago.LeaderNotAvailable // it was just made
		}
		return err
	}
	for _, p := range []*pool{a.pub, a.sub} {
		if err := a.knows(ctx, p, name); err != nil {
			return err
		}
	}
	return nil
}

// knows returns nil when a pool knows all leaders of a topic, and makes it ask
// when not.
func (c *conn) knows(ctx context.Context, p *pool, name string) error {
	m, err := p.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{c.target.name(name)}})
	if err != nil {
		return err
	}
	for _, t := range m.Topics {
		if isUnknownTopic(t.Error) {
			p.refresh()
			return kafkago.LeaderNotAvailable // not yet
		}
		if t.Error != nil {
			return t.Error
		}
		for _, part := range t.Partitions {
			if part.Error != nil {
				return part.Error
			}
		}
	}
	return nil
}
