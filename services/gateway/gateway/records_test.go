package gateway_test

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/settings"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

// published reads everything that the topic records holds.
func (w *world) published() (messages []broker.Delivery, records []*ingestv1.Record) {
	w.t.Helper()
	ctx := w.t.Context()
	group := "g" + strings.ReplaceAll(uuid.NewString(), "-", "")
	require.NoError(w.t, w.admin.Admin().EnsureGroup(ctx, broker.GroupSpec{Topic: event.Records, Name: group}))
	consumer, err := w.admin.Consumer(broker.ConsumerConfig{Topic: event.Records, Group: group, MaxMessages: 10_000, Linger: 50 * time.Millisecond})
	require.NoError(w.t, err)
	defer consumer.Close(ctx)
	for {
		lag, err := w.admin.Admin().Lag(ctx, event.Records, group)
		require.NoError(w.t, err)
		if lag.Pending == 0 {
			return messages, records
		}
		batch, err := consumer.Receive(ctx)
		require.NoError(w.t, err)
		for _, d := range batch.Deliveries {
			messages = append(messages, d)
			var rb eventv1.RecordBatch
			require.NoError(w.t, proto.Unmarshal(d.Value, &rb))
			records = append(records, rb.GetRecords()...)
		}
		require.NoError(w.t, batch.Ack(ctx))
	}
}

func wine(id string, features ...*ingestv1.Feature) *ingestv1.Record {
	return &ingestv1.Record{
		Id: id, Profile: "wine/red",
		Body: &ingestv1.Record_Features{Features: &ingestv1.Features{Values: features}},
	}
}

func float(name string, v float64) *ingestv1.Feature {
	return &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_Float{Float: v}}
}

func integer(name string, v int64) *ingestv1.Feature {
	return &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_Int{Int: v}}
}

func text(name, v string) *ingestv1.Feature {
	return &ingestv1.Feature{Name: name, Value: &ingestv1.Feature_String_{String_: v}}
}

func TestPublishRecords(t *testing.T) {
	t.Parallel()
	w := start(t)
	before := time.Now()
	at := timestamppb.New(before.Add(-time.Hour))
	resp, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{
		wine("a", float("alcohol", math.NaN()), integer("quality", 5), text("colour", "red")),
		wine("", integer("alcohol", 9), &ingestv1.Feature{Name: "colour"},
			&ingestv1.Feature{Name: "quality", Value: &ingestv1.Feature_Missing{Missing: &ingestv1.Missing{}}},
			&ingestv1.Feature{Name: "organic", Value: &ingestv1.Feature_Bool{Bool: true}}),
		{Id: "m", Profile: wineUID, EventTime: at, Body: &ingestv1.Record_Metrics{Metrics: &ingestv1.Metrics{Values: []*ingestv1.Metric{{Name: "mae", Value: 0.5}}}}},
		{Id: "c", Profile: "wine/red/1.0.0", Body: &ingestv1.Record_Context{Context: &ingestv1.Context{Json: ` {"a": [1, "ü"]}`}}},
		wine("inf", float("alcohol", math.Inf(-1)), float("quality", 5.5), float("vintage", 1998)),
	}})
	require.NoError(t, err)
	require.Equal(t, uint64(5), resp.GetAccepted(), resp)
	require.Zero(t, resp.GetRejected())

	messages, records := w.published()
	require.Len(t, messages, 1)
	stamp := envelope.Of(&messages[0].Message)
	require.Equal(t, "acme", stamp.Tenant)
	require.Equal(t, event.TypeRecords, stamp.Type)
	require.Equal(t, 5, stamp.Count)
	require.Equal(t, "gw-1/1:1", stamp.Seq)
	require.WithinDuration(t, before, stamp.Accepted, patience)
	require.Len(t, records, 5)
	for _, r := range records {
		require.Equal(t, wineUID, r.GetProfile())
	}
	require.True(t, math.IsNaN(records[0].GetFeatures().GetValues()[0].GetFloat()))
	given, err := uuid.Parse(records[1].GetId())
	require.NoError(t, err)
	require.Equal(t, uuid.Version(7), given.Version())
	require.Nil(t, records[1].GetEventTime(), "it has none of its own: its message says when it came")
	require.Equal(t, at.AsTime(), records[2].GetEventTime().AsTime())
	require.JSONEq(t, `{"a": [1, "ü"]}`, records[3].GetContext().GetJson())
}

