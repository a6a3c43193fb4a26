package mesh

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
)

// Move stops a service in order, starts it again on another broker, and waits
// until it is ready.
func (f *Five) Move(name string, to server.Broker) {
	f.t.Helper()
	require.NoError(f.t, f.services[name].Stop(), name)
	kept := f.env
	f.env = append(slices.Clone(kept), "DRIFTMESH_BROKER_URL="+to.URL()) // the last one counts
	f.Restart(name)
	f.env = kept
}
