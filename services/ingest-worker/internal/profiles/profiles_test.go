package profiles_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/away"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/profiles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var limits = profiles.Config{Size: 4, Absent: 5 * time.Second}

func profile(t *testing.T, uid uuid.UUID) *normalize.Profile {
	p, err := normalize.NewProfile(uid, []normalize.Feature{{Name: "a", Kind: normalize.Numeric}})
	require.NoError(t, err)
	return p
}

func TestAProfileIsLoadedOncePerTenant(t *testing.T) {
	t.Parallel()
	uid := uuid.New()
	var loads []string
	c := profiles.New(limits, func(_ context.Context, tenant string, got uuid.UUID) (*normalize.Profile, error) {
		loads = append(loads, tenant)
		if tenant == "b" {
			return nil, fault.NotFound.New("no such profile")
		}
		return profile(t, got), nil
	})
	for range 3 {
		p, err := c.Get(t.Context(), "a", uid)
		require.NoError(t, err)
		require.Equal(t, uid, p.UID())
		p, err = c.Get(t.Context(), "b", uid)
		require.NoError(t, err)
		require.Nil(t, p, "another tenant's profile")
	}
	require.Equal(t, []string{"a", "b"}, loads)
}

func TestAbsenceIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		uid, loads := uuid.New(), 0
		c := profiles.New(limits, func(context.Context, string, uuid.UUID) (*normalize.Profile, error) {
			if loads++; loads == 1 {
				return nil, fault.NotFound.New("no such profile")
			}
			return profile(t, uid), nil
		})
		p, err := c.Get(t.Context(), "a", uid)
		require.NoError(t, err)
		require.Nil(t, p)
		time.Sleep(6 * time.Second) // fake time: synctest
		p, err = c.Get(t.Context(), "a", uid)
		require.NoError(t, err)
		require.Equal(t, uid, p.UID())
	})
}

// While its owner is away it is asked now and then, not at every message, and
// what is known stays known.
func TestAFailureIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		uid, known, loads := uuid.New(), uuid.New(), 0
		c := profiles.New(limits, func(_ context.Context, _ string, asked uuid.UUID) (*normalize.Profile, error) {
			if loads++; loads == 2 {
				return nil, fault.Unavailable.New("drift is away")
			}
			return profile(t, asked), nil
		})
		_, err := c.Get(t.Context(), "a", known)
		require.NoError(t, err)
		for range 3 {
			_, err = c.Get(t.Context(), "a", uid)
			require.ErrorIs(t, err, fault.Unavailable)
		}
		require.Equal(t, 2, loads)
		done, cancel := context.WithCancel(t.Context())
		cancel()
		p, err := c.Get(done, "a", known)
		require.NoError(t, err)
		require.Equal(t, known, p.UID())
		time.Sleep(away.For + time.Millisecond)
		_, err = c.Get(done, "a", uid)
		require.ErrorIs(t, err, context.Canceled, "nobody is asked any more")
		p, err = c.Get(t.Context(), "a", uid)
		require.NoError(t, err)
		require.Equal(t, uid, p.UID())
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := profiles.New(limits, func(_ context.Context, _ string, uid uuid.UUID) (*normalize.Profile, error) {
		return profile(t, uid), nil
	})
	for range 50 {
		_, err := c.Get(t.Context(), "a", uuid.New())
		require.NoError(t, err)
		require.LessOrEqual(t, c.Len(), limits.Size)
	}
}

func TestCallersShareOneLoadAndNotItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		uid := uuid.New()
		var loads atomic.Int32
		release := make(chan struct{})
		c := profiles.New(limits, func(ctx context.Context, _ string, _ uuid.UUID) (*normalize.Profile, error) {
			loads.Add(1)
			<-release
			return profile(t, uid), ctx.Err()
		})
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Get(first, "a", uid)
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				p, err := c.Get(t.Context(), "a", uid)
				require.NoError(t, err)
				require.Equal(t, uid, p.UID())
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
