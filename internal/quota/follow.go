package quota

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/identity"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

const (
	// silence is how long auth may say nothing before it is asked anew, somebody
	// else perhaps: it says something every second.
	silence = 3 * time.Second
	// again is how soon it is asked anew.
	again = 500 * time.Millisecond
)

// Follow hears of limits from auth over conn, in the name of a service, until ctx
// ends; it returns nil. While auth is away the limits stay as they were.
func (b *Book) Follow(ctx context.Context, conn grpc.ClientConnInterface, service string) error {
	auth := authv1.NewAuthServiceClient(conn)
	ctx = identity.With(ctx, identity.ForService(service, identity.MeshTenant))
	for ctx.Err() == nil {
		_ = b.hear(ctx, auth) // asked again below
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return nil
}

// hear hears until something is wrong.
func (b *Book) hear(ctx context.Context, auth authv1.AuthServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	overdue := time.AfterFunc(silence, cancel)
	defer overdue.Stop()
	b.mu.Lock()
	after := b.head
	b.mu.Unlock()
	stream, err := auth.WatchLimits(ctx, &authv1.WatchLimitsRequest{After: after})
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		overdue.Reset(silence)
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
	}
}
