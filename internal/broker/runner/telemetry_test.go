package runner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// traced is a bundle whose broker is instrumented.
func traced(t *testing.T) (*bundle, *tracetest.SpanRecorder, trace.Tracer, *prometheus.Registry) {
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())))
	reg := prometheus.NewPedanticRegistry()
	tel := broker.NewTelemetry(tp, reg)
	require.NotNil(t, broker.NewTelemetry(tp, reg), "a second one shares the collectors")
	return setup(t, tel.Instrument), spans, tp.Tracer("test"), reg
}

// named are the ended spans of a name, in order.
func named(spans *tracetest.SpanRecorder, name string) []sdktrace.ReadOnlySpan {
	var out []sdktrace.ReadOnlySpan
	for _, s := range spans.Ended() {
		if s.Name() == name {
			out = append(out, s)
		}
	}
	return out
}

func attr(s sdktrace.ReadOnlySpan, key string) attribute.Value {
	for _, kv := range s.Attributes() {
		if string(kv.Key) == key {
			return kv.Value
		}
	}
	return attribute.Value{}
}

func TestOneTraceThroughEveryHop(t *testing.T) {
	t.Parallel()
	b, spans, tracer, _ := traced(t)
	ctx, root := tracer.Start(t.Context(), "request")
	accepted := time.Now().Add(-time.Minute)
	own := "00-11111111111111111111111111111111-2222222222222222-01"
	require.NoError(t, b.pub.Publish(ctx, []broker.Message{
		{Topic: "spans", ID: "a", Headers: []broker.Header{{Key: broker.HeaderTime, Value: fmt.Append(nil, accepted.UnixNano())}}},
		{Topic: "spans", ID: "b", Headers: []broker.Header{{Key: "traceparent", Value: []byte(own)}}},
	}))
	root.End()

	got := make(chan string, 2)
	stop := b.run(runner.Config{
		Consumer: broker.ConsumerConfig{Member: "w1"},
		Handler: func(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			for _, d := range ds {
				got <- d.ID + " " + d.Header("traceparent")
			}
			stepCtx, end := runner.Step(ctx, "store spans")
			require.True(t, trace.SpanFromContext(stepCtx).IsRecording())
			end(nil)
			return nil, nil
		},
	})
	eventually(t, b.settled, "settled")
	require.NoError(t, stop())

	send := named(spans, "send spans")
	require.Len(t, send, 1)
	require.Equal(t, root.SpanContext().TraceID(), send[0].SpanContext().TraceID())
	require.Equal(t, trace.SpanKindProducer, send[0].SpanKind())
	require.EqualValues(t, 2, attr(send[0], "messaging.batch.message_count").AsInt64())
	require.Equal(t, "memory", attr(send[0], "messaging.system").AsString())
	require.Len(t, send[0].Links(), 1, "links to what the caller made")
	headers := []string{<-got, <-got}
	sc := send[0].SpanContext()
	require.Contains(t, headers, fmt.Sprintf("a 00-%s-%s-01", sc.TraceID(), sc.SpanID()), "injected")
	require.Contains(t, headers, "b "+own, "never replaced")

	dwell, process, store := named(spans, "dwell spans"), named(spans, "process spans"), named(spans, "store spans")
	require.Len(t, dwell, 2)
	require.Len(t, process, 3, "one per message and the batch's")
	require.Len(t, store, 3)
	byTrace := func(list []sdktrace.ReadOnlySpan, id trace.TraceID) sdktrace.ReadOnlySpan {
		for _, s := range list {
			if s.SpanContext().TraceID() == id {
				return s
			}
		}
		t.Fatalf("no span in trace %s", id)
		return nil
	}
	id := sc.TraceID()
	d, p, s := byTrace(dwell, id), byTrace(process, id), byTrace(store, id)
	require.Equal(t, sc.SpanID(), d.Parent().SpanID())
	require.InDelta(t, accepted.UnixNano(), d.StartTime().UnixNano(), 1000)
	require.InDelta(t, 60, attr(d, "driftmesh.broker.dwell").AsFloat64(), 5)
	require.Equal(t, sc.SpanID(), p.Parent().SpanID())
	require.Equal(t, trace.SpanKindConsumer, p.SpanKind())
	require.EqualValues(t, 1, attr(p, "driftmesh.broker.attempt").AsInt64())
	require.Equal(t, "done", attr(p, "driftmesh.broker.outcome").AsString())
	require.Equal(t, "g", attr(p, "messaging.consumer.group.name").AsString())
	require.Equal(t, "w1", attr(p, "messaging.client.id").AsString())
	require.Equal(t, "a", attr(p, "messaging.message.id").AsString())
	require.Equal(t, p.SpanContext().SpanID(), s.Parent().SpanID())
	require.False(t, s.StartTime().Before(p.StartTime()) || s.EndTime().After(p.EndTime()), "the step lies within")
	byTrace(process, trace.TraceID{0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11})
	for _, s := range process {
		if len(s.Links()) == 2 {
			return
		}
	}
	t.Fatal("the batch's span links to its two messages")
}