func TestEmptyBatchIsFine(t *testing.T) {
	t.Parallel()
	w := start(t)
	resp, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{})
	require.NoError(t, err)
	require.Zero(t, resp.GetAccepted())
	messages, _ := w.published()
	require.Empty(t, messages)
}

func TestBadRecordsAreRefusedAlone(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *gateway.Config) { c.Records.MaxContext = 1000 })
	metrics := func(values ...*ingestv1.Metric) *ingestv1.Record {
		return &ingestv1.Record{Profile: "wine/red", Body: &ingestv1.Record_Metrics{Metrics: &ingestv1.Metrics{Values: values}}}
	}
	context := func(json string) *ingestv1.Record {
		return &ingestv1.Record{Profile: "wine/red", Body: &ingestv1.Record_Context{Context: &ingestv1.Context{Json: json}}}
	}
	with := func(change func(*ingestv1.Record)) *ingestv1.Record {
		r := wine("", float("alcohol", 1))
		change(r)
		return r
	}
	tests := []struct {
		name          string
		record        *ingestv1.Record
		field, reason string
	}{
		{"long id", with(func(r *ingestv1.Record) { r.Id = strings.Repeat("x", 129) }), "id", "invalid_id"},
		{"no profile", with(func(r *ingestv1.Record) { r.Profile = "" }), "profile", "unknown_profile"},
		{"unknown profile", with(func(r *ingestv1.Record) { r.Profile = "wine/white" }), "profile", "unknown_profile"},
		{"ten years back", with(func(r *ingestv1.Record) { r.EventTime = timestamppb.New(time.Now().AddDate(-10, 0, 0)) }), "event_time", "event_time_out_of_range"},
		{"ten years ahead", with(func(r *ingestv1.Record) { r.EventTime = timestamppb.New(time.Now().AddDate(10, 0, 0)) }), "event_time", "event_time_out_of_range"},
		{"no time at all", with(func(r *ingestv1.Record) { r.EventTime = &timestamppb.Timestamp{Nanos: -1} }), "event_time", "event_time_out_of_range"},
		{"bad traceparent", with(func(r *ingestv1.Record) { r.Traceparent = "00-00000000000000000000000000000000-0102030405060708-01" }), "traceparent", "invalid_trace_context"},
		{"bad tracestate", with(func(r *ingestv1.Record) { r.Tracestate = "===" }), "tracestate", "invalid_trace_context"},
		{"no body", &ingestv1.Record{Profile: "wine/red"}, "", "empty_record"},
		{"no features", wine(""), "features.values", "empty_record"},
		{"unknown feature", wine("", float("alcohol", 1), float("sweetness", 1)), "features.values[1].name", "unknown_feature"},
		{"feature twice", wine("", float("alcohol", 1), float("alcohol", 1)), "features.values[1].name", "duplicate_name"},
		{"half of a category of ints", wine("", float("vintage", 1998.5)), "features.values[0].float", "type_mismatch"},
		{"infinite category of ints", wine("", float("vintage", math.Inf(1))), "features.values[0].float", "type_mismatch"},
		{"text for a number", wine("", text("alcohol", "9.4")), "features.values[0].string", "type_mismatch"},
		{"number for a text", wine("", integer("colour", 1)), "features.values[0].int", "type_mismatch"},
		{"text for a bool", wine("", text("organic", "true")), "features.values[0].string", "type_mismatch"},
		{"huge text", wine("", text("colour", strings.Repeat("x", 64<<10+1))), "features.values[0].string", "too_large"},
		{"no metrics", metrics(), "metrics.values", "empty_record"},
		{"metric without a name", metrics(&ingestv1.Metric{Value: 1}), "metrics.values[0].name", "empty_record"},
		{"metric twice", metrics(&ingestv1.Metric{Name: "a"}, &ingestv1.Metric{Name: "a"}), "metrics.values[1].name", "duplicate_name"},
		{"metric not a number", metrics(&ingestv1.Metric{Name: "a", Value: math.NaN()}), "metrics.values[0].value", "not_finite"},
		{"metric infinite", metrics(&ingestv1.Metric{Name: "a", Value: math.Inf(1)}), "metrics.values[0].value", "not_finite"},
		{"context of no object", context(`[1]`), "context.json", "invalid_context"},
		{"context of no JSON", context(`{"a":`), "context.json", "invalid_context"},
		{"huge context", context(`{"a":"` + strings.Repeat("x", 1000) + `"}`), "context.json", "too_large"},
		{"same id again", wine("twin", float("alcohol", 2)), "id", "duplicate_id"},
	}
	batch := []*ingestv1.Record{wine("twin", float("alcohol", 1))}
	for _, tt := range tests {
		batch = append(batch, tt.record)
	}
	batch = append(batch, wine("last", float("alcohol", 1)))
	resp, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: batch})
	require.NoError(t, err)
	require.Equal(t, uint64(2), resp.GetAccepted())
	require.Equal(t, uint64(len(tests)), resp.GetRejected())
	require.Len(t, resp.GetRejections(), len(tests))
	for i, tt := range tests {
		got := resp.GetRejections()[i]
		require.Equal(t, uint32(i+1), got.GetIndex(), tt.name)
		require.Equal(t, tt.field, got.GetField(), tt.name)
		require.Equal(t, tt.reason, got.GetReason(), tt.name)
		require.NotEmpty(t, got.GetMessage(), tt.name)
	}
	_, records := w.published()
	require.Len(t, records, 2)
	require.Equal(t, []string{"twin", "last"}, []string{records[0].GetId(), records[1].GetId()})
}

