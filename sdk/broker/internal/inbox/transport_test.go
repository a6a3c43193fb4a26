package inbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/broker/internal/inbox"
)

// fake is a broker that does what the test says.
type fake struct {
	publish func(context.Context, *inbox.Message) error
	closed  int
}

func (f *fake) Publish(ctx context.Context, m *inbox.Message) error { return f.publish(ctx, m) }
func (*fake) MaxBytes() int                                         { return 100 }
func (f *fake) Close() error                                        { f.closed++; return nil }

func open(t *testing.T, f *fake, access func(context.Context) (map[string]string, error)) *inbox.Transport {
	t.Helper()
	a, err := inbox.Parse("fake://user:s3cret@here", "1")
	require.NoError(t, err)
	return inbox.New("Fake", a, sdk.TransportConfig{Authorization: access}, f)
}

func TestAMessageSaysWhatItIsAndWhose(t *testing.T) {
	t.Parallel()
	var got *inbox.Message
	f := &fake{publish: func(_ context.Context, m *inbox.Message) error { got = m; return nil }}
	key := "key\n"
	tr := open(t, f, func(context.Context) (map[string]string, error) { return map[string]string{"x-api-key": key}, nil })
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	batch := sdk.Batch{ID: "one", Type: sdk.TypeRecords, Body: []byte("body")}
	_, err := tr.Send(trace.ContextWithSpanContext(t.Context(), span), batch)
	told, ok := errors.AsType[*sdk.TransportError](err)
	require.True(t, ok && told.Permanent, "%v", err)
	require.ErrorContains(t, err, "line break")
	require.NotContains(t, err.Error(), "key\n")

	key = " key "
	answer, err := tr.Send(trace.ContextWithSpanContext(t.Context(), span), batch)
	require.NoError(t, err)
	require.Zero(t, answer)
	require.Equal(t, &inbox.Message{ID: "one", Body: []byte("body"), Headers: map[string]string{
		"driftmesh-type": "records.v1", "x-api-key": "key", "traceparent": "00-01000000000000000000000000000000-0200000000000000-01",
	}}, got)
	require.NoError(t, tr.Close(t.Context()))
}

func TestCredentialsThatAreNotThereMayComeLater(t *testing.T) {
	t.Parallel()
	tr := open(t, &fake{}, func(context.Context) (map[string]string, error) { return nil, errors.New("the issuer is away") })
	_, err := tr.Send(t.Context(), sdk.Batch{})
	told, ok := errors.AsType[*sdk.TransportError](err)
	require.True(t, ok && !told.Permanent, "%v", err)
	require.EqualError(t, err, "Fake at here:1: get credentials: the issuer is away")
}

// A message that nobody answers for ends with the publish timeout, holds its place
// till then, and takes it from nobody for longer.
func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var flying atomic.Int32
		f := &fake{publish: func(ctx context.Context, _ *inbox.Message) error {
			flying.Add(1)
			<-ctx.Done()
			return ctx.Err()
		}}
		tr := open(t, f, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		results := make(chan error, inbox.Flights+1)
		for range inbox.Flights + 1 {
			go func() {
				_, err := tr.Send(ctx, sdk.Batch{})
				results <- err
			}()
		}
		for range inbox.Flights + 1 {
			require.ErrorIs(t, <-results, context.DeadlineExceeded)
		}
		require.EqualValues(t, inbox.Flights, flying.Load())
		begin := time.Now()
		_, err := tr.Send(t.Context(), sdk.Batch{}) // gets in when they have ended, and ends itself
		require.ErrorContains(t, err, "no answer within 10s")
		require.Equal(t, 19*time.Second, time.Since(begin))
		require.NoError(t, tr.Close(t.Context()))
		require.NoError(t, tr.Close(t.Context()))
		require.Equal(t, 1, f.closed)
		_, err = tr.Send(t.Context(), sdk.Batch{})
		require.ErrorContains(t, err, "the transport is closed")
	})
}

func TestErrorsKeepWhatTheyMean(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for _, c := range []struct {
		err  error
		want sdk.TransportError
	}{
		{cause, sdk.TransportError{}},
		{inbox.Unknown(cause), sdk.TransportError{}},
		{inbox.Full(cause), sdk.TransportError{RetryAfter: time.Second}},
		{inbox.Refused(cause), sdk.TransportError{Permanent: true}},
	} {
		tr := open(t, &fake{publish: func(context.Context, *inbox.Message) error { return c.err }}, nil)
		_, err := tr.Send(t.Context(), sdk.Batch{})
		told, ok := errors.AsType[*sdk.TransportError](err)
		require.True(t, ok)
		require.ErrorIs(t, err, cause)
		require.Contains(t, err.Error(), "Fake at here:1: ")
		require.NotContains(t, err.Error(), "s3cret")
		c.want.Cause = told.Cause
		require.Equal(t, c.want, *told)
		require.NoError(t, tr.Close(t.Context()))
	}
	_, err := open(t, &fake{}, nil).Send(t.Context(), sdk.Batch{Body: make([]byte, 101)})
	told, ok := errors.AsType[*sdk.TransportError](err)
	require.True(t, ok && told.Permanent)
}
