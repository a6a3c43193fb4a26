package record_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/record"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// drift answers what it is told to, and counts.
type drift struct {
	driftv1.DriftServiceClient
	mu    sync.Mutex
	asked int
	err   error
	gate  chan struct{} // when not nil, answers wait for it
}

func (d *drift) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *drift) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *drift) GetProfile(ctx context.Context, req *driftv1.GetProfileRequest, _ ...grpc.CallOption) (*driftv1.GetProfileResponse, error) {
	d.mu.Lock()
	d.asked++
	err := d.err
	d.mu.Unlock()
	if d.gate != nil {
		select {
		case <-d.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return &driftv1.GetProfileResponse{Profile: &driftv1.Profile{Uid: "uid of " + req.GetProfile()}}, nil
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestCacheRemembers(t *testing.T) {
	t.Parallel()
	ctx, d, time1 := t.Context(), &drift{}, &clock{t: time.Unix(1e9, 0)}
	c := record.NewCache(d, time1.now)
	for range 3 {
		p, err := c.Profile(ctx, "acme", "a/b")
		require.NoError(t, err)
		require.Equal(t, "uid of a/b", p.UID)
	}
	require.Equal(t, 1, d.count())
	_, err := c.Profile(ctx, "other", "a/b")
	require.NoError(t, err)
	require.Equal(t, 2, d.count(), "each tenant asks for itself")
	time1.pass(31 * time.Second)
	_, err = c.Profile(ctx, "acme", "a/b")
	require.NoError(t, err)
	require.Equal(t, 3, d.count())

	d.set(fault.NotFound.New("no such profile"))
	for range 3 {
		_, err = c.Profile(ctx, "acme", "c/d")
		require.ErrorIs(t, err, fault.NotFound)
	}
	require.Equal(t, 4, d.count())
	time1.pass(3 * time.Second)
	d.set(nil)
	_, err = c.Profile(ctx, "acme", "c/d")
	require.NoError(t, err, "a profile may be made after it was asked for")
}

func TestCacheWhileDriftIsAway(t *testing.T) {
	t.Parallel()
	ctx, d, time1 := t.Context(), &drift{}, &clock{t: time.Unix(1e9, 0)}
	c := record.NewCache(d, time1.now)
	_, err := c.Profile(ctx, "acme", "known")
	require.NoError(t, err)
	d.set(fault.Unavailable.New("away"))
	time1.pass(time.Hour)
	for range 5 {
		p, err := c.Profile(ctx, "acme", "known")
		require.NoError(t, err)
		require.Equal(t, "uid of known", p.UID)
	}
	require.Equal(t, 2, d.count(), "and drift is left alone for a while")
	_, err = c.Profile(ctx, "acme", "new")
	require.ErrorIs(t, err, fault.Unavailable)
	require.Positive(t, fault.Of(err).RetryAfter())
	d.set(nil)
	_, err = c.Profile(ctx, "acme", "new")
	require.NoError(t, err)
}

func TestCacheAsksOnce(t *testing.T) {
	t.Parallel()
	d := &drift{gate: make(chan struct{})}
	c := record.NewCache(d, nil)
	impatient, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.Profile(impatient, "acme", "a")
		first <- err
	}()
	require.Eventually(t, func() bool { return d.count() == 1 }, 10*time.Second, time.Millisecond)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			p, err := c.Profile(t.Context(), "acme", "a")
			require.NoError(t, err)
			require.Equal(t, "uid of a", p.UID)
		})
	}
	cancel() // who asks gives up; one of the others asks anew
	require.Error(t, <-first)
	require.Eventually(t, func() bool { return d.count() == 2 }, 10*time.Second, time.Millisecond)
	close(d.gate)
	all.Wait()
	require.Equal(t, 2, d.count())
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	d := &drift{}
	c := record.NewCache(d, nil)
	for i := range 10_000 {
		_, err := c.Profile(t.Context(), "acme", string(rune(i+0x4e00)))
		require.NoError(t, err)
	}
	require.LessOrEqual(t, c.Len(), 4096)
}
