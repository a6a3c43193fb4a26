package quota

import (
	"context"

	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/rpc"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// Follow hears of limits from auth over conn, in the name of a service, until ctx
// ends; it returns nil. While auth is away the limits stay as they were.
func (b *Book) Follow(ctx context.Context, conn grpc.ClientConnInterface, service string) error {
	auth := authv1.NewAuthServiceClient(conn)
	ctx = identity.With(ctx, identity.ForService(service, identity.MeshTenant))
	rpc.Hear(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[authv1.WatchLimitsResponse], error) {
		b.mu.Lock()
		after := b.head
		b.mu.Unlock()
		return auth.WatchLimits(ctx, &authv1.WatchLimitsRequest{After: after})
	}, b.told)
	return nil
}

// told takes in what auth said.
func (b *Book) told(m *authv1.WatchLimitsResponse) error {
	change := Change{Own: map[string]Own{}, Head: m.GetHead()}
	defaults, err := OwnOf(m.GetDefaults())
	if err != nil {
		return err
	}
	change.Defaults = change.Defaults.With(defaults)
	for _, t := range m.GetTenants() {
		if change.Own[t.GetTenant()], err = OwnOf(t.GetOverrides()); err != nil {
			return err
		}
	}
	b.Hear(change)
	return nil
}
