package authcheck

import (
	"context"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/rpc"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// Run keeps auth's public keys and what it revoked known until ctx ends. It
// returns nil. While auth is away callers that are known go on; when it is back,
// Run hears of everything that it missed.
func (c *Checker) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.keys.Run(ctx) })
	group.Go(func() error {
		rpc.Hear(ctx, c.watch, func(message *authv1.WatchRevocationsResponse) error { // Ready says meanwhile that auth is away
			c.hear(ctx, message)
			return nil
		})
		return nil
	})
	return group.Wait()
}

// watch asks what was revoked since.
func (c *Checker) watch(ctx context.Context) (grpc.ServerStreamingClient[authv1.WatchRevocationsResponse], error) {
	after, _ := c.revocations.Head()
	return c.auth.WatchRevocations(identity.With(ctx, c.self), &authv1.WatchRevocationsRequest{After: after})
}

// hear takes in what auth said.
func (c *Checker) hear(ctx context.Context, message *authv1.WatchRevocationsResponse) {
	for _, r := range message.GetRevocations() {
		c.revocations.Add(identity.Revocation{
			Number: r.GetNumber(), Kind: revocationKinds[r.GetKind()], Tenant: r.GetTenant(), Subject: r.GetSubject(),
		})
	}
	if message.Head != nil {
		c.revocations.Heard(message.GetHead())
	}
	if set := message.GetKeySet(); set != c.keySet {
		if c.keys.Refresh(ctx) == nil {
			c.keySet = set
		}
	}
}

var revocationKinds = map[authv1.RevocationKind]identity.RevocationKind{
	authv1.RevocationKind_REVOCATION_KIND_KEY:     identity.RevokedKey,
	authv1.RevocationKind_REVOCATION_KIND_SESSION: identity.RevokedSession,
	authv1.RevocationKind_REVOCATION_KIND_USER:    identity.RevokedUser,
	authv1.RevocationKind_REVOCATION_KIND_TENANT:  identity.RevokedTenant,
}