func TestRedeliveryAndParkingAreVisible(t *testing.T) {
	t.Parallel()
	b, spans, tracer, reg := traced(t)
	ctx, root := tracer.Start(t.Context(), "request")
	require.NoError(t, b.pub.Publish(ctx, []broker.Message{{Topic: "spans", ID: "a"}}))
	root.End()
	stop := b.run(runner.Config{
		MaxAttempts: 2,
		Handler: func(ctx context.Context, _ []broker.Delivery) ([]runner.Verdict, error) {
			_, end := runner.Step(ctx, "store spans")
			err := fault.Internal.New("boom")
			end(err)
			return nil, err
		},
	})
	eventually(t, b.settled, "settled")
	require.NoError(t, stop())

	var story []string
	for _, s := range named(spans, "process spans") {
		if s.SpanContext().TraceID() == root.SpanContext().TraceID() {
			story = append(story, fmt.Sprintf("attempt %d: %s %s", attr(s, "driftmesh.broker.attempt").AsInt64(),
				attr(s, "driftmesh.broker.outcome").AsString(), attr(s, "driftmesh.dlq.reason").AsString()))
		}
	}
	require.Equal(t, []string{"attempt 1: retry ", "attempt 2: dead max_deliveries"}, story)
	require.Empty(t, named(spans, "send spans.dlq"), "the DLQ copy keeps the context of the original")

	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP driftmesh_broker_parked_total Messages put into the dead-letter topic.
# TYPE driftmesh_broker_parked_total counter
driftmesh_broker_parked_total{group="g",reason="max_deliveries",topic="spans"} 1
# HELP driftmesh_broker_published_total Messages published, by outcome: ok, refused (for good), failed (for now), unknown.
# TYPE driftmesh_broker_published_total counter
driftmesh_broker_published_total{outcome="ok",topic="spans"} 1
driftmesh_broker_published_total{outcome="ok",topic="spans.dlq"} 1
# HELP driftmesh_broker_redelivered_total Messages received that had been delivered before.
# TYPE driftmesh_broker_redelivered_total counter
driftmesh_broker_redelivered_total{group="g",topic="spans"} 1
# HELP driftmesh_broker_retried_total Messages given back to be delivered again.
# TYPE driftmesh_broker_retried_total counter
driftmesh_broker_retried_total{group="g",topic="spans"} 1
# HELP driftmesh_broker_in_flight_messages Messages received and not settled.
# TYPE driftmesh_broker_in_flight_messages gauge
driftmesh_broker_in_flight_messages{group="g",topic="spans"} 0
`), "driftmesh_broker_parked_total", "driftmesh_broker_published_total", "driftmesh_broker_redelivered_total",
		"driftmesh_broker_retried_total", "driftmesh_broker_in_flight_messages"))
}

// Telemetry about the mesh's own telemetry would feed itself.
func TestMeshTenantIsNotTraced(t *testing.T) {
	t.Parallel()
	b, spans, tracer, _ := traced(t)
	own := []broker.Header{
		{Key: broker.HeaderTenant, Value: []byte(broker.MeshTenant)},
		{Key: "traceparent", Value: []byte("00-11111111111111111111111111111111-2222222222222222-01")},
	}
	require.NoError(t, b.pub.Publish(t.Context(), []broker.Message{{Topic: "spans", ID: "a", Headers: own}}))
	require.NoError(t, b.pub.Publish(t.Context(), []broker.Message{{Topic: "spans", ID: "b", Headers: own[:1]}}))
	ids := make(chan string, 2)
	stop := b.run(runner.Config{
		Handler: func(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			_, child := tracer.Start(ctx, "client call")
			child.End()
			_, end := runner.Step(ctx, "store spans")
			end(nil)
			for _, d := range ds {
				ids <- d.ID + d.Header("traceparent")
			}
			return nil, nil
		},
	})
	eventually(t, b.settled, "settled")
	require.NoError(t, stop())
	require.Empty(t, spans.Ended())
	require.ElementsMatch(t, []string{"a00-11111111111111111111111111111111-2222222222222222-01", "b"}, []string{<-ids, <-ids})
}

func TestUnsampledCallerIsNotTraced(t *testing.T) {
	t.Parallel()
	b, spans, _, _ := traced(t)
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(t.Context(), sc)
	require.NoError(t, b.pub.Publish(ctx, []broker.Message{{Topic: "spans", ID: "a"}}))
	got := make(chan string, 1)
	stop := b.run(runner.Config{
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			got <- ds[0].Header("traceparent")
			return nil, nil
		},
	})
	eventually(t, b.settled, "settled")
	require.NoError(t, stop())
	require.Empty(t, <-got, "nobody follows it, so nobody pays for it")
	require.Empty(t, named(spans, "send spans"))
	require.Empty(t, named(spans, "dwell spans"))
}

func TestSampledMessagesOfABatchAreBounded(t *testing.T) {
	t.Parallel()
	b, spans, tracer, _ := traced(t)
	ctx, root := tracer.Start(t.Context(), "request")
	msgs := make([]broker.Message, 200)
	for i := range msgs {
		msgs[i] = broker.Message{Topic: "spans", ID: fmt.Sprint(i)}
	}
	require.NoError(t, b.pub.Publish(ctx, msgs))
	root.End()
	stop := b.run(runner.Config{Handler: func(context.Context, []broker.Delivery) ([]runner.Verdict, error) { return nil, nil }})
	eventually(t, b.settled, "settled")
	require.NoError(t, stop())
	require.Len(t, named(spans, "dwell spans"), 64)
	require.Len(t, named(spans, "process spans"), 65)
	for _, s := range named(spans, "process spans") {
		if v := attr(s, "driftmesh.links.dropped"); v.AsInt64() > 0 {
			require.EqualValues(t, 136, v.AsInt64())
			return
		}
	}
	t.Fatal("the batch's span says how many links it dropped")
}

func TestLagMetric(t *testing.T) {
	t.Parallel()
	b, _, _, reg := traced(t)
	gate := make(chan struct{})
	b.publish("a", "b", "c")
	stop := b.run(runner.Config{Handler: func(context.Context, []broker.Delivery) ([]runner.Verdict, error) {
		<-gate
		return nil, nil
	}})
	eventually(t, func() bool {
		n, err := testutil.GatherAndCount(reg, "driftmesh_broker_lag_messages")
		return err == nil && n == 1
	}, "the group is reported")
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP driftmesh_broker_lag_messages Messages the group has still to do: waiting and in flight.
# TYPE driftmesh_broker_lag_messages gauge
driftmesh_broker_lag_messages{group="g",topic="spans"} 3
`), "driftmesh_broker_lag_messages"))
	close(gate)
	require.NoError(t, stop())
	n, err := testutil.GatherAndCount(reg, "driftmesh_broker_lag_messages")
	require.NoError(t, err)
	require.Zero(t, n, "a group that is not worked is not reported")
}
