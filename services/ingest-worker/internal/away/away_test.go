package away_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/away"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAFailureIsRememberedForAMoment(t *testing.T) {
	for _, c := range []struct {
		err  error
		asks int // of three in a row
	}{
		{fault.Unavailable, 1},
		{fault.Timeout, 1},
		{fault.Exhausted, 1},
		{fault.Internal, 1},
		{context.DeadlineExceeded, 1},
		{context.Canceled, 3}, // our own doing
		{fault.NotFound, 3},   // an answer
		{fault.Unauthenticated, 3},
		{nil, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			var m away.Memory[string]
			asks := 0
			ask := func() error { asks++; return c.err }
			for range 3 {
				require.ErrorIs(t, m.Ask(t.Context(), "a", ask), c.err)
			}
			require.Equal(t, c.asks, asks, "%v", c.err)
			require.NoError(t, m.Ask(t.Context(), "b", func() error { return nil }), "another question is asked")
			time.Sleep(away.For + time.Millisecond)
			require.ErrorIs(t, m.Ask(t.Context(), "a", ask), c.err)
			require.Equal(t, c.asks+1, asks, "it is forgotten")
		})
	}
}

func TestWhatNobodyWasAskedIsNotRemembered(t *testing.T) {
	t.Parallel()
	var m away.Memory[string]
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	require.Error(t, m.Ask(late, "a", late.Err))
	require.NoError(t, m.Ask(late, "a", func() error { return nil }), "it is known here")
	require.NoError(t, m.Ask(t.Context(), "a", func() error { return nil }))
}

func TestTheMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m away.Memory[int]
	asks := 0
	ask := func() error { asks++; return fault.Unavailable }
	const n = 10_001
	for range 2 {
		for i := range n {
			require.Error(t, m.Ask(t.Context(), i, ask))
		}
	}
	require.Greater(t, asks, n)
}
