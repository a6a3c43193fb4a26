// Package topics tells how far the readers of every topic are behind, retry
// topics and dead letters included: over the API, and as the same gauge that each worker has
// for its own groups. The gateway tells it too because a worker that does not
// run tells nothing, and then is when somebody must be told.
package topics

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	topicv1 "github.com/driftmesh/driftmesh/proto/driftmesh/topic/v1"
)

// Config says what is told to whom.
type Config struct {
	// Readers are the groups that read a topic.
	Readers func(topic string) []string
}

// Service answers TopicService. It is safe for concurrent use.
type Service struct {
	topicv1.UnimplementedTopicServiceServer
	cfg    Config
	broker broker.Broker
}

var _ topicv1.TopicServiceServer = (*Service)(nil)

// New makes the service; the broker stays the caller's.
func New(cfg Config, b broker.Broker) *Service { return &Service{cfg: cfg, broker: b} }

// names lists all topics, each followed by its retry topic and its dead letters.
func names() []string {
	var all []string
	for _, topic := range event.All() {
		all = append(all, topic.Name)
	}
	return all
}

// Watch exports the lag of every group with the metrics of the broker until
// the returned function is called.
func (s *Service) Watch() (stop func()) {
	var stops []func()
	for _, topic := range names() {
		for _, group := range s.cfg.Readers(topic) {
			stops = append(stops, broker.WatchLag(s.broker, topic, group))
		}
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

const (
	// askTimeout bounds the question about one group.
	askTimeout = 5 * time.Second
	// askAtOnce bounds the questions under way.
	askAtOnce = 8
)

// ListTopics gives every topic with the lag of its groups. A group whose lag is
// not known is in the answer, with the reason.
func (s *Service) ListTopics(ctx context.Context, _ *topicv1.ListTopicsRequest) (*topicv1.ListTopicsResponse, error) {
	if err := identity.Authorize(ctx, policy.TopicsRead); err != nil {
		return nil, err
	}
	resp := &topicv1.ListTopicsResponse{}
	var asks errgroup.Group
	asks.SetLimit(askAtOnce)
	for _, name := range names() {
		topic := &topicv1.Topic{Name: name, DeadLetters: broker.IsDLQ(name)}
		resp.Topics = append(resp.Topics, topic)
		for _, group := range s.cfg.Readers(name) {
			lag := &topicv1.GroupLag{Group: group}
			topic.Groups = append(topic.Groups, lag)
			asks.Go(func() error {
				s.ask(ctx, name, lag)
				return nil
			})
		}
	}
	return resp, errors.Join(asks.Wait(), context.Cause(ctx))
}

// ask fills in the lag of one group.
func (s *Service) ask(ctx context.Context, topic string, to *topicv1.GroupLag) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	lag, err := s.broker.Admin().Lag(ctx, topic, to.GetGroup())
	switch {
	case err != nil:
		to.Problem = fault.Of(err).Message()
		return
	case !lag.Known:
		to.Problem = "the broker cannot tell now"
		return
	}
	to.Known = true
	to.Pending, to.InFlight, to.Total = uint64(max(lag.Pending, 0)), uint64(max(lag.InFlight, 0)), uint64(max(lag.Total(), 0))
	if lag.Oldest > 0 {
		to.OldestAge = durationpb.New(lag.Oldest)
	}
}
