package authcheck

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/driftmesh/driftmesh/internal/identity"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

const (
	// silence is how long auth may say nothing before we ask anew, somebody else
	// perhaps: it says something every second.
	silence = 3 * time.Second
	// watchAgain is how soon we ask anew.
	watchAgain = 200 * time.Millisecond
)

// Run keeps auth's public keys and what it revoked known until ctx ends. It
// returns nil. While auth is away callers that are known go on; when it is back,
// Run hears of everything that it missed.
func (c *Checker) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.keys.Run(ctx) })
	group.Go(func() error {
		for ctx.Err() == nil {
			_ = c.watch(ctx) // asked again below; meanwhile Ready says that auth is away
			select {
			case <-ctx.Done():
			case <-time.After(watchAgain):
			}
		}
		return nil
	})
	return group.Wait()
}

// watch hears what is revoked, until something is wrong.
func (c *Checker) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	overdue := time.AfterFunc(silence, cancel)
	defer overdue.Stop()
	after, _ := c.revocations.Head()
	stream, err := c.auth.WatchRevocations(identity.With(ctx, c.self), &authv1.WatchRevocationsRequest{After: after})
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		overdue.Reset(silence)
		c.hear(ctx, message)
	}
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
