package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// brokerMax is message.max.bytes of a broker that nobody configured.
const brokerMax = 1048588

// known is what this process knows about a topic that exists.
type known struct {
	max       int   // max.message.bytes
	retention int64 // retention.bytes of a partition, not positive if unlimited
}

// topics remembers the topics this process has seen.
type topics struct{ seen sync.Map } // name → *known

// limit is the smallest max.message.bytes of all topics seen, at most most.
func (t *topics) limit(most int) int {
	t.seen.Range(func(_, v any) bool {
		most = min(most, v.(*known).max)
		return true
	})
	return most
}

// topic returns what is known about a topic, asking when it is nothing yet.
func (c *conn) topic(ctx context.Context, name string) (*known, error) {
	if v, ok := c.topics.seen.Load(name); ok {
		return v.(*known), nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := c.partitions(ctx, name); err != nil {
		return nil, err
	}
	k := &known{max: brokerMax, retention: -1}
	if cfg, err := c.topicConfig(ctx, name); err == nil {
		if n, err := strconv.Atoi(cfg[configMaxMessage]); err == nil {
			k.max = n
		}
		k.retention = value(cfg, configMaxBytes)
	} else if !isDenied(err) {
		return nil, err
	}
	v, _ := c.topics.seen.LoadOrStore(name, k)
	return v.(*known), nil
}

// lanes are the partitions of a topic. Those added a moment ago may be missing.
func (c *conn) lanes(ctx context.Context, name string) ([]int, error) {
	m, err := c.sub.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{c.target.name(name)}})
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, t := range m.Topics {
		if t.Error != nil && !isUnknownTopic(t.Error) {
			return nil, t.Error
		}
		for _, p := range t.Partitions {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) > 0 {
		return ids, nil
	}
	c.sub.refresh() // it may just have been made
	list, err := c.partitions(ctx, name)
	for _, p := range list {
		ids = append(ids, p.ID)
	}
	return ids, err
}

// partitions asks a broker for the partitions of a topic, past all caches.
func (c *conn) partitions(ctx context.Context, name string) ([]kafkago.Partition, error) {
	d := c.newDialer(nil)
	var err error
	for _, i := range rand.Perm(len(c.target.brokers)) {
		var kc *kafkago.Conn
		if kc, err = d.DialContext(ctx, "tcp", c.target.brokers[i]); err != nil {
			continue
		}
		var list []kafkago.Partition
		if err = kc.SetDeadline(time.Now().Add(probeTimeout)); err == nil {
			list, err = kc.ReadPartitions(c.target.name(name))
		}
		_ = kc.Close() // it is of no further use
		if err == nil {
			return list, nil
		}
		if isUnknownTopic(err) {
			return nil, fmt.Errorf("%w: %q", broker.ErrUnroutable, name)
		}
	}
	c.link.doubt(err)
	return nil, classify(err)
}

// Settings of a Kafka topic that are ours.
const (
	configMaxAge     = "retention.ms"
	configMaxBytes   = "retention.bytes" // of one partition
	configMaxMessage = "max.message.bytes"
)

// topicConfig reads our settings of a topic.
func (c *conn) topicConfig(ctx context.Context, name string) (map[string]string, error) {
	res, err := c.pub.DescribeConfigs(ctx, &kafkago.DescribeConfigsRequest{
		Resources: []kafkago.DescribeConfigRequestResource{{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: c.target.name(name),
			ConfigNames: []string{configMaxAge, configMaxBytes, configMaxMessage},
		}},
	})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range res.Resources {
		if r.Error != nil {
			return nil, r.Error
		}
		for _, e := range r.ConfigEntries {
			out[e.ConfigName] = e.ConfigValue
		}
	}
	return out, nil
}

// persist calls f until it succeeds, fails for good, or ctx ends; but not while
// the cluster is away. Kafka answers many a question with "not now".
func (c *conn) persist(ctx context.Context, p *pool, f func(ctx context.Context) error) error {
	for wait := backoff(0); ; wait = wait.next() {
		if err := c.link.err(); err != nil {
			return err
		}
		err := f(ctx)
		if err == nil {
			return nil
		}
		c.link.doubt(err)
		if isMoved(err) {
			p.refresh()
		}
		err = classify(err)
		if !passing(err) {
			return err
		}
		t := time.NewTimer(wait.duration())
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}

// backoff counts up to about two seconds.
type backoff int

func (b backoff) next() backoff           { return min(b+1, 6) }
func (b backoff) duration() time.Duration { return 31250 * time.Microsecond << b }
