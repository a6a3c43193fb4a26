package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func publishCases() []testCase {
	return []testCase{
		{name: "PublishReceiveAck", run: publishReceiveAck},
		{name: "RoundTripBytes", run: roundTripBytes},
		{name: "RoundTripHeaders", run: roundTripHeaders},
		{name: "TraceContextRoundTrip", run: traceContextRoundTrip},
		{name: "ForeignProducer", run: foreignProducer},
		{name: "PublishPartialFailure", run: publishPartialFailure},
		{name: "Oversized", run: oversized},
		{name: "DedupeWindow", run: dedupeWindow},
	}
}

func publishReceiveAck(e *env) {
	e.provision(broker.TopicSpec{})
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 300})
	e.publish(e.messages("m", 1000)...)
	seen := e.drain(c, 1000, 10*time.Second)
	for v, n := range seen {
		require.Equal(e, 1, n, "message %q", v)
	}
	e.lag(0, 0)
	e.quiet(c, 200*time.Millisecond)
}

func roundTripBytes(e *env) {
	e.provision(broker.TopicSpec{})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	values := [][]byte{{}, {0}, all, {0xff, 0xfe, 0x80}, bytes.Repeat([]byte("0123456789abcdef"), 32<<10)}
	keys := [][]byte{nil, []byte("k"), {}, {0, 1, 0xff}, []byte(" blank ")}
	var msgs []broker.Message
	for i := range values {
		msgs = append(msgs, broker.Message{Topic: e.topic, Value: values[i], Key: keys[i], ID: fmt.Sprint("id-", i)})
	}
	e.publish(msgs...)
	got := e.collect(len(msgs))
	for i := range msgs {
		d := got[fmt.Sprint("id-", i)]
		require.True(e, bytes.Equal(values[i], d.Value), "value %d", i)
		require.Equal(e, keys[i], d.Key, "key %d", i)
		require.Equal(e, keys[i] == nil, d.Key == nil, "nil key %d", i)
	}
}

// collect receives n messages by their id.
func (e *env) collect(n int) map[string]broker.Delivery {
	e.Helper()
	c := e.consumer(e.b, broker.ConsumerConfig{})
	got := map[string]broker.Delivery{}
	for len(got) < n {
		b := e.receive(c, 10*time.Second)
		for _, d := range b.Deliveries {
			d.Value = bytes.Clone(d.Value)
			got[d.ID] = d
		}
		require.NoError(e, b.Ack(e.ctx))
	}
	return got
}

func roundTripHeaders(e *env) {
	e.provision(broker.TopicSpec{})
	var hs []broker.Header
	for i := range 15 {
		hs = append(hs, broker.Header{Key: fmt.Sprintf("h-%02d", i), Value: []byte(strings.Repeat("v", i))})
	}
	hs = append(hs,
		broker.Header{Key: "x.unicode", Value: []byte("Zażółć 日本 🎉")},
		broker.Header{Key: "x.bytes-bin", Value: []byte{0, '\r', '\n', 0xff}},
		broker.Header{Key: "x.empty-bin", Value: []byte{}},
		broker.Header{Key: "x.leading", Value: []byte("  \tleading")},
		broker.Header{Key: "x.trailing", Value: []byte("trailing  ")},
		broker.Header{Key: "x_colon", Value: []byte("a: b; c=d, e")},
	)
	at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	hs = append(hs, broker.Header{Key: broker.HeaderTime, Value: fmt.Append(nil, at.UnixNano())})
	early := at.Add(-time.Hour)
	e.publish(broker.Message{Topic: e.topic, Headers: hs, ID: "id-0", Value: []byte("v")},
		broker.Message{Topic: e.topic, Time: early, ID: "id-1"}, broker.Message{Topic: e.topic, ID: "id-2"})
	got := e.collect(3)
	require.True(e, early.Equal(got["id-1"].Time), "time is the producer's")
	require.Empty(e, got["id-1"].Headers)
	require.WithinDuration(e, time.Now(), got["id-2"].Time, time.Minute, "time is the broker's")
	d := got["id-0"]
	require.Len(e, d.Headers, len(hs))
	for _, h := range hs {
		require.Equal(e, string(h.Value), d.Header(h.Key), "header %q", h.Key)
	}
	require.True(e, at.Equal(d.Time), "time is the header's")

	for _, bad := range []broker.Header{
		{Key: ""}, {Key: "Upper"}, {Key: "with space"}, {Key: "colon:"}, {Key: "ünicode"},
		{Key: "a", Value: []byte("line\nbreak")}, {Key: "a", Value: []byte{0xff}}, {Key: broker.Reserved + "key"},
	} {
		err := e.pub.Publish(e.ctx, []broker.Message{{Topic: e.topic, Headers: []broker.Header{bad}}})
		require.ErrorIs(e, err, broker.ErrInvalid, "header %q", bad.Key)
	}
	twice := []broker.Header{{Key: "a"}, {Key: "a"}}
	require.ErrorIs(e, e.pub.Publish(e.ctx, []broker.Message{{Topic: e.topic, Headers: twice}}), broker.ErrInvalid)
}

