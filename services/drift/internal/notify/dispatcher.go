package notify

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
)

// Outgoing takes deliveries; store.State is one.
type Outgoing interface {
	// Dispatch writes down that an event goes to the named routes. An event that
	// came before changes nothing.
	Dispatch(ctx context.Context, e *alert.Event, routes []string, now time.Time) error
}

// Dispatcher chooses the routes of events. It is safe for concurrent use.
type Dispatcher struct {
	Routes *route.Table
	To     Outgoing
}

// Dispatch hands the event to its routes. After it has returned nil the event is
// safe.
func (d Dispatcher) Dispatch(ctx context.Context, e *alert.Event, now time.Time) error {
	return d.To.Dispatch(ctx, e, d.Routes.For(e), now)
}
