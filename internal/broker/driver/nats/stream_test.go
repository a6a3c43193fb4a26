package nats_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/nats"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

// bareStream connects with the bare library.
func bareStream(t *testing.T, s *natsserver.Server) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(s.URL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

// A stream of an earlier version, which drops its oldest messages and takes ids
// of strangers for its own, is put right, and nothing else in it is changed.
func TestOldStreamsAreMended(t *testing.T) {
	t.Parallel()
	s := natsserver.Start(t, natsserver.Options{})
	js := bareStream(t, s)
	old := jetstream.StreamConfig{
		Name: "driftmesh_inbox", Subjects: []string{"driftmesh.inbox"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxBytes: 8 << 20, MaxAge: time.Hour, Duplicates: time.Minute, AllowDirect: true, Metadata: map[string]string{"driftmesh-topic": "inbox"},
	}
	_, err := js.CreateStream(t.Context(), old)
	require.NoError(t, err)
	publish := func(id string) error {
		_, err := js.PublishMsg(t.Context(), &natsgo.Msg{Subject: "driftmesh.inbox", Header: natsgo.Header{natsgo.MsgIdHdr: {id}}})
		return err
	}
	require.NoError(t, publish("before")) // which the server may remember as long as it was told
	b := dial(t, nats.Config{URL: s.URL()})
	spec := broker.TopicSpec{Name: "inbox", MaxBytes: 1 << 20, Dedupe: broker.NoDedupe}
	for range 2 {
		require.NoError(t, b.Admin().EnsureTopic(t.Context(), spec))
	}
	stored := func() uint64 {
		stream, err := js.Stream(t.Context(), "driftmesh_inbox")
		require.NoError(t, err)
		info := stream.CachedInfo()
		require.Equal(t, jetstream.DiscardNew, info.Config.Discard)
		require.Zero(t, info.Config.Duplicates)
		require.EqualValues(t, 8<<20, info.Config.MaxBytes)
		require.Equal(t, time.Hour, info.Config.MaxAge)
		return info.State.Msgs
	}
	require.EqualValues(t, 1, stored())
	require.NoError(t, publish("after"))
	require.NoError(t, publish("after"))
	require.EqualValues(t, 3, stored(), "an id says nothing")
	s.Restart()
	require.Eventually(t, func() bool { return publish("after") == nil }, 10*time.Second, 50*time.Millisecond)
	require.EqualValues(t, 4, stored(), "also of a server that has read its streams from disk")
}

// What a worker says late about messages of a group that is no more is not taken
// for a word about the new one's, which counts from one again.
func TestOldAcknowledgementsDoNotReachANewGroup(t *testing.T) {
	t.Parallel()
	s := natsserver.Start(t, natsserver.Options{})
	js := bareStream(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	b := dial(t, nats.Config{URL: s.URL()})
	spec, group := broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Topic: "spans", Name: "g"}
	p, err := b.Publisher()
	require.NoError(t, err)
	provisioned := func(name string) {
		require.NoError(t, broker.Provision(ctx, b.Admin(), spec, group))
		require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", ID: name, Value: []byte(name)}}))
	}
	provisioned("old")
	old := consumer(t, b, "spans", "g")
	late, err := old.Receive(ctx)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(ctx, "driftmesh_spans"))
	provisioned("new")
	crashing := consumer(t, dial(t, nats.Config{URL: s.URL()}), "spans", "g")
	batch, err := crashing.Receive(ctx)
	require.NoError(t, err)
	require.Equal(t, "new", string(batch.Deliveries[0].Value))
	require.Equal(t, late.Deliveries[0].Position, batch.Deliveries[0].Position)
	require.ErrorIs(t, late.Ack(ctx), broker.ErrLeaseLost)
	require.NoError(t, crashing.Close(ctx))
	again, err := old.Receive(ctx)
	require.NoError(t, err)
	require.Equal(t, "new", string(again.Deliveries[0].Value), "nobody has handled it")
	require.NoError(t, again.Ack(ctx))
}

// Who publishes to a topic that somebody has deleted hears of it within seconds,
// and a topic made anew loses nothing that is new, whoever was reading the old
// one.
func TestDeletedTopicIsNoticed(t *testing.T) {
	t.Parallel()
	s := natsserver.Start(t, natsserver.Options{})
	js := bareStream(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	lost := int64(0)
	b := dial(t, nats.Config{URL: s.URL(), Lost: func(_, _ string, n int64) { lost += n }})
	spec, group := broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Topic: "spans", Name: "g"}
	require.NoError(t, broker.Provision(ctx, b.Admin(), spec, group))
	p, err := b.Publisher()
	require.NoError(t, err)
	send := func(name string, n int) {
		for i := range n {
			require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: "spans", ID: fmt.Sprint(name, i), Value: []byte(name)}}))
		}
	}
	seen := make(chan string, 100)
	c := consumer(t, b, "spans", "g")
	working := make(chan struct{})
	go func() {
		defer close(working)
		for {
			batch, err := c.Receive(ctx)
			if err != nil {
				return
			}
			err = batch.Ack(ctx)
			for _, d := range batch.Deliveries {
				seen <- d.ID
			}
			if err != nil {
				t.Errorf("acknowledge: %v", err)
			}
		}
	}()
	tail, err := b.Tail(ctx, "spans")
	require.NoError(t, err)
	send("before", 10)
	next := func() string {
		select {
		case id := <-seen:
			return id
		case <-ctx.Done():
			return "nothing"
		}
	}
	for i := range 10 {
		require.Equal(t, fmt.Sprint("before", i), next())
		d, err := tail.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("before", i), d.ID)
	}

	require.NoError(t, js.DeleteStream(ctx, "driftmesh_spans"))
	require.Eventually(t, func() bool {
		return errors.Is(p.Publish(ctx, []broker.Message{{Topic: "spans"}}), broker.ErrUnroutable)
	}, 5*time.Second, 50*time.Millisecond)

	require.NoError(t, b.Admin().EnsureTopic(ctx, spec))
	send("between", 3)
	require.NoError(t, b.Admin().EnsureGroup(ctx, group))
	send("after", 3)
	for _, name := range []string{"between0", "between1", "between2", "after0", "after1", "after2"} {
		require.Equal(t, name, next())
		d, err := tail.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, name, d.ID)
	}
	require.NoError(t, c.Close(ctx))
	<-working
	require.Zero(t, lost)
}
