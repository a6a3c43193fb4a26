package route

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// Route carries events to people. It is safe for concurrent use.
type Route interface {
	// Deliver carries one event, and returns nil only when it has arrived. It may
	// be called again with the same event. A fault that is not retryable means
	// that it never will arrive; its hint says how long to leave the route alone.
	// No error holds a secret.
	Deliver(ctx context.Context, e *alert.Event) error
}

// Choosy is a Route that has no use for some changes.
type Choosy interface {
	// Wants reports whether events of that change are for it.
	Wants(c alert.Change) bool
}

// Refresher is a Route whose service forgets alerts that are not told anew.
type Refresher interface {
	// Every is how often.
	Every() time.Duration
	// Refresh tells the service the last event of each of some alerts that are
	// open, again.
	Refresh(ctx context.Context, open []*alert.Event) error
}

// Deps is what routes share.
type Deps struct {
	Log Logger
	// TraceURL is where one trace is seen, with {trace} for its id, and AlertURL
	// where an alert is, with {alert}; each may be empty.
	TraceURL, AlertURL string
	Now                func() time.Time
}

// links are where an event leads to.
type links struct{ trace, alert string }

func (d Deps) links() links { return links{d.TraceURL, d.AlertURL} }

// page is the alert's page; "" when there is none.
func (l links) page(e *alert.Event) string { return fill(l.alert, "{alert}", e.AlertID) }

// linkedTraces bounds the traces that a message links to.
const linkedTraces = 5

// traces are where the most telling traces are seen; none when nowhere.
func (l links) traces(e *alert.Event) []string {
	if l.trace == "" {
		return nil
	}
	return alert.Links(l.trace, e.Traces[:min(len(e.Traces), linkedTraces)])
}
