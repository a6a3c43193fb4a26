package kafka

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// topicID says which topic of a name it is: one made anew has another. It is
// zero where the brokers give none, as before Kafka 3.1.
type topicID [16]byte

// Versions of requests that carry topic ids.
const (
	metadataWithIDs = 10
	fetchWithIDs    = 13
	fetchByName     = 11
)

// identify asks which topic has the name now.
func (c *conn) identify(ctx context.Context, name string) (id topicID, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if able, err := c.hasIDs(ctx); err != nil || !able {
		return id, err
	}
	ask, full := kmsg.NewPtrMetadataRequest(), c.target.name(name)
	ask.Version = metadataWithIDs
	ask.Topics = []kmsg.MetadataRequestTopic{{Topic: &full}}
	res, err := c.exchange(ctx, c.sub, &exchange{req: ask})
	if err != nil {
		return id, err
	}
	got := res.(*kmsg.MetadataResponse).Topics //nolint:forcetypeassert // it is the request's
	if len(got) == 0 {
		return id, broker.ErrUnavailable
	}
	err = code(got[0].ErrorCode)
	if isUnknownTopic(err) {
		err = fmt.Errorf("%w: %q", broker.ErrUnroutable, name)
	}
	return got[0].TopicID, err
}

// hasIDs reports whether the brokers know ids of topics; kafka-go keeps what it
// asked to itself.
func (c *conn) hasIDs(ctx context.Context) (bool, error) {
	res, err := c.exchange(ctx, c.sub, &exchange{req: kmsg.NewPtrApiVersionsRequest()})
	if err != nil {
		return false, err
	}
	most := map[protocol.ApiKey]int16{}
	for _, k := range res.(*kmsg.ApiVersionsResponse).ApiKeys { //nolint:forcetypeassert // it is the request's
		most[protocol.ApiKey(k.ApiKey)] = k.MaxVersion
	}
	return most[protocol.Metadata] >= metadataWithIDs && most[protocol.Fetch] >= fetchWithIDs, nil
}
