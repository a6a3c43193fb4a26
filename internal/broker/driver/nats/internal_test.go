package nats

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url     string
		servers string
		secure  bool
		err     string
	}{
		{url: "nats://127.0.0.1:4222", servers: "nats://127.0.0.1:4222"},
		{url: "nats://a:1,b:2,c/", servers: "nats://a:1,nats://b:2,nats://c"},
		{url: "nats+tls://a", servers: "nats://a", secure: true},
		{url: "nats://user:p%40ss@a:1,b:2", servers: "nats://a:1,nats://b:2"},
		{url: "nats://a?ca=/x&prefix=other&replicas=3&publish-timeout=2s", servers: "nats://a", secure: true},
		{url: "nats://[::1]:4222", servers: "nats://[::1]:4222"},
		{url: "a:4222", err: "no scheme"},
		{url: "nats://", err: "bad host"},
		{url: "nats://a,,b", err: "bad host"},
		{url: "nats://user:s3cret^%zz@a", err: "bad user or password"},
		{url: "nats://a?replicas=9", err: "replicas"},
		{url: "nats://a?publish-timeout=-1s", err: "publish-timeout"},
		{url: "nats://a?prefix=a.b", err: "prefix"},
		{url: "nats://a?inbox-prefix=_INBOX_gateway", servers: "nats://a"},
		{url: "nats://a?inbox-prefix=_INBOX.*", err: "inbox-prefix"},
		{url: "nats://a?nonsense=1", err: "nonsense: not known"},
		{url: "nats://a?token-file=/does/not/exist", err: "token-file"},
		{url: "nats://a?nkey=/does/not/exist", err: "nkey"},
	} {
		got, err := parse(c.url)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.url)
			require.NotContains(t, err.Error(), "s3cret")
			continue
		}
		require.NoError(t, err, c.url)
		require.Equal(t, c.servers, got.servers, c.url)
		require.Equal(t, c.secure, got.secure, c.url)
	}
	got, err := parse("nats://a?prefix=other&replicas=3&publish-timeout=2s")
	require.NoError(t, err)
	require.Equal(t, "other", got.prefix)
	require.Equal(t, 3, got.replicas)
	require.Equal(t, 2*time.Second, got.timeout)
}

func FuzzParseURL(f *testing.F) {
	f.Add("nats://user:pass@a:1,b?replicas=3")
	f.Add("nats+tls://[::1]?ca=x&cert=y")
	f.Fuzz(func(_ *testing.T, raw string) { _, _ = parse(raw) })
}

func TestParseReply(t *testing.T) {
	t.Parallel()
	want := meta{attempt: 2, stream: 7, consumer: 9, stored: time.Unix(0, 1790000000000000000)}
	for _, reply := range []string{
		"$JS.ACK.S.C.2.7.9.1790000000000000000.5",
		"$JS.ACK.hub.ACCHASH.S.C.2.7.9.1790000000000000000.5",
		"$JS.ACK._.ACCHASH.S.C.2.7.9.1790000000000000000.5.token",
	} {
		got, ok := parseReply(reply)
		require.True(t, ok, reply)
		require.Equal(t, want, got, reply)
	}
	for _, reply := range []string{"", "_INBOX.x", "$JS.ACK.S.C.2.7", "$JS.ACK.S.C.x.7.9.1.5"} {
		_, ok := parseReply(reply)
		require.False(t, ok, reply)
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add("$JS.ACK.S.C.2.7.9.1790000000000000000.5")
	f.Add("$JS.ACK.hub.H.S.C.2.7.9.1790000000000000000.5.t")
	f.Fuzz(func(_ *testing.T, reply string) { parseReply(reply) })
}

func TestStoresAll(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"2.15.2": true, "2.14.0-RC.1": true, "3.0.0": true, "2.13.9": false, "2.9.25": false, "": true,
	} {
		require.Equal(t, want, storesAll(version), version)
	}
}

