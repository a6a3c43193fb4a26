package record_test

import (
	"context"
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
	asked int
	err   error
}

func (d *drift) GetProfile(_ context.Context, req *driftv1.GetProfileRequest, _ ...grpc.CallOption) (*driftv1.GetProfileResponse, error) {
	d.asked++
	if d.err != nil {
		return nil, d.err
	}
	return &driftv1.GetProfileResponse{Profile: &driftv1.Profile{Uid: "uid of " + req.GetProfile()}}, nil
}

// What the cache does with answers is package profiles'; which it is to believe,
// and for how long, is ours.
func TestProfilesAreRemembered(t *testing.T) {
	t.Parallel()
	ctx, d, now := t.Context(), &drift{}, time.Unix(1e9, 0)
	c := record.NewCache("gateway", d, func() time.Time { return now })
	for range 3 {
		p, err := c.Profile(ctx, "acme", "a/b")
		require.NoError(t, err)
		require.Equal(t, "uid of a/b", p.UID)
	}
	require.Equal(t, 1, d.asked)
	now = now.Add(31 * time.Second)
	_, err := c.Profile(ctx, "acme", "a/b")
	require.NoError(t, err)
	require.Equal(t, 2, d.asked, "space/name may be a new version")

	for _, err := range []error{fault.NotFound.New("no such profile"), fault.Invalid.New("no such name")} {
		d.err = err
		for range 2 {
			_, err = c.Profile(ctx, "acme", "c/d")
			require.ErrorIs(t, err, fault.NotFound)
		}
		now = now.Add(3 * time.Second)
	}
	require.Equal(t, 4, d.asked)

	d.err = fault.Internal.New("oops")
	_, err = c.Profile(ctx, "acme", "e/f")
	require.ErrorIs(t, err, fault.Unavailable)
	require.Positive(t, fault.Of(err).RetryAfter())
	now = now.Add(time.Hour)
	p, err := c.Profile(ctx, "acme", "a/b")
	require.NoError(t, err)
	require.Equal(t, "uid of a/b", p.UID, "what was known stays known")
}
