package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// One row per kind: the taxonomy answers code, status and retry in one place.
func TestKinds(t *testing.T) {
	for _, row := range []struct {
		kind   fault.Kind
		code   codes.Code
		status int
		retry  bool
	}{
		{fault.Internal, codes.Internal, 500, false},
		{fault.Invalid, codes.InvalidArgument, 400, false},
		{fault.Unauthenticated, codes.Unauthenticated, 401, false},
		{fault.Denied, codes.PermissionDenied, 403, false},
		{fault.NotFound, codes.NotFound, 404, false},
		{fault.Exists, codes.AlreadyExists, 409, false},
		{fault.Conflict, codes.Aborted, 409, true},
		{fault.Precondition, codes.FailedPrecondition, 400, false},
		{fault.Exhausted, codes.ResourceExhausted, 429, true},
		{fault.Unavailable, codes.Unavailable, 503, true},
		{fault.Timeout, codes.DeadlineExceeded, 504, true},
		{fault.Canceled, codes.Canceled, 499, true},
		{fault.Unsupported, codes.Unimplemented, 501, false},
	} {
		t.Run(row.kind.Error(), func(t *testing.T) {
			require.Equal(t, row.code, row.kind.Code())
			require.Equal(t, row.status, row.kind.HTTP())
			require.Equal(t, row.retry, row.kind.Retryable())
			require.Equal(t, row.kind, fault.FromCode(row.code))
		})
	}
}

func TestFaultHidesItsCauseFromTheCaller(t *testing.T) {
	err := fmt.Errorf("store span: %w", fault.Unavailable.Wrap(io.ErrUnexpectedEOF, "the store is away").
		WithReason("STORE_AWAY").WithRetryAfter(time.Second))
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotErrorIs(t, err, fault.Internal)

	f := fault.Of(err)
	require.Equal(t, "the store is away", f.Message())
	require.Equal(t, "STORE_AWAY", f.Reason())
	require.Equal(t, time.Second, f.RetryAfter())
	require.Contains(t, err.Error(), "unexpected EOF")
}

func TestOfRevealsNothingOfUnknownErrors(t *testing.T) {
	require.Nil(t, fault.Of(nil))
	f := fault.Of(errors.New("password=hunter2"))
	require.Equal(t, fault.Internal, f.Kind())
	require.Equal(t, "internal error", f.Message())
	require.Equal(t, fault.Timeout, fault.KindOf(context.DeadlineExceeded))
	require.Equal(t, fault.Canceled, fault.KindOf(fmt.Errorf("read: %w", context.Canceled)))
	require.Equal(t, fault.Denied, fault.KindOf(fmt.Errorf("read: %w", fault.Denied)))
}

func TestNobodyIsToldToComeBackTooSoon(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{
		0: "1", time.Millisecond: "1", time.Second: "1", 1400 * time.Millisecond: "2", time.Minute: "60",
	} {
		require.Equal(t, want, fault.RetryHeader(wait), wait)
	}
}
