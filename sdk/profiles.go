package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

// Register registers a profile, which is evaluated on its schedule from now on,
// and gives it as the mesh keeps it, with its uid and version. A profile of the
// same space and name becomes a new version. While the mesh is away it tries
// again until ctx ends; however often, one profile is registered. What the mesh
// does not like (a detector that it does not have, say) is an error that names
// every problem.
func (c *Client) Register(ctx context.Context, p *profile.Profile) (*profile.Profile, error) {
	req := &driftv1.CreateProfileRequest{Profile: wire.Message(p), RequestId: rand.Text()}
	req.Profile.Active = true
	var resp *driftv1.CreateProfileResponse
	err := c.retried(ctx, func(ctx context.Context) (err error) {
		resp, err = c.drift().CreateProfile(ctx, req)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("register profile: %w", err)
	}
	return known(resp.GetProfile())
}

// Profile gives a registered profile by its uid, by "space/name", which is its
// newest version, or by "space/name/version". While the mesh is away it tries
// again until ctx ends.
func (c *Client) Profile(ctx context.Context, name string) (*profile.Profile, error) {
	var resp *driftv1.GetProfileResponse
	err := c.retried(ctx, func(ctx context.Context) (err error) {
		resp, err = c.drift().GetProfile(ctx, &driftv1.GetProfileRequest{Profile: name})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get profile: %w", err)
	}
	return known(resp.GetProfile())
}

// known reads a profile that the mesh has accepted.
func known(m *driftv1.Profile) (*profile.Profile, error) {
	p, err := wire.Profile(m)
	if err != nil {
		return nil, fmt.Errorf("the mesh is newer than this client: %w", err)
	}
	return p, nil
}

// retried makes a call until it gets an answer, is refused for good or ctx ends.
func (c *Client) retried(ctx context.Context, call func(context.Context) error) error {
	p := pace{shortest: c.cfg.minWait, longest: c.cfg.maxWait}
	for attempt := 0; ; attempt++ {
		limited, cancel := context.WithTimeout(ctx, c.cfg.callTimeout)
		err := call(limited)
		cancel()
		if err == nil {
			return nil
		}
		known, is := errors.AsType[*TransportError](err)
		if !is {
			known = grpcError(err)
		}
		if known.Permanent || known.Suspect && attempt+1 >= maxSuspect || ctx.Err() != nil ||
			!pause(ctx, max(known.RetryAfter, p.backoff(attempt))) {
			return err
		}
	}
}