// Close loses the leases that there are. A batch that Receive has ready at that
// very moment must not get one after it: nobody would take it back.
func TestNothingIsLeasedOnceClosed(t *testing.T) {
	t.Parallel()
	k := &consumer{
		conn: &conn{cfg: connect.Config{}.WithDefaults()}, leases: map[*lease]struct{}{}, slots: make(chan struct{}, 1),
		ackWait: time.Minute, since: time.Now(),
	}
	k.closed, k.close = context.WithCancel(t.Context())
	msgs := []*nats.Msg{{Subject: "x", Reply: "$JS.ACK.driftmesh_spans.g.1.7.7.1700000000000000000.0"}}
	k.close()
	require.Empty(t, k.lease(msgs).Deliveries)
	require.Empty(t, k.leases)
	require.Equal(t, msgs, k.carry, "to be given back")
	_, err := k.collect(t.Context())
	require.ErrorIs(t, err, broker.ErrClosed)
}

func TestGap(t *testing.T) {
	t.Parallel()
	at := func(attempt int, stream, consumer uint64) meta {
		return meta{attempt: attempt, stream: stream, consumer: consumer}
	}
	var g gap
	g.start(time.Unix(1, 0), 10, 10)
	require.Zero(t, g.next(at(1, 11, 11)))
	require.Zero(t, g.next(at(1, 14, 14)), "two went to another worker")
	require.Zero(t, g.next(at(2, 11, 15)), "a redelivery")
	require.EqualValues(t, 4, g.next(at(1, 21, 17)), "at least: of 15 to 20 the group got two, or fewer and redeliveries")
	g.start(time.Unix(1, 0), 15, 12)
	require.EqualValues(t, 3, g.next(at(1, 25, 18)), "a worker that joins again goes on where it was")
	g.start(time.Unix(2, 0), 0, 0)
	require.Zero(t, g.next(at(1, 2, 1)), "the group was made anew")
	require.EqualValues(t, 2, g.next(at(1, 5, 2)), "and loses like any other")

	var fresh gap
	fresh.start(time.Unix(1, 0), 0, 0)
	require.Zero(t, fresh.next(at(1, 500, 1)), "the group begins somewhere")
}

// FuzzDecode checks that whatever a foreign producer sends can be published
// again, as parking does.
func FuzzDecode(f *testing.F) {
	f.Add("Traceparent", "00-1-2-01", []byte("v"))
	f.Add("x-bin", "not base64!", []byte{})
	f.Add(headerB64, "a,b", []byte(nil))
	f.Add("a b", "c\xff\x00", []byte("v"))
	f.Fuzz(func(t *testing.T, key, value string, data []byte) {
		in := &nats.Msg{Data: data, Header: nats.Header{key: {value}, strings.ToUpper(key): {value, value}}}
		d := broker.Delivery{}
		decode(in, &d.Message, time.Now())
		d.Topic, d.ID = "spans", ""
		parked := runner.Parked(&d, runner.Park{Reason: runner.ReasonDecode})
		require.NoError(t, broker.ValidMessage(&parked, 0))
	})
}

// FuzzRoundTrip checks that valid messages survive the wire form.
func FuzzRoundTrip(f *testing.F) {
	f.Add("key", []byte(" value "), []byte{0xff}, []byte("v"))
	f.Add("a-bin", []byte{0, 13, 10}, []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, name string, value, key, data []byte) {
		m := broker.Message{Topic: "spans", Key: key, Value: data, Headers: []broker.Header{{Key: name, Value: value}}}
		if broker.ValidMessage(&m, 0) != nil {
			return
		}
		var e encoder
		wire := *e.encode(&m, "subject", "reply")
		for name, vs := range wire.Header { // as NATS does to values
			wire.Header[name] = []string{strings.TrimFunc(vs[0], func(r rune) bool { return r == ' ' || r == '\t' })}
		}
		var got broker.Message
		decode(&wire, &got, time.Now())
		require.True(t, bytes.Equal(value, got.Headers[0].Value), "header: %q, %q", value, got.Headers[0].Value)
		require.True(t, bytes.Equal(key, got.Key) && (key == nil) == (got.Key == nil), "key: %q, %q", key, got.Key)
		require.True(t, bytes.Equal(data, got.Value))
	})
}
