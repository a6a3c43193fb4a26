package sdktest

import (
	"testing"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Queue is a queue for profiles by alias that checks records as one of a mesh does and
// keeps them for the test to look at, with Drain; it needs neither client nor gateway.
func Queue(t testing.TB, profiles map[string]*profile.Profile, options ...sdk.QueueOption) *sdk.Queue {
	t.Helper()
	q, err := sdk.CaptureQueue(profiles, options...)
	if err != nil {
		t.Fatalf("open queue: %v", err)
	}
	return q
}
