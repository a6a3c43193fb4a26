package process_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/process"
)

type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

// A part that takes a while to drain.
func (d *diary) part(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Second) // fake time: synctest
		d.write(name + " drained")
		return nil
	}
}

func TestGroupStopsInReverseEachWhollyBeforeTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := process.NewGroup(slog.New(slog.DiscardHandler))
		g.Add("broker", d.part("broker"))
		g.Add("store", d.part("store"))
		g.Add("gateway", d.part("gateway"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		require.NoError(t, g.Run(ctx))
		require.Equal(t, []string{"gateway drained", "store drained", "broker drained"}, d.lines)
		require.Equal(t, time.Minute+3*time.Second, time.Since(start))
	})
}

func TestGroupStopsAllWhenOneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		broken := errors.New("disk full")
		g := process.NewGroup(slog.New(slog.DiscardHandler))
		g.Add("broker", d.part("broker"))
		g.Add("store", func(context.Context) error { time.Sleep(time.Second); return broken })
		g.Add("gateway", d.part("gateway"))
		err := g.Run(t.Context())
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "store: disk full")
		require.Equal(t, []string{"gateway drained", "broker drained"}, d.lines)
	})
}

func TestGroupDoesNotForgiveAPartThatJustEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := process.NewGroup(slog.New(slog.DiscardHandler))
		g.Add("drift", func(context.Context) error { return nil })
		require.ErrorContains(t, g.Run(t.Context()), "drift: stopped by itself")
	})
}
