package profiles_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/profiles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var limits = profiles.Config{Size: 4, Absent: 5 * time.Second}

// owner answers what it is told to, and counts.
type owner struct {
	asked atomic.Int32
	err   error
}

func (o *owner) load(_ context.Context, tenant, name string) (string, error) {
	o.asked.Add(1)
	return tenant + " " + name, o.err
}

func TestAnswersAreBelievedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{}
		cfg := limits
		cfg.Known = 30 * time.Second
		c := profiles.New(cfg, o.load)
		for range 3 {
			for _, tenant := range []string{"a", "b"} {
				p, err := c.Get(t.Context(), tenant, "x/y")
				require.NoError(t, err)
				require.Equal(t, tenant+" x/y", p, "each tenant asks for itself")
			}
		}
		require.EqualValues(t, 2, o.asked.Load())
		time.Sleep(31 * time.Second) // fake time: synctest
		_, err := c.Get(t.Context(), "a", "x/y")
		require.NoError(t, err)
		require.EqualValues(t, 3, o.asked.Load())

		// While the owner is away what was known stays known.
		o.err = fault.Unavailable.New("away")
		time.Sleep(time.Hour)
		for range 5 {
			p, err := c.Get(t.Context(), "a", "x/y")
			require.NoError(t, err)
			require.Equal(t, "a x/y", p)
		}
		require.EqualValues(t, 4, o.asked.Load(), "and the owner is left alone for a while")
		for range 3 {
			_, err = c.Get(t.Context(), "a", "new")
			require.ErrorIs(t, err, fault.Unavailable)
		}
		require.EqualValues(t, 5, o.asked.Load(), "a failure is remembered")
		o.err = nil
		time.Sleep(6 * time.Second)
		done, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Get(done, "a", "new")
		require.ErrorIs(t, err, context.Canceled, "nobody is asked any more")
		_, err = c.Get(t.Context(), "a", "new")
		require.NoError(t, err, "and forgotten")
		p, err := c.Get(done, "a", "new")
		require.NoError(t, err)
		require.Equal(t, "a new", p, "what is known is told")

		// What is about us or the question is no failure of the owner.
		o.err = fault.Denied.New("not you")
		for i := range 3 {
			_, err = c.Get(t.Context(), "a", "other")
			require.ErrorIs(t, err, fault.Denied)
			require.EqualValues(t, 7+i, o.asked.Load())
		}
	})
}

func TestForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{}
		c := profiles.New(limits, o.load)
		for range 3 {
			_, err := c.Get(t.Context(), "a", "uid")
			require.NoError(t, err)
			time.Sleep(1000 * time.Hour)
		}
		require.EqualValues(t, 1, o.asked.Load())
	})
}

func TestAbsenceIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &owner{err: fault.NotFound.New("no such profile")}
		c := profiles.New(limits, o.load)
		for range 3 {
			_, err := c.Get(t.Context(), "a", "x")
			require.ErrorIs(t, err, fault.NotFound)
		}
		require.EqualValues(t, 1, o.asked.Load())
		o.err = nil
		time.Sleep(6 * time.Second)
		_, err := c.Get(t.Context(), "a", "x")
		require.NoError(t, err, "a profile may be made after it was asked for")
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	o := &owner{}
	c := profiles.New(limits, func(ctx context.Context, tenant, name string) (string, error) {
		if name == "good" {
			return "good", nil
		}
		return "", fault.NotFound.New("no such profile")
	})
	for i := range 50 {
		_, err := c.Get(t.Context(), "a", "good")
		require.NoError(t, err)
		_, err = c.Get(t.Context(), "a", fmt.Sprint(i))
		require.Error(t, err)
		require.LessOrEqual(t, c.Len(), limits.Size)
	}
	all := profiles.New(limits, o.load)
	for i := range 50 {
		_, err := all.Get(t.Context(), "a", fmt.Sprint(i))
		require.NoError(t, err)
		require.LessOrEqual(t, all.Len(), limits.Size)
	}
}

func TestCallersShareOneLoadAndNotItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loads atomic.Int32
		release := make(chan struct{})
		c := profiles.New(limits, func(ctx context.Context, _, _ string) (string, error) {
			loads.Add(1)
			<-release
			return "p", ctx.Err()
		})
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Get(first, "a", "x")
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				p, err := c.Get(t.Context(), "a", "x")
				require.NoError(t, err)
				require.Equal(t, "p", p)
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		require.Equal(t, int32(1), loads.Load())
	})
}