func TestBatchesAreCut(t *testing.T) {
	t.Parallel()
	w := start(t)
	var batch []*ingestv1.Record
	for range 30 {
		batch = append(batch, wine("", text("colour", strings.Repeat("r", 60<<10))))
	}
	resp, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: batch})
	require.NoError(t, err)
	require.Equal(t, uint64(30), resp.GetAccepted())
	messages, records := w.published()
	require.Len(t, records, 30)
	require.Len(t, messages, 4)
	seqs := map[string]bool{}
	for _, m := range messages {
		require.LessOrEqual(t, len(m.Value), 512<<10)
		seqs[envelope.Of(&m.Message).Seq] = true
	}
	require.Equal(t, map[string]bool{"gw-1/1:1": true, "gw-1/2:1": true, "gw-1/3:1": true, "gw-1/4:1": true}, seqs)
}

func TestOversizedRequestIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *gateway.Config) { c.MaxRequest = 64 << 10 })
	_, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{
		Records: []*ingestv1.Record{wine("", text("colour", strings.Repeat("r", 65<<10)))},
	})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
}

func TestStreamRecords(t *testing.T) {
	t.Parallel()
	w := start(t)
	stream, err := w.ingest().StreamRecords(as(t, "acme"))
	require.NoError(t, err)
	for i := range 50 {
		batch := []*ingestv1.Record{wine("", float("alcohol", 1)), wine("", float("sweetness", float64(i)))}
		require.NoError(t, stream.Send(&ingestv1.StreamRecordsRequest{Records: batch}))
	}
	sum, err := stream.CloseAndRecv()
	require.NoError(t, err)
	require.Equal(t, uint64(50), sum.GetBatches())
	require.Equal(t, uint64(50), sum.GetAccepted())
	require.Equal(t, uint64(50), sum.GetRejected())
	require.Len(t, sum.GetRejections(), 50)
	for i, r := range sum.GetRejections() {
		require.Equal(t, uint32(2*i+1), r.GetIndex())
		require.Equal(t, "unknown_feature", r.GetReason())
	}
	_, records := w.published()
	require.Len(t, records, 50)
}

