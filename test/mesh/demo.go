package mesh

import (
	"path/filepath"

	"github.com/driftmesh/driftmesh/test/server"
)

// StartDemo runs "driftmesh demo" with these extra flags and waits until the
// mesh is ready. Boot runs the same mesh without the demo's load afterwards.
func StartDemo(t server.T, args ...string) *Mesh {
	t.Helper()
	RequireEngine(t)
	m := &Mesh{t: t, Dir: t.TempDir(), Addresses: freeAddresses(t)}
	m.BootDemo(args...)
	t.Cleanup(func() { m.main.Stop() })
	return m
}

// BootDemo starts the demo, again after Stop, on the same data and ports.
func (m *Mesh) BootDemo(args ...string) {
	m.t.Helper()
	args = append(append([]string{"demo", "--data-dir", filepath.Join(m.Dir, "data")}, m.Addresses.flags()...), args...)
	m.main = Run(m.t, "demo", Binary(m.t, "./cmd/driftmesh"), args...)
	m.main.WaitReady(m.Admin)
}
