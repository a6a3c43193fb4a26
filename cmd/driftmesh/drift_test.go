package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/driftmesh/driftmesh/internal/event"
	topicv1 "github.com/driftmesh/driftmesh/proto/driftmesh/topic/v1"
)

// lagging answers with one lag after the other, and the last one for ever.
type lagging struct {
	topicv1.TopicServiceClient
	answers []*topicv1.ListTopicsResponse
	asked   int
}

func (l *lagging) ListTopics(context.Context, *topicv1.ListTopicsRequest, ...grpc.CallOption) (*topicv1.ListTopicsResponse, error) {
	l.asked++
	return l.answers[min(l.asked, len(l.answers))-1], nil
}

func lagOf(topic string, total uint64, oldest time.Duration) *topicv1.ListTopicsResponse {
	g := &topicv1.GroupLag{Known: true, Pending: total, Total: total}
	if oldest > 0 {
		g.OldestAge = durationpb.New(oldest)
	}
	return &topicv1.ListTopicsResponse{Topics: []*topicv1.Topic{{Name: topic, Groups: []*topicv1.GroupLag{g}}}}
}

func TestARunWaitsForWhatWasSentBefore(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	con := console{err: &said}
	topics := &lagging{answers: []*topicv1.ListTopicsResponse{
		lagOf(event.Records, 5, time.Hour), // from before
		lagOf(event.Records, 5, 0),         // of unknown age
		lagOf(event.Records, 7, time.Nanosecond),
		lagOf(event.Windows, 1, time.Hour),
		lagOf(event.Windows, 0, 0),
	}}
	require.NoError(t, driftRunCmd{Wait: time.Minute}.settle(t.Context(), con, topics))
	require.Equal(t, len(topics.answers), topics.asked, "newer records are nobody's concern")
	require.Empty(t, said.String())

	topics = &lagging{answers: []*topicv1.ListTopicsResponse{lagOf(event.Records, 1, time.Hour)}}
	require.NoError(t, driftRunCmd{Wait: time.Millisecond}.settle(t.Context(), con, topics))
	require.Contains(t, said.String(), "after 1ms the topic records still holds")

	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, driftRunCmd{Wait: time.Minute}.settle(ended, con, topics), context.Canceled)
}
