package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func numbered(i int) sdk.Record {
	return sdk.Features("cellar/wine", sdk.Int("n", int64(i))).WithID(fmt.Sprint(i))
}

func ids(records []*ingestv1.Record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = r.GetId()
	}
	return out
}

func upTo(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}

func TestRecordsArriveAsTheyWereMade(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithBatch(1000, 1<<20, time.Minute)) // one batch: between batches order is not kept
	at := time.Unix(1_700_000_000, 42)
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled})
	ctx := trace.ContextWithSpanContext(t.Context(), sc)
	require.NoError(t, client.Send(ctx, sdk.Features("cellar/wine",
		sdk.Float("acid", math.Inf(1)), sdk.Int("age", -3), sdk.String("colour", "röd"), sdk.Bool("organic", true), sdk.Missing("grade"),
	).WithID("a").WithTime(at)))
	before := time.Now()
	require.NoError(t, client.Send(t.Context(), sdk.Metrics("cellar/wine", map[string]float64{"rmse": 0.5, "mae": 1})))
	require.NoError(t, client.Send(t.Context(), sdk.Context("cellar/wine", map[string]any{"in": "red?"})))
	require.NoError(t, client.Send(t.Context(), sdk.Labels("cellar/wine", "a", sdk.Bool("organic", false))))
	require.ErrorContains(t, client.Send(t.Context(), sdk.Labels("cellar/wine", "", sdk.Bool("organic", false))), "labels need the id")
	require.NoError(t, client.Flush(t.Context()))

	got := gateway.Records()
	require.Len(t, got, 4)
	require.Equal(t, "a", got[3].GetId())
	require.Equal(t, "organic", got[3].GetLabels().GetValues()[0].GetName())
	require.Equal(t, "a", got[0].GetId())
	require.Equal(t, "cellar/wine", got[0].GetProfile())
	require.Equal(t, at.UnixNano(), got[0].GetEventTime().AsTime().UnixNano())
	require.Equal(t, "00-01020000000000000000000000000000-0300000000000000-01", got[0].GetTraceparent())
	values := got[0].GetFeatures().GetValues()
	require.True(t, math.IsInf(values[0].GetFloat(), 1))
	require.Equal(t, int64(-3), values[1].GetInt())
	require.Equal(t, "röd", values[2].GetString_())
	require.True(t, values[3].GetBool())
	require.NotNil(t, values[4].GetMissing())
	require.Equal(t, "mae", got[1].GetMetrics().GetValues()[0].GetName())
	require.InDelta(t, 0.5, got[1].GetMetrics().GetValues()[1].GetValue(), 0)
	require.JSONEq(t, `{"in":"red?"}`, got[2].GetContext().GetJson())
	require.NotEmpty(t, got[1].GetId(), "a record has a name, so that sending it again counts once")
	require.NotEqual(t, got[1].GetId(), got[2].GetId())
	require.Empty(t, got[1].GetTraceparent())
	require.WithinRange(t, got[1].GetEventTime().AsTime(), before, time.Now())
}

func TestRecordsThatCannotBeMadeAreRefusedHere(t *testing.T) {
	t.Parallel()
	client := sdktest.New(t).Client()
	for name, r := range map[string]sdk.Record{
		"empty":         {},
		"empty value":   sdk.Features("p", sdk.Value{}),
		"metric NaN":    sdk.Metrics("p", map[string]float64{"a": math.NaN()}),
		"list":          sdk.Context("p", []int{1}),
		"not JSON":      sdk.Context("p", func() {}),
		"null":          sdk.Context("p", nil),
		"text as usual": sdk.Context("p", "hello"),
	} {
		require.Error(t, client.Send(t.Context(), r), name)
		require.Error(t, client.Publish(t.Context(), r), name)
	}
}