func traceContextRoundTrip(e *env) {
	e.provision(broker.TopicSpec{})
	parent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var members []string
	for i := range 32 {
		members = append(members, fmt.Sprintf("vendor%d=value%d", i, i))
	}
	hs := []broker.Header{
		{Key: "traceparent", Value: []byte(parent)},
		{Key: "tracestate", Value: []byte(strings.Join(members, ","))},
		{Key: "baggage", Value: []byte("userId=alice,serverNode=DF%2028;prop=1")},
	}
	e.publish(broker.Message{Topic: e.topic, ID: "id-0", Headers: hs})
	n := 1
	if e.h.Foreign != nil {
		n = 2
		require.NoError(e, e.foreign()(e.ctx, []broker.Message{{
			Topic: e.topic, ID: "id-1", Headers: []broker.Header{{Key: "Traceparent", Value: []byte(parent)}},
		}}))
	}
	got := e.collect(n)
	d := got["id-0"]
	for _, h := range hs {
		require.Equal(e, string(h.Value), d.Header(h.Key))
	}
	for _, d := range got {
		sc := trace.SpanContextFromContext(broker.Extract(e.ctx, &d.Message))
		require.Equal(e, "0af7651916cd43dd8448eb211c80319c", sc.TraceID().String())
		require.Equal(e, sc, broker.SpanContext(&d.Message).WithRemote(true))
	}
}

func foreignProducer(e *env) {
	e.provision(broker.TopicSpec{})
	require.NoError(e, e.foreign()(e.ctx, []broker.Message{{
		Topic: e.topic, ID: "id-0", Key: []byte("key"), Value: []byte("value"), Headers: []broker.Header{{Key: "Some-Header", Value: []byte("x")}},
	}}))
	d := e.collect(1)["id-0"]
	require.Equal(e, "value", string(d.Value))
	require.Equal(e, "key", string(d.Key))
	require.Equal(e, "x", d.Header("some-header"))
	require.WithinDuration(e, time.Now(), d.Time, time.Minute)
}

func publishPartialFailure(e *env) {
	e.provision(broker.TopicSpec{})
	msgs := e.messages("m", 100)
	msgs[42].Value = make([]byte, e.limit()+1)
	msgs[43].Headers = []broker.Header{{Key: "BAD"}}
	err := e.pub.Publish(e.ctx, msgs)
	pe, ok := errors.AsType[*broker.PublishError](err)
	require.True(e, ok, "%v", err)
	require.Equal(e, 100, pe.Total)
	require.Len(e, pe.Failed, 2)
	require.Equal(e, 42, pe.Failed[0].Index)
	require.ErrorIs(e, pe.Failed[0].Err, broker.ErrTooLarge)
	require.Equal(e, 43, pe.Failed[1].Index)
	require.ErrorIs(e, pe.Failed[1].Err, broker.ErrInvalid)
	require.Empty(e, pe.Retryable(msgs))
	seen := e.drain(e.consumer(e.b, broker.ConsumerConfig{}), 98, 10*time.Second)
	for v, n := range seen {
		require.Equal(e, 1, n, "message %q", v)
	}
}

func (e *env) limit() int {
	n := e.b.Capabilities().MaxMessageBytes
	require.Positive(e, n, "the limit is known")
	return n
}

func oversized(e *env) {
	e.provision(broker.TopicSpec{})
	m := broker.Message{Topic: e.topic, ID: "id-0", Headers: []broker.Header{{Key: "a", Value: []byte("b")}}}
	m.Value = make([]byte, e.limit()+1-m.Size())
	start := time.Now()
	require.ErrorIs(e, e.pub.Publish(e.ctx, []broker.Message{m}), broker.ErrTooLarge)
	require.Less(e, time.Since(start), time.Second)
	m.Value = m.Value[1:]
	e.publish(m)
	require.Len(e, e.collect(1)["id-0"].Value, len(m.Value))
}

func dedupeWindow(e *env) {
	e.provision(broker.TopicSpec{})
	m := e.messages("m", 1)
	e.publish(m...)
	e.publish(m...)
	e.publish(broker.Message{Topic: e.topic, Value: []byte("end"), ID: "end"})
	c := e.consumer(e.b, broker.ConsumerConfig{})
	seen := e.drain(c, 2, 10*time.Second)
	want := 2
	if e.b.Capabilities().Dedupe {
		want = 1
	}
	require.Equal(e, want, seen["m0"])
}
