package alert

import "time"

// State is how far a delivery has come.
type State string

// The states. All but Waiting are final.
const (
	// Waiting: it has not arrived yet, and will be tried.
	Waiting State = "waiting"
	// Sent: the route has taken it.
	Sent State = "sent"
	// Failed: the route will never take it, or did not for too long.
	Failed State = "failed"
	// Withheld: a silence kept it from being told.
	Withheld State = "silenced"
	// Overtaken: later news of the alert went before it.
	Overtaken State = "overtaken"
)

// States are all states.
func States() []State { return []State{Waiting, Sent, Failed, Withheld, Overtaken} }

// Delivery is one event on its way to one route.
type Delivery struct {
	// ID sorts by the time it was made.
	ID, Tenant     string
	Event, AlertID string
	Sequence       int64
	Change         Change
	Route          string
	State          State
	// Due is when it is tried next; Settled when it came to its final state.
	Created, Due, Settled time.Time
	// Attempts counts the times it was begun to be sent.
	Attempts int
	// Error is why the last attempt failed, or which silence withheld it.
	Error string
}