func TestNothingIsLostToFailures(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithBatch(7, 1<<20, time.Millisecond))
	away := status.Error(codes.Unavailable, "the broker is away")
	gateway.Fail(away, away)
	const n = 500
	for i := range n {
		if i == 200 {
			gateway.Fail(away, status.Error(codes.Internal, "oops"))
		}
		require.NoError(t, client.Send(t.Context(), numbered(i)))
	}
	require.NoError(t, client.Flush(t.Context()))
	// A repeat is fine, a gap is not.
	seen := map[string]bool{}
	for _, id := range ids(gateway.Records()) {
		seen[id] = true
	}
	require.Len(t, seen, n)
	require.Equal(t, uint64(n), client.Stats().Records.Accepted)
	require.Zero(t, client.Stats().Records.Queued)
}

func TestTheWaitThatTheMeshAsksForIsKept(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client()
	st, err := status.New(codes.ResourceExhausted, "full").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(150 * time.Millisecond)})
	require.NoError(t, err)
	gateway.Fail(st.Err())
	start := time.Now()
	require.NoError(t, client.Send(t.Context(), numbered(0)))
	require.NoError(t, client.Flush(t.Context()))
	require.GreaterOrEqual(t, time.Since(start), 150*time.Millisecond)
	require.Equal(t, upTo(1), ids(gateway.Records()))
}

func TestRefusedRecordsAreNamed(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	gateway.Refuse(func(r *ingestv1.Record) *ingestv1.Rejection {
		if r.GetId() == "3" {
			return &ingestv1.Rejection{Field: "profile", Reason: "unknown_profile", Message: "no such profile"}
		}
		return nil
	})
	var mu sync.Mutex
	var told []sdk.Rejection
	client := gateway.Client(sdk.WithOnRejected(func(r sdk.Rejection) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, r)
	}))
	for i := range 5 {
		require.NoError(t, client.Send(t.Context(), numbered(i)))
	}
	want := sdk.Rejection{RecordID: "3", Field: "profile", Reason: "unknown_profile", Message: "no such profile"}
	var rejected *sdk.RejectedError
	require.ErrorAs(t, client.Flush(t.Context()), &rejected)
	require.Equal(t, &sdk.RejectedError{Signal: "records", Count: 1, Rejections: []sdk.Rejection{want}}, rejected)
	require.Equal(t, []string{"0", "1", "2", "4"}, ids(gateway.Records()))
	require.NoError(t, client.Flush(t.Context()), "each is told once")
	mu.Lock()
	require.Equal(t, []sdk.Rejection{want}, told)
	mu.Unlock()

	err := client.Publish(t.Context(), numbered(3), numbered(9))
	require.ErrorAs(t, err, &rejected)
	require.Equal(t, want, rejected.Rejections[0])
	require.Equal(t, []string{"0", "1", "2", "4", "9"}, ids(gateway.Records()))
}

func TestABatchThatIsRefusedHurtsNoOther(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithBatch(1, 1<<20, 0))
	release := gateway.Hold()
	for i := range 3 {
		require.NoError(t, client.Send(t.Context(), numbered(i)))
	}
	gateway.Fail(status.Error(codes.InvalidArgument, "cannot read this"))
	release()
	var unsent *sdk.UnsentError
	require.ErrorAs(t, client.Flush(t.Context()), &unsent)
	require.Equal(t, uint64(1), unsent.Count)
	require.Equal(t, codes.InvalidArgument, status.Code(unsent.Cause))
	require.Len(t, gateway.Records(), 2)
}

func TestRefusedAccessGivesUp(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client()
	gateway.Fail(status.Error(codes.Unauthenticated, "who are you"))
	require.NoError(t, client.Send(t.Context(), numbered(0)))
	var unsent *sdk.UnsentError
	require.ErrorAs(t, client.Flush(t.Context()), &unsent)
	require.Equal(t, codes.Unauthenticated, status.Code(unsent.Cause))
	require.Zero(t, client.Stats().Records.Queued)
	require.NoError(t, client.Send(t.Context(), numbered(1)))
	require.NoError(t, client.Flush(t.Context()))
}

