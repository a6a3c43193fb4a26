package drift

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A crew does as much at a time as it has places, takes the next piece as soon as
// one is free, under another name each time, and waits for all when it stops.
func TestCrewIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most, pieces = 3, 10
		var begun, ended, under, worst atomic.Int64
		owners := map[string]bool{}
		c := newCrew("test", most, slog.New(slog.DiscardHandler), func(_ context.Context, owner string) (func(context.Context) error, error) {
			owners[owner] = true
			if begun.Add(1) > pieces {
				return nil, nil
			}
			return func(context.Context) error {
				worst.Store(max(worst.Load(), under.Add(1)))
				time.Sleep(time.Second) // of the bubble
				under.Add(-1)
				ended.Add(1)
				return nil
			}, nil
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.run(ctx, time.Hour) }()
		time.Sleep(3*time.Second + time.Second/2)
		require.EqualValues(t, most, worst.Load())
		require.EqualValues(t, 9, ended.Load(), "three at a time, without a pause")
		require.EqualValues(t, 1, under.Load())
		stop()
		require.NoError(t, <-done)
		require.EqualValues(t, pieces, ended.Load(), "it waits for what it has begun")
		require.Greater(t, len(owners), pieces)
	})
}