func TestExchangeRecords(t *testing.T) {
	t.Parallel()
	w := start(t)
	stream, err := w.ingest().ExchangeRecords(as(t, "acme"))
	require.NoError(t, err)
	const batches = 100
	go func() {
		for i := range batches {
			batch := []*ingestv1.Record{wine("", float("alcohol", 1)), {Id: "bad"}}
			if stream.Send(&ingestv1.ExchangeRecordsRequest{BatchId: uint64(i), Records: batch}) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}()
	seen := map[uint64]bool{}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.False(t, seen[answer.GetBatchId()])
		seen[answer.GetBatchId()] = true
		require.Equal(t, uint64(1), answer.GetAccepted())
		require.Equal(t, uint64(1), answer.GetRejected())
		require.Equal(t, uint32(1), answer.GetRejections()[0].GetIndex())
		require.Empty(t, answer.GetRetryReason())
	}
	require.Len(t, seen, batches)
}

func requireRetry(t *testing.T, err error) {
	t.Helper()
	st := status.Convert(err)
	require.Equal(t, codes.Unavailable, st.Code(), err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			require.Positive(t, info.GetRetryDelay().AsDuration())
			return
		}
	}
	t.Fatalf("no RetryInfo in %v", st)
}

func TestBrokerAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	req := &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("a", float("alcohol", 1))}}
	w.broker.Down()
	began := time.Now()
	_, err := w.ingest().PublishRecords(as(t, "acme"), req)
	requireRetry(t, err)
	require.Less(t, time.Since(began), 5*time.Second)

	stream, err := w.ingest().ExchangeRecords(as(t, "acme"))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&ingestv1.ExchangeRecordsRequest{BatchId: 1, Records: req.GetRecords()}))
	answer, err := stream.Recv()
	require.NoError(t, err, "the exchange goes on")
	require.Zero(t, answer.GetAccepted())
	require.NotEmpty(t, answer.GetRetryReason())
	w.broker.Up()
	require.NoError(t, stream.Send(&ingestv1.ExchangeRecordsRequest{BatchId: 2, Records: req.GetRecords()}))
	answer, err = stream.Recv()
	require.NoError(t, err)
	require.Equal(t, uint64(2), answer.GetBatchId())
	require.Equal(t, uint64(1), answer.GetAccepted())
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)

	messages, _ := w.published()
	require.Len(t, messages, 1)
	require.Equal(t, "gw-1/3:1", envelope.Of(&messages[0].Message).Seq, "a lane whose message failed is not used again")
}

func TestDriftAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.drift.setAway(true)
	req := &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("a", float("alcohol", 1))}}
	_, err := w.ingest().PublishRecords(as(t, "acme"), req)
	requireRetry(t, err)
	w.drift.setAway(false)
	require.Eventually(t, func() bool {
		_, err = w.ingest().PublishRecords(as(t, "acme"), req)
		return err == nil
	}, patience, 10*time.Millisecond, "it is asked again a moment later")
	w.drift.setAway(true)
	_, err = w.ingest().PublishRecords(as(t, "acme"), req)
	require.NoError(t, err, "a profile known before stays known")
	require.Equal(t, 2, w.drift.asked, "at most once a moment")
}

func TestFullDoorSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	req := &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("a", float("alcohol", 1))}}
	one := settings.Size(proto.Size(req))
	w := start(t, func(c *gateway.Config) { c.MaxInFlight = one + one/2; c.Records.Outstanding = 1 })
	w.drift.entered, w.drift.release = make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	client := w.ingest()
	ctx := as(t, "acme")
	go func() {
		_, err := client.PublishRecords(ctx, req)
		first <- err
	}()
	<-w.drift.entered
	_, err := client.PublishRecords(ctx, req)
	requireRetry(t, err)
	close(w.drift.release)
	require.NoError(t, <-first)
}