func TestAFullQueuePushesBack(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithBatch(2, 1<<20, time.Hour), sdk.WithQueue(4, 1<<20))
	release := gateway.Hold()
	for i := range 4 {
		require.NoError(t, client.TrySend(t.Context(), numbered(i)))
	}
	require.ErrorIs(t, client.TrySend(t.Context(), numbered(4)), sdk.ErrFull)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, client.Send(ctx, numbered(4)), context.DeadlineExceeded)
	sent := make(chan error)
	go func() { sent <- client.Send(t.Context(), numbered(4)) }()
	release()
	require.NoError(t, <-sent)
	require.NoError(t, client.Flush(t.Context()))
	require.ElementsMatch(t, upTo(5), ids(gateway.Records()))
}

func TestShutdownSendsWhatIsQueued(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithBatch(100, 1<<20, time.Hour))
	for i := range 10 {
		require.NoError(t, client.Send(t.Context(), numbered(i)))
	}
	require.NoError(t, client.Shutdown(t.Context()))
	require.NoError(t, client.Shutdown(t.Context()))
	require.Equal(t, upTo(10), ids(gateway.Records()))
	require.ErrorIs(t, client.Send(t.Context(), numbered(11)), sdk.ErrClosed)
}

func TestShutdownTellsWhatIsLost(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client()
	defer gateway.Hold()()
	require.NoError(t, client.Send(t.Context(), numbered(0)))
	_, span := client.TracerProvider().Tracer("test").Start(t.Context(), "left behind")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := client.Shutdown(ctx)
	var lost *sdk.LossError
	require.ErrorAs(t, err, &lost)
	require.Len(t, lost.Losses, 2)
	for i, signal := range []string{"records", "spans"} {
		loss := lost.Losses[i]
		require.Equal(t, signal, loss.Signal)
		require.Equal(t, uint64(1), loss.Count)
		require.Equal(t, map[string]uint64{sdk.DroppedShutdown: 1}, loss.By)
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "1 records to mesh (shutdown 1)")
	require.ErrorContains(t, err, "1 spans to mesh (shutdown 1)")
}

func TestPublishWaitsForTheMesh(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithBatch(2, 1<<20, time.Hour))
	gateway.Fail(status.Error(codes.Unavailable, "away"))
	require.NoError(t, client.Publish(t.Context(), numbered(0), numbered(1), numbered(2)))
	require.Equal(t, upTo(3), ids(gateway.Records()))
	gateway.Fail(status.Error(codes.PermissionDenied, "no"))
	require.Equal(t, codes.PermissionDenied, status.Code(client.Publish(t.Context(), numbered(3))))
}

func TestCredentialsAreSent(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	var asked int
	client := gateway.Client(sdk.WithAPIKey("key-1"), sdk.WithTokenSource(func(context.Context) (string, error) {
		if asked++; asked == 1 {
			return "", errors.New("no token yet")
		}
		return "token-1", nil
	}))
	require.NoError(t, client.Publish(t.Context(), numbered(0)))
	calls := gateway.Calls()
	require.Len(t, calls, 1)
	require.Equal(t, []string{"key-1"}, calls[0].Get("x-api-key"))
	require.Equal(t, []string{"Bearer token-1"}, calls[0].Get("authorization"))
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]sdk.Option{
		"no batch":    sdk.WithBatch(0, 1, 0),
		"small queue": sdk.WithQueue(1, 1),
		"no flight":   sdk.WithInFlight(0),
		"no wait":     sdk.WithRetry(0, 0),
	} {
		_, err := sdk.New("127.0.0.1:1", o)
		require.Error(t, err, name)
	}
}

func TestManySendersShareOneClient(t *testing.T) {
	t.Parallel()
	gateway := sdktest.New(t)
	client := gateway.Client(sdk.WithBatch(50, 1<<20, time.Millisecond), sdk.WithQueue(200, 1<<20))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 250 {
				if err := client.Send(t.Context(), numbered(w*250+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, client.Flush(t.Context()))
	require.ElementsMatch(t, upTo(1000), ids(gateway.Records()))
}
