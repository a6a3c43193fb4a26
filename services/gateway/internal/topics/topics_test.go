package topics_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	topicv1 "github.com/driftmesh/driftmesh/proto/driftmesh/topic/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/topics"
)

func as(id identity.Identity) context.Context { return identity.With(context.Background(), id) }

var meshAdmin = identity.Identity{Tenant: identity.MeshTenant, Subject: "admin", Kind: identity.User, Grant: policy.As(policy.Admin)}

// newBroker is a broker with every topic and group of the mesh.
func newBroker(t *testing.T, stats prometheus.Registerer) (broker.Broker, *memory.Server) {
	t.Helper()
	server := memory.NewServer()
	b := broker.NewTelemetry(nil, stats).Instrument(server.Open(memory.Options{}))
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	for _, topic := range event.All() {
		require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: topic.Name}))
		require.NotEmpty(t, topic.Groups, topic.Name)
		for _, group := range topic.Groups {
			require.NoError(t, b.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: topic.Name, Name: group}))
		}
	}
	return b, server
}

// fill puts n messages into a topic and takes some of them in hand.
func fill(t *testing.T, b broker.Broker, topic, group string, n, taken int) {
	t.Helper()
	p, err := b.Publisher()
	require.NoError(t, err)
	msgs := make([]broker.Message, n)
	for i := range msgs {
		msgs[i] = broker.Message{Topic: topic, Value: []byte{byte(i)}}
	}
	require.NoError(t, p.Publish(t.Context(), msgs))
	c, err := b.Consumer(broker.ConsumerConfig{Topic: topic, Group: group, MaxMessages: taken, Linger: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	batch, err := c.Receive(t.Context())
	require.NoError(t, err)
	require.Len(t, batch.Deliveries, taken)
}

// The API and the gauge say the same of every group, dead letters included:
// what waits and what is in flight.
func TestLagHasOneMeaning(t *testing.T) {
	t.Parallel()
	stats := prometheus.NewRegistry()
	b, _ := newBroker(t, stats)
	fill(t, b, event.Spans, event.GroupTraceStore, 10, 3)
	fill(t, b, broker.DLQ(event.Records), event.GroupDeadLetters, 5, 5)
	fill(t, b, event.Retry(event.Records), event.GroupIngest, 4, 1)
	s := topics.New(topics.Config{Readers: process.Readers}, b)
	resp, err := s.ListTopics(as(meshAdmin), &topicv1.ListTopicsRequest{})
	require.NoError(t, err)
	require.Len(t, resp.GetTopics(), len(event.All()))
	lags := map[string]*topicv1.GroupLag{}
	for _, topic := range resp.GetTopics() {
		require.Equal(t, broker.IsDLQ(topic.GetName()), topic.GetDeadLetters())
		for _, g := range topic.GetGroups() {
			require.True(t, g.GetKnown(), topic.GetName())
			require.Equal(t, g.GetTotal(), g.GetPending()+g.GetInFlight())
			lags[topic.GetName()+"/"+g.GetGroup()] = g
		}
	}
	spans, dead := lags["spans/trace-store"], lags["records.dlq/dead-letters"]
	require.Equal(t, []uint64{7, 3, 10}, []uint64{spans.GetPending(), spans.GetInFlight(), spans.GetTotal()})
	require.Positive(t, spans.GetOldestAge().AsDuration())
	require.Equal(t, []uint64{0, 5, 5}, []uint64{dead.GetPending(), dead.GetInFlight(), dead.GetTotal()})
	require.EqualValues(t, 4, lags["records.retry/ingest-worker"].GetTotal())
	require.Zero(t, lags["windows/drift"].GetTotal())
	require.Nil(t, lags["windows/drift"].GetOldestAge())

	stop := s.Watch()
	text := scrape(t, stats)
	for name, lag := range lags {
		var topic, group string
		for i := range name {
			if name[i] == '/' {
				topic, group = name[:i], name[i+1:]
			}
		}
		require.Contains(t, text, fmt.Sprintf("driftmesh_broker_lag_messages{group=%q,topic=%q} %d\n", group, topic, lag.GetTotal()))
	}
	stop()
	require.NotContains(t, scrape(t, stats), "driftmesh_broker_lag_messages{")
}

func scrape(t *testing.T, stats *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(stats, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	raw, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	return string(raw)
}

func TestWhatIsNotKnownSaysWhy(t *testing.T) {
	t.Parallel()
	b, server := newBroker(t, prometheus.NewRegistry())
	s := topics.New(topics.Config{Readers: func(string) []string { return []string{"nobody"} }}, b)
	resp, err := s.ListTopics(as(meshAdmin), &topicv1.ListTopicsRequest{})
	require.NoError(t, err)
	g := resp.GetTopics()[0].GetGroups()[0]
	require.False(t, g.GetKnown())
	require.Equal(t, "the group does not exist", g.GetProblem())

	server.Down()
	defer server.Up()
	resp, err = topics.New(topics.Config{Readers: process.Readers}, b).ListTopics(as(meshAdmin), &topicv1.ListTopicsRequest{})
	require.NoError(t, err)
	for _, topic := range resp.GetTopics() {
		require.False(t, topic.GetGroups()[0].GetKnown())
		require.NotEmpty(t, topic.GetGroups()[0].GetProblem())
	}
}

func TestWhoMaySeeTheMesh(t *testing.T) {
	t.Parallel()
	b, _ := newBroker(t, prometheus.NewRegistry())
	local := identity.Identity{Tenant: identity.DefaultTenant, Subject: "anonymous", Kind: identity.Anonymous, Grant: policy.As(policy.Local)}
	anonymous := identity.Identity{Tenant: identity.DefaultTenant, Subject: "anonymous", Kind: identity.Anonymous, Grant: policy.As(policy.Operator)}
	for name, tt := range map[string]struct {
		who  *identity.Identity
		want error
	}{
		"administrator of the mesh":  {&meshAdmin, nil},
		"user of the mesh":           {&identity.Identity{Tenant: identity.MeshTenant, Subject: "u", Kind: identity.User, Grant: policy.As(policy.Operator)}, fault.Denied},
		"administrator of a tenant":  {&identity.Identity{Tenant: "acme", Subject: "a", Kind: identity.User, Grant: policy.As(policy.Admin)}, fault.Denied},
		"anybody, only this machine": {&local, nil},
		"anybody, other machines":    {&anonymous, fault.Denied},
		"nobody":                     {nil, fault.Unauthenticated},
	} {
		ctx := t.Context()
		if tt.who != nil {
			ctx = as(*tt.who)
		}
		_, err := topics.New(topics.Config{Readers: process.Readers}, b).ListTopics(ctx, &topicv1.ListTopicsRequest{})
		if tt.want == nil {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, tt.want, name)
		}
	}
}
